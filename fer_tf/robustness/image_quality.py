"""Corrupt the quality of faces: light, noise, blur and compression.

Lengths are pixels of a 48-pixel face. All arithmetic but that of JPEG is on whole numbers, so that the bits are the
same on every machine; blurs repeat the edge.
"""

import functools
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fer_tf.robustness import rng
from fer_tf.robustness.corruptions import FaceBatch

# Two passes of 11 bits and one of 22 bits over 8-bit values just fit into int32.
_PASS_BITS, _BITS = 11, 22
_FINE = 16
_DIRECTIONS = 8
# Probabilities are multiples of this part of 1.
_SHARES = 65_536

# (down, right, weight) in pixels; the weights of a list sum to a power of two.
Tap = tuple[int, int, int]


def brighter(faces: FaceBatch, levels: int) -> np.ndarray:
    """Add gray levels to every value; what exceeds 255 is lost."""
    return np.minimum(faces.images.astype(np.int16) + levels, 255).astype(np.uint8)


def darker(faces: FaceBatch, share: float) -> np.ndarray:
    """Leave a share of the light, in 256ths, of every value: few levels remain, as of a camera in the dark."""
    return ((faces.images.astype(np.int32) * round(256 * share) + 128) >> 8).astype(np.uint8)


def contrast(faces: FaceBatch, share: float) -> np.ndarray:
    """Leave a share, in 256ths, of each value's distance from the mean of its picture."""
    images, kept = faces.images.astype(np.int64), round(256 * share)
    count = int(np.prod(images.shape[1:]))
    total = images.sum(axis=(1, 2, 3), keepdims=True)
    # Over the common denominator 256 · count, so that nothing is rounded before the end.
    value = kept * count * images + (256 - kept) * total
    return ((2 * value + 256 * count) // (512 * count)).astype(np.uint8)


def gaussian_noise(faces: FaceBatch, deviation: int) -> np.ndarray:
    """Add normal noise of a standard deviation in whole gray levels."""
    drawn = rng.normal(faces.streams, faces.images.shape[1:])
    added = (drawn * deviation + rng.NORMAL_UNIT // 2) // rng.NORMAL_UNIT
    return np.clip(faces.images + added, 0, 255).astype(np.uint8)


def shot_noise(faces: FaceBatch, photons: int) -> np.ndarray:
    """Count photons: a Poisson number of which white has ``photons`` in the mean, in 65,536ths of probability."""
    drawn = rng.sixteen(faces.streams, faces.images.shape[1:])
    edges = _poisson_edges(photons)
    steps = len(edges) // 256
    # One sorted table for all 256 levels: those of level v lie in [v, v + 1) · 2¹⁷.
    place = np.searchsorted(edges, (faces.images.astype(np.int32) << 17) + drawn, side="right")
    counts = place - faces.images.astype(np.int64) * steps
    return np.minimum((510 * counts + photons) // (2 * photons), 255).astype(np.uint8)


def impulse_noise(faces: FaceBatch, share: float) -> np.ndarray:
    """Make a share of the values, in 65,536ths, black or white, half of them each."""
    drawn = rng.sixteen(faces.streams, faces.images.shape[1:])
    black, hit = round(_SHARES * share / 2), round(_SHARES * share)
    return np.where(drawn < black, np.uint8(0), np.where(drawn < hit, np.uint8(255), faces.images))


@functools.lru_cache(maxsize=16)
def _poisson_edges(photons: int) -> np.ndarray:
    """Return the cumulative probabilities of 0, 1, … photons at each of 256 levels, in 65,536ths, level by level."""
    means = np.arange(256) * (photons / 255)
    highest = math.ceil(photons + 6 * math.sqrt(photons) + 8)
    terms = np.empty((256, highest + 1))
    terms[:, 0] = np.exp(-means)
    for count in range(1, highest + 1):
        terms[:, count] = terms[:, count - 1] * means / count
    edges = np.rint(np.minimum(np.cumsum(terms, axis=1), 1) * _SHARES).astype(np.int32)
    return (edges + (np.arange(256, dtype=np.int32) << 17)[:, None]).reshape(-1)


def gaussian_blur(faces: FaceBatch, deviation: float) -> np.ndarray:
    """Blur by a Gaussian of this standard deviation."""
    sigma = deviation * faces.scale
    reach = math.ceil(3 * sigma)
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-reach, reach + 1)]
    whole = _quantized(weights, reach, _PASS_BITS)
    down = [(i - reach, 0, w) for i, w in enumerate(whole)]
    right = [(0, i, w) for i, _, w in down]
    return _levels(_convolved(_convolved(faces.images, down), right))


def defocus_blur(faces: FaceBatch, radius: float) -> np.ndarray:
    """Average over a disc of this radius, as a lens out of focus does."""
    reach = math.ceil(radius * faces.scale + 0.5)
    places = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    shares = [_inside(y, x, radius * faces.scale) for y, x in places]
    whole = _quantized(shares, places.index((0, 0)), _BITS)
    return _levels(_convolved(faces.images, [(y, x, w) for (y, x), w in zip(places, whole, strict=True)]))


def motion_blur(faces: FaceBatch, length: float) -> np.ndarray:
    """Average along a line of this length, in one of eight directions that is drawn for each face."""
    direction = rng.below(rng.fractions(faces.streams, 1)[:, 0], _DIRECTIONS)
    out = np.empty_like(faces.images)
    for number in np.unique(direction):
        rows = direction == number
        taps = motion_taps(length * faces.scale, math.pi * int(number) / _DIRECTIONS)
        out[rows] = _levels(_convolved(faces.images[rows], taps))
    return out


def _quantized(weights: Sequence[float], center: int, bits: int) -> list[int]:
    """Scale weights to whole numbers that sum to 2^``bits``; what rounding leaves goes to the middle one."""
    total = math.fsum(weights)
    whole = [round(w / total * 2**bits) for w in weights]
    whole[center] += 2**bits - sum(whole)
    return whole


def motion_taps(length: float, angle: float) -> list[Tap]:
    """Return the taps of a line through the middle; ``angle`` in radians from the right, downwards.

    Points along the line, sixteen a pixel, each share their weight among the four pixels around them.
    """
    count = max(1, round(_FINE * length))
    weights = {(0, 0): 0.0}
    for i in range(count):
        along = (i + 0.5) / _FINE - count / (2 * _FINE)
        # Rounded, so that sines of right angles are 0 and 1.
        y, x = (round(along * part(angle), 9) for part in (math.sin, math.cos))
        top, left = math.floor(y), math.floor(x)
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            for column, right in ((left, left + 1 - x), (left + 1, x - left)):
                if down * right:
                    weights[row, column] = weights.get((row, column), 0.0) + down * right
    places = list(weights)
    whole = _quantized(list(weights.values()), 0, _BITS)
    return [(y, x, w) for (y, x), w in zip(places, whole, strict=True)]


def _convolved(values: np.ndarray, taps: Sequence[Tap]) -> np.ndarray:
    """Return the weighted sums of neighbors, int32; ``values`` whole numbers (N, H, W, C)."""
    reach = max(max(abs(y), abs(x)) for y, x, _ in taps)
    height, width = values.shape[1:3]
    wide = np.pad(values.astype(np.int32), [(0, 0), (reach, reach), (reach, reach), (0, 0)], mode="edge")
    total, product = np.zeros(values.shape, np.int32), np.empty(values.shape, np.int32)
    for y, x, weight in taps:
        if weight:
            part = wide[:, reach + y : reach + y + height, reach + x : reach + x + width]
            total += np.multiply(part, np.int32(weight), out=product)
    return total


def _levels(sums: np.ndarray) -> np.ndarray:
    """Return gray levels of sums whose weights are 2^22 in all, halves rounded up."""
    return ((sums + (1 << (_BITS - 1))) >> _BITS).astype(np.uint8)


def _inside(y: int, x: int, radius: float) -> int:
    """Count how many of a pixel's 16 × 16 points lie in the disc."""
    fine = [(2 * i + 1) / (2 * _FINE) - 0.5 for i in range(_FINE)]
    return sum((y + i) ** 2 + (x + j) ** 2 <= radius * radius for i in fine for j in fine)


def jpeg(faces: FaceBatch, quality: int) -> np.ndarray:
    """Save each face as JPEG of this quality (1 to 95) and read it again.

    The bits depend on the library inside Pillow: libjpeg-turbo, which its wheels bring, and libjpeg 6b compute the
    same whole numbers on every processor; libjpeg 7 and later scale the chroma of color pictures otherwise, and
    mozjpeg has other tables. Gray faces know no chroma.
    """
    out = np.empty_like(faces.images)
    for i, image in enumerate(faces.images):
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=quality)
        out[i] = np.asarray(Image.open(buffer)).reshape(image.shape)
    return out


def pixelate(faces: FaceBatch, cells: int) -> np.ndarray:
    """Show each picture in so many cells a side, each the mean of its pixels, halves rounded up.

    Where the side is no multiple, cells differ by one pixel: cell i begins at pixel ⌊i · side / cells⌋.
    """
    rows, columns = (np.arange(cells) * side // cells for side in faces.images.shape[1:3])
    heights, widths = (np.diff(np.append(s, n)) for s, n in zip((rows, columns), faces.images.shape[1:3], strict=True))
    if not (heights.min() and widths.min()):
        return faces.images.copy()  # more cells than pixels
    sums = np.add.reduceat(np.add.reduceat(faces.images, rows, axis=1, dtype=np.int64), columns, axis=2)
    area = (heights[:, None] * widths)[..., None]
    means = ((2 * sums + area) // (2 * area)).astype(np.uint8)
    return means.repeat(heights, axis=1).repeat(widths, axis=2)
