"""Corruptions that blur, by whole-number weights; edges are repeated. Lengths are pixels of a 48-pixel face."""

import math
from collections.abc import Sequence

import numpy as np

from fer_tf.robustness import draws
from fer_tf.robustness.faces import Faces

# Two passes of 11 bits and one of 22 bits over 8-bit values just fit into int32.
_PASS_BITS, _BITS = 11, 22
_FINE = 16
DIRECTIONS = 8

# (down, right, weight) in pixels; the weights of a list sum to a power of two.
Tap = tuple[int, int, int]


def gaussian_blur(faces: Faces, deviation: float) -> np.ndarray:
    """Blur by a Gaussian of this standard deviation."""
    sigma = deviation * faces.scale
    reach = math.ceil(3 * sigma)
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-reach, reach + 1)]
    whole = quantised(weights, reach, _PASS_BITS)
    down = [(i - reach, 0, w) for i, w in enumerate(whole)]
    right = [(0, i, w) for i, _, w in down]
    return _levels(convolved(convolved(faces.images, down), right))


def defocus_blur(faces: Faces, radius: float) -> np.ndarray:
    """Average over a disc of this radius, as a lens out of focus does."""
    reach = math.ceil(radius * faces.scale + 0.5)
    places = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1)]
    shares = [_inside(y, x, radius * faces.scale) for y, x in places]
    whole = quantised(shares, places.index((0, 0)), _BITS)
    return _levels(convolved(faces.images, [(y, x, w) for (y, x), w in zip(places, whole, strict=True)]))


def motion_blur(faces: Faces, length: float) -> np.ndarray:
    """Average along a line of this length, in one of eight directions that is drawn for each face."""
    direction = draws.below(draws.fractions(faces.streams, 1)[:, 0], DIRECTIONS)
    out = np.empty_like(faces.images)
    for number in np.unique(direction):
        rows = direction == number
        taps = line(length * faces.scale, math.pi * int(number) / DIRECTIONS)
        out[rows] = _levels(convolved(faces.images[rows], taps))
    return out


def quantised(weights: Sequence[float], centre: int, bits: int) -> list[int]:
    """Scale weights to whole numbers that sum to 2^``bits``; what rounding leaves goes to the middle one."""
    total = math.fsum(weights)
    whole = [round(w / total * 2**bits) for w in weights]
    whole[centre] += 2**bits - sum(whole)
    return whole


def line(length: float, angle: float) -> list[Tap]:
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
    whole = quantised(list(weights.values()), 0, _BITS)
    return [(y, x, w) for (y, x), w in zip(places, whole, strict=True)]


def convolved(values: np.ndarray, taps: Sequence[Tap]) -> np.ndarray:
    """Return the weighted sums of neighbours, int32; ``values`` whole numbers (N, H, W, C)."""
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
