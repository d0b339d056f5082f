"""Corrupt the pose and framing of faces, and hide parts of them.

Rotation, translation and scale repeat the edge. Eyes and mouth are bands of fixed height, since FER2013's faces are
roughly aligned, and so are those that ``fer-tf crop`` cuts out.
"""

import numpy as np

from fer_tf.augment.geometry import affine_matrices
from fer_tf.augment.warp import warp
from fer_tf.errors import UserError
from fer_tf.faces.frames import EYE_DISTANCE, EYE_LINE
from fer_tf.faces.masks import MASKS, fit_head, put_mask, wearable
from fer_tf.faces.masks.head_pose import FIVE
from fer_tf.robustness import rng
from fer_tf.robustness.corruptions import FaceBatch

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
    turned = np.where(rng.fractions(faces.streams, 1)[:, 0] < 0.5, -degrees, degrees)
    return _warped(faces.images, affine_matrices(faces.images.shape[1:3], turned))


def scale(faces: FaceBatch, factor: float) -> np.ndarray:
    """Enlarge each face about the middle by this factor or shrink it as much, which is drawn."""
    larger = rng.fractions(faces.streams, 1)[:, :1] < 0.5
    zoom = np.where(larger, factor, 1 / factor) * np.ones(2)
    return _warped(faces.images, affine_matrices(faces.images.shape[1:3], np.zeros(len(zoom)), zoom=zoom))


def translation(faces: FaceBatch, length: float) -> np.ndarray:
    """Shift each face by this length, in pixels of a 48-pixel face, in one of eight directions, which is drawn."""
    pixels = round(length * faces.scale)
    direction = rng.below(rng.fractions(faces.streams, 1)[:, 0], len(DIRECTIONS))
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
    drawn = rng.fractions(faces.streams, 3)
    aspect = _ASPECT[0] + drawn[:, 0] * (_ASPECT[1] - _ASPECT[0])
    high = np.clip(np.rint(np.sqrt(area * height * width / aspect)), 0, height).astype(np.int64)
    wide = np.clip(np.rint(np.sqrt(area * height * width * aspect)), 0, width).astype(np.int64)
    top, left = rng.below(drawn[:, 1], height - high + 1), rng.below(drawn[:, 2], width - wide + 1)
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
        zip(faces.images, faces.landmarks, rng.random_words(faces.streams, 2), strict=True)
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
