"""Corrupt the quality, pose and framing of faces, and hide parts of them.

Lengths are pixels of a 48-pixel face. All arithmetic but that of JPEG is on whole numbers, so that the bits are the
same on every machine; blurs repeat the edge.

Rotation, translation and scale repeat it, too. Eyes and mouth are bands of fixed height, since FER2013's faces are
roughly aligned, and so are those that ``fer-tf crop`` cuts out.
"""

import functools
import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fer_tf.augment.geometry import affine_matrices
from fer_tf.augment.warp import warp
from fer_tf.errors import UserError
from fer_tf.faces.detectors import EYE_DISTANCE, EYE_LINE
from fer_tf.faces.masks import MASKS, fit_head, put_mask, wearable
from fer_tf.faces.masks.head_pose import FIVE
from fer_tf.robustness import corruptions
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
    drawn = corruptions.normal(faces.streams, faces.images.shape[1:])
    added = (drawn * deviation + corruptions.NORMAL_UNIT // 2) // corruptions.NORMAL_UNIT
    return np.clip(faces.images + added, 0, 255).astype(np.uint8)


def shot_noise(faces: FaceBatch, photons: int) -> np.ndarray:
    """Count photons: a Poisson number of which white has ``photons`` in the mean, in 65,536ths of probability."""
    drawn = corruptions.sixteen(faces.streams, faces.images.shape[1:])
    edges = _poisson_edges(photons)
    steps = len(edges) // 256
    # One sorted table for all 256 levels: those of level v lie in [v, v + 1) · 2¹⁷.
    place = np.searchsorted(edges, (faces.images.astype(np.int32) << 17) + drawn, side="right")
    counts = place - faces.images.astype(np.int64) * steps
    return np.minimum((510 * counts + photons) // (2 * photons), 255).astype(np.uint8)


def impulse_noise(faces: FaceBatch, share: float) -> np.ndarray:
    """Make a share of the values, in 65,536ths, black or white, half of them each."""
    drawn = corruptions.sixteen(faces.streams, faces.images.shape[1:])
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
    direction = corruptions.below(corruptions.fractions(faces.streams, 1)[:, 0], _DIRECTIONS)
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


# Right and down, in the order in which they are drawn and measured.
DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
# Matrices are whole numbers of this part: sines differ in their last digit between machines, and all that the warp does
# after them is single float32 operations, which do not.
_UNIT = 2.0**16
# First and last row of a band, as shares of the height: the eyes of FER2013 lie at 0.39 of it, the mouths at 0.76.
_BANDS = {"eyes": (0.28, 0.5), "mouth": (0.65, 0.88)}
_GRAY = 128
# Of a patch, width to height.
_ASPECT = (2 / 3, 3 / 2)
# Up to this height, pictures whose masks are painted finer than this cannot be told apart.
_SMALL, _MASK_DETAIL = 64, 3


def rotation(faces: FaceBatch, degrees: float) -> np.ndarray:
    """Turn each face by this angle about the middle, one way or the other, which is drawn."""
    turned = np.where(corruptions.fractions(faces.streams, 1)[:, 0] < 0.5, -degrees, degrees)
    return _warped(faces.images, affine_matrices(faces.images.shape[1:3], turned))


def scale(faces: FaceBatch, factor: float) -> np.ndarray:
    """Enlarge each face about the middle by this factor or shrink it as much, which is drawn."""
    larger = corruptions.fractions(faces.streams, 1)[:, :1] < 0.5
    zoom = np.where(larger, factor, 1 / factor) * np.ones(2)
    return _warped(faces.images, affine_matrices(faces.images.shape[1:3], np.zeros(len(zoom)), zoom=zoom))


def translation(faces: FaceBatch, length: float) -> np.ndarray:
    """Shift each face by this length, in pixels of a 48-pixel face, in one of eight directions, which is drawn."""
    pixels = round(length * faces.scale)
    direction = corruptions.below(corruptions.fractions(faces.streams, 1)[:, 0], len(DIRECTIONS))
    out = np.empty_like(faces.images)
    for number, (right, down) in enumerate(DIRECTIONS):
        rows = direction == number
        out[rows] = shift(faces.images[rows], right * pixels, down * pixels)
    return out


def shift(images: np.ndarray, right: int, down: int) -> np.ndarray:
    """Shift pictures (N, H, W, C) by whole pixels; the edge that is left is repeated."""
    height, width = images.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, rows][:, :, columns]


def _warped(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    exact = np.rint(matrices * _UNIT) / _UNIT
    return np.rint(warp(images, exact, images.shape[1:3], "edge")).astype(np.uint8)


def eyes(faces: FaceBatch, stretch: float, fill: int = _GRAY) -> np.ndarray:
    """Cover the eyes by a band; ``stretch`` multiplies its height."""
    return _covered(faces.images, "eyes", stretch, fill)


def mouth(faces: FaceBatch, stretch: float, fill: int = _GRAY) -> np.ndarray:
    """Cover the mouth by a band; ``stretch`` multiplies its height."""
    return _covered(faces.images, "mouth", stretch, fill)


def patch(faces: FaceBatch, area: float, fill: int = _GRAY) -> np.ndarray:
    """Cover a share of the picture by a rectangle whose shape and place are drawn."""
    _check_fill(fill)
    height, width = faces.images.shape[1:3]
    drawn = corruptions.fractions(faces.streams, 3)
    aspect = _ASPECT[0] + drawn[:, 0] * (_ASPECT[1] - _ASPECT[0])
    high = np.clip(np.rint(np.sqrt(area * height * width / aspect)), 0, height).astype(np.int64)
    wide = np.clip(np.rint(np.sqrt(area * height * width * aspect)), 0, width).astype(np.int64)
    top, left = corruptions.below(drawn[:, 1], height - high + 1), corruptions.below(drawn[:, 2], width - wide + 1)
    rows, columns = np.arange(height), np.arange(width)
    inside = (rows >= top[:, None]) & (rows < (top + high)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    return np.where((inside[:, :, None] & across[:, None])[..., None], np.uint8(fill), faces.images)


def _band_rows(height: int, band: str, stretch: float = 1.0) -> tuple[int, int]:
    """Return a band's first row and the one after its last."""
    first, last = _BANDS[band]
    middle, half = (first + last) / 2, (last - first) / 2 * stretch
    return max(0, round((middle - half) * height)), min(height, round((middle + half) * height))


def _check_fill(fill: int) -> None:
    """Raise a ``UserError`` unless this is a gray level."""
    if isinstance(fill, bool) or not isinstance(fill, int) or not 0 <= fill <= 255:
        raise UserError(f"fill={fill!r} is no level. Expected 0 to 255.")


def _covered(images: np.ndarray, band: str, stretch: float, fill: int) -> np.ndarray:
    _check_fill(fill)
    first, last = _band_rows(images.shape[1], band, stretch)
    hidden = images.copy()
    hidden[:, first:last] = fill
    return hidden


def mask(faces: FaceBatch, drop: float, kind: str | None = None) -> np.ndarray:
    """Draw a mask on each face that hangs ``drop`` eye distances below where it belongs.

    Kind, color and folds are drawn for each face and stay the same at all severities. Unlike those of the other
    corruptions, the bits depend on the machine's linear algebra and mathematical library: single levels may differ by
    one.

    Args:
        faces: with landmarks that ``wearable`` finds good.
        drop: 0 is worn as it should be; from about 0.5 on the nose is free, from 0.8 the mouth.
        kind: call string of a mask of ``fer_tf.faces.masks``; ``None`` draws surgical, cloth or n95.

    Raises:
        UserError: a face without landmarks.
    """
    if faces.landmarks is None or not wearable(faces.landmarks).all():
        raise UserError("A mask needs the landmarks of every face. Leave faces without out; see wearable.")
    names, fine = sorted(MASKS), _MASK_DETAIL if faces.images.shape[1] <= _SMALL else None
    out = np.empty_like(faces.images)
    for i, (image, points, numbers) in enumerate(
        zip(faces.images, faces.landmarks, corruptions.random_words(faces.streams, 2), strict=True)
    ):
        worn = kind or names[int(numbers[0]) % len(names)]
        down = fit_head(points).camera[:, 1] * drop
        out[i] = put_mask(image, points + down, worn, seed=int(numbers[1]), fine=fine).image
    return out


def canonical_landmarks(count: int, size: tuple[int, int]) -> np.ndarray:
    """Return five points where FER2013's faces have them in the median, float32 (count, 5, 2).

    Args:
        count: N.
        size: height and width of the pictures in pixels.

    Example:
        >>> canonical_landmarks(1, (48, 48)).round(1)[0, :2].tolist()  # the eyes
        [[15.100000381469727, 18.5], [32.900001525878906, 18.5]]
    """
    points = FIVE[:, :2] * EYE_DISTANCE + (0.5, EYE_LINE)
    return np.tile(np.float32(points * size[::-1]), (count, 1, 1))
