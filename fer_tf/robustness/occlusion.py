"""Corruptions that hide parts of a face behind a plain gray.

FER2013's faces are roughly aligned, and so are those that ``fer-tf crop`` cuts out: eyes and mouth are
bands of fixed height.
"""

import numpy as np

from fer_tf.errors import UserError
from fer_tf.robustness import draws
from fer_tf.robustness.faces import Faces

# First and last row of a band, as shares of the height: the eyes of FER2013 lie at 0.39 of it, the mouths at 0.76.
BANDS = {"eyes": (0.28, 0.5), "mouth": (0.65, 0.88)}
GRAY = 128
# Of a patch, width to height.
ASPECT = (2 / 3, 3 / 2)


def eyes(faces: Faces, stretch: float, fill: int = GRAY) -> np.ndarray:
    """Cover the eyes by a band; ``stretch`` multiplies its height."""
    return _covered(faces.images, "eyes", stretch, fill)


def mouth(faces: Faces, stretch: float, fill: int = GRAY) -> np.ndarray:
    """Cover the mouth by a band; ``stretch`` multiplies its height."""
    return _covered(faces.images, "mouth", stretch, fill)


def patch(faces: Faces, area: float, fill: int = GRAY) -> np.ndarray:
    """Cover a share of the picture by a rectangle whose shape and place are drawn."""
    check_fill(fill)
    height, width = faces.images.shape[1:3]
    drawn = draws.fractions(faces.streams, 3)
    aspect = ASPECT[0] + drawn[:, 0] * (ASPECT[1] - ASPECT[0])
    high = np.clip(np.rint(np.sqrt(area * height * width / aspect)), 0, height).astype(np.int64)
    wide = np.clip(np.rint(np.sqrt(area * height * width * aspect)), 0, width).astype(np.int64)
    top, left = draws.below(drawn[:, 1], height - high + 1), draws.below(drawn[:, 2], width - wide + 1)
    rows, columns = np.arange(height), np.arange(width)
    inside = (rows >= top[:, None]) & (rows < (top + high)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    return np.where((inside[:, :, None] & across[:, None])[..., None], np.uint8(fill), faces.images)


def band_rows(height: int, band: str, stretch: float = 1.0) -> tuple[int, int]:
    """Return a band's first row and the one after its last."""
    first, last = BANDS[band]
    middle, half = (first + last) / 2, (last - first) / 2 * stretch
    return max(0, round((middle - half) * height)), min(height, round((middle + half) * height))


def check_fill(fill: int) -> None:
    """Raise a ``UserError`` unless this is a gray level."""
    if isinstance(fill, bool) or not isinstance(fill, int) or not 0 <= fill <= 255:
        raise UserError(f"fill={fill!r} is no level. Expected 0 to 255.")


def _covered(images: np.ndarray, band: str, stretch: float, fill: int) -> np.ndarray:
    check_fill(fill)
    first, last = band_rows(images.shape[1], band, stretch)
    hidden = images.copy()
    hidden[:, first:last] = fill
    return hidden
