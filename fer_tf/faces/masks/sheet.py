"""Bend the sheet of a mask around a head, and find the pixels that show it."""

from typing import NamedTuple

import numpy as np

from fer_tf.faces.masks.head_pose import HeadPose
from fer_tf.faces.masks.kinds import Mask

_ROWS, _COLUMNS = 25, 33
# From above and in front, in the head's units; the side that the light comes from is taken from the face itself.
_LIGHT = np.array([0.0, -0.62, 0.78])
_BACK = -0.6
# Samples of the sheet lie so many pixels apart at most, so that every pixel on it has one.
_STEP = 0.7


class Seen(NamedTuple):
    """The pixels of a picture that show the sheet: bool (H, W), and u, v and light of each, float32 (N,)."""

    inside: np.ndarray
    u: np.ndarray
    v: np.ndarray
    light: np.ndarray


def bend(mask: Mask) -> np.ndarray:
    """Bend a mask around a head: points (rows, columns, 3) in the head's units; v grows by row, u by column."""
    u, v = np.meshgrid(np.linspace(-1, 1, _COLUMNS), np.linspace(0, 1, _ROWS))
    x = mask.width * u
    on_nose, on_cheek, at_side = mask.top
    top = on_cheek + (at_side - on_cheek) * np.square(u)
    under_chin, at_corner = mask.bottom
    bottom = under_chin - (under_chin - at_corner) * np.abs(u) ** 2.2
    # Only the upper edge is drawn up over the nose: pleats run straight across.
    y = top + v * (bottom - top) - (on_cheek - on_nose) * np.exp(-np.square(x / 0.24)) * (1 - v) ** 4
    return np.stack([x, y, _depth(x, y, v, mask.bulge)], axis=-1)


def _depth(x: np.ndarray, y: np.ndarray, v: np.ndarray, bulge: float) -> np.ndarray:
    """How far the sheet is in front of the eyes: an oval head, and a tent over the nose that widens to the mouth."""
    half = 1.1 * (1 - np.clip(y / 1.9, 0, 0.999) ** 3.2) ** 0.6
    around = np.sqrt(np.clip(1 - np.square(x / half), 0.02, 1))
    back = _BACK + 0.5 * np.clip((y - 1.1) / 0.6, 0, 1)
    face = 0.15 * np.clip(y / 1.04, 0, 1)
    tent = 0.2 * (1 - v) - 0.02 * v + bulge * np.clip(4 * v * (1 - v), 0, 1) ** 0.7
    width = 0.16 + 0.9 * np.clip(v / 0.4, 0, 1)
    return back + (face - back) * around + tent * np.exp(-np.square(x / width))


def _brightness(points: np.ndarray) -> np.ndarray:
    """Light on a sheet (R, C, 3), about 1 in the mean: (R, C)."""
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return 0.66 + 0.42 * np.clip(normal @ _LIGHT, -0.3, 1)


def look(points: np.ndarray, head: HeadPose, placed: np.ndarray, size: tuple[int, int]) -> Seen:
    """Find which pixels show the sheet, and which place of it.

    The sheet is sampled so densely that each of its pixels holds a sample; where it hides itself, samples of the side
    that turns away are overwritten by those of the near side.

    Args:
        points: what `bend` returned.
        head: the head that it is bent around.
        placed: (rows, columns, 2), the points in pixels; (0, 0) is the corner of the first pixel.
        size: height and width of the picture.
    """
    values = np.concatenate([placed, _brightness(points)[..., None]], axis=-1).astype(np.float32)
    if head.towards[0] < 0:
        values = values[:, ::-1]
    down, across = (_places(values[..., :2], axis) for axis in (0, 1))
    # Columns first, so that the near ones come last.
    x, y, light = np.moveaxis(_resampled(_resampled(values, down).swapaxes(0, 1), across), -1, 0).reshape(3, -1)
    drawn = np.flatnonzero((x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]))
    sample = np.full(size, -1, np.int32)
    # Of several samples in one pixel NumPy keeps the last.
    sample[y[drawn].astype(np.int32), x[drawn].astype(np.int32)] = drawn
    inside = sample >= 0
    sample = sample[inside]
    column, row = np.divmod(sample, np.int32(len(down)))
    u = across[column] * np.float32(2 / (_COLUMNS - 1)) - 1
    return Seen(inside, -u if head.towards[0] < 0 else u, down[row] * np.float32(1 / (_ROWS - 1)), light[sample])


def _places(points: np.ndarray, axis: int) -> np.ndarray:
    """Choose places between the N rows or columns of points, 0 to N − 1, that lie `_STEP` pixels apart at most."""
    longest = np.linalg.norm(np.diff(points, axis=axis), axis=-1).max(axis=1 - axis)
    along = np.concatenate([[0], np.cumsum(longest)])
    count = 1 + int(along[-1] / _STEP)
    return np.interp((np.arange(count) + 0.5) * (along[-1] / count), along, np.arange(len(along))).astype(np.float32)


def _resampled(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate linearly between the rows of values (N, ...) at places of 0 to N − 1."""
    low = np.minimum(places.astype(np.int32), len(values) - 2)
    share = (places - low).reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
    return values[low] * (1 - share) + values[low + 1] * share
