"""Define augmentations, check their arguments, and warp images by matrices."""

import math
import threading
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from fer_tf.errors import UserError

# op(images float32 (B,H,W,C) in 0..255, targets float32 (B,classes), rng) -> (images, targets), new arrays
Op = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def check_number(op: str, name: str, value: Real, low: float, high: float = np.inf, whole: bool = False) -> None:
    """Raise a ``UserError`` unless ``value`` is a (whole) number in [low, high]."""
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        noun = "a whole number" if whole else "a number"
        wanted = f"{noun} in [{low}, {high}]" if np.isfinite(high) else f"{noun} ≥ {low}"
        raise UserError(f"Augmentation {op!r}: {name}={value!r}. Expected {wanted}.")


def check_range(op: str, name: str, value: tuple[Real, Real], low: float) -> None:
    """Raise a ``UserError`` unless ``value`` is a pair (smallest, largest) of numbers ≥ low."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise UserError(f"Augmentation {op!r}: {name}={value!r}. Expected a pair (smallest, largest).")
    check_number(op, name, value[0], low)
    check_number(op, name, value[1], value[0])


def check_choice(op: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ``UserError`` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise UserError(f"Augmentation {op!r}: {name}={value!r}. Expected one of {', '.join(map(repr, choices))}.")


def chosen(n: int, p: float, rng: np.random.Generator) -> np.ndarray:
    """Draw booleans (n,), true with probability ``p``."""
    return rng.random(n) < p


def per_image(values: np.ndarray) -> np.ndarray:
    """Reshape values (n,) to float32 (n, 1, 1, 1), which broadcasts to a batch of images."""
    return np.asarray(values, dtype=np.float32).reshape(-1, 1, 1, 1)


FILLS = ("constant", "edge", "reflect")

# Images are warped in pieces of 32 faces of 40×40: fewer at once are more calls, more leave the second-level cache.
PIECE_PIXELS = 51_200


class _Scratch(threading.local):
    """A thread's arrays, used again for every piece: new memory costs more than what is computed in it."""

    def __init__(self):
        self.kept: dict[tuple[str, type], np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
        """Return an array of that shape, which holds anything, until the name is asked for again."""
        size = math.prod(shape)
        kept = self.kept.get((name, dtype))
        if kept is None or kept.size < size:
            kept = self.kept[name, dtype] = np.empty(size, dtype)
        return kept[:size].reshape(shape)


_scratch = _Scratch()


def warp(images: np.ndarray, matrices: np.ndarray, size: tuple[int, int], fill: str = "edge") -> np.ndarray:
    """Sample each image where its matrix points.

    Args:
        images: uint8 or float32 (B, H, W, C).
        matrices: float (B, 3, 3); ``matrix @ (x, y, 1)`` is the input pixel that output pixel (x, y) shows. Pixel
            centers are whole numbers. The last row is (0, 0, 1).
        size: output height and width in pixels.
        fill: what lies outside the image: ``constant`` (black, blended over the last half-covered pixel), ``edge``
            (the nearest pixel) or ``reflect`` (mirrored about the edge pixels).

    Returns:
        float32 (B, height, width, C). Matrices of whole numbers (flips, crops) copy pixels without arithmetic.
    """
    out = np.empty((len(images), *size, images.shape[-1]), np.float32)
    # Where neither row nor column depends on the other, half the work is enough.
    straight = (matrices[:, 0, 1] == 0) & (matrices[:, 1, 0] == 0)
    copied = _copy_windows(images, matrices, straight, out)
    whole = bool((matrices[~copied] == np.rint(matrices[~copied])).all())
    straight &= not whole
    matrices = matrices.astype(np.float32)
    piece = max(1, PIECE_PIXELS // (size[0] * size[1]))
    for alike in (straight & ~copied, ~straight & ~copied):
        rows = np.flatnonzero(alike)
        for start in range(0, len(rows), piece):
            part = rows[start : start + piece]
            found = _scratch("found", (len(part), *out.shape[1:]))
            if straight[part[0]]:
                _stretch_piece(images[part], matrices[part], found, fill)
            else:
                _warp_piece(images[part], matrices[part], found, fill, whole)
            out[part] = found
    return out


def _copy_windows(images: np.ndarray, matrices: np.ndarray, straight: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy the windows of whole pixels, mirrored or not, that lie inside their image; say which images these are."""
    steps, first = matrices[:, (0, 1), (0, 1)], matrices[:, :2, 2]
    last = first + steps * (out.shape[2] - 1, out.shape[1] - 1)
    low, high = np.minimum(first, last), np.maximum(first, last)
    inside = (low >= 0) & (high < (images.shape[2], images.shape[1])) & (np.abs(steps) == 1) & (first == np.rint(first))
    found = straight & inside.all(axis=1)
    rows = np.flatnonzero(found)
    places = np.concatenate([low[rows], high[rows] + 1, steps[rows]], axis=1).astype(int).tolist()
    for row, (left, top, right, bottom, across, down) in zip(rows.tolist(), places, strict=True):
        out[row] = images[row, top:bottom, left:right][::down, ::across]
    return found


def _warp_piece(images: np.ndarray, matrices: np.ndarray, out: np.ndarray, fill: str, whole: bool) -> None:
    count, height, width, _ = images.shape
    x, y = _coordinates(matrices, out.shape[1:3])
    column, row = _divided(x, width, fill, "column"), _divided(y, height, fill, "row")
    flat, stride = _ringed(images, images.dtype.type if whole else np.float32), width + 3
    row *= stride
    row += column
    row += (np.arange(count, dtype=np.int32) * ((height + 3) * stride))[:, None, None]
    index = _scratch("index", x.shape, np.intp)
    np.copyto(index, row)
    if whole:
        out[:] = flat.take(index, axis=0)
        return
    lower, x = _scratch("lower", out.shape), x[..., None]
    _blend(_taken(flat, index, 0, out), _taken(flat, index, 1, _scratch("right", out.shape)), x)
    _blend(_taken(flat, index, stride, lower), _taken(flat, index, stride + 1, _scratch("right", out.shape)), x)
    _blend(out, lower, y[..., None])


def _stretch_piece(images: np.ndarray, matrices: np.ndarray, out: np.ndarray, fill: str) -> None:
    """Do what ``_warp_piece`` does, to the bit, for matrices that only stretch and shift: first along all rows."""
    count, height, width, channels = images.shape
    columns, rows = (np.arange(side, dtype=np.float32) for side in (out.shape[2], out.shape[1]))
    x = matrices[:, 0, 0, None] * columns + matrices[:, 0, 2, None]
    y = matrices[:, 1, 1, None] * rows + matrices[:, 1, 2, None]
    column, row = _divided(x, width, fill, "column"), _divided(y, height, fill, "row")
    flat, lines = _ringed(images, np.float32), count * (height + 3)
    starts = (np.arange(lines) * (width + 3)).reshape(count, height + 3, 1)
    index = np.add(
        starts, column[:, None].astype(np.intp), out=_scratch("index", (count, height + 3, out.shape[2]), np.intp)
    )
    along, right = (_scratch(name, (*index.shape, channels)) for name in ("along", "right"))
    _blend(_taken(flat, index, 0, along), _taken(flat, index, 1, right), x[:, None, :, None])
    flat = along.reshape(lines, -1)
    index = row + (np.arange(count) * (height + 3))[:, None]
    upper, lower = out.reshape(*index.shape, -1), _scratch("lower", (*index.shape, flat.shape[1]))
    _blend(_taken(flat, index, 0, upper), _taken(flat, index, 1, lower), y[..., None])


def _ringed(images: np.ndarray, dtype: type) -> np.ndarray:
    """Return pixels (B·(H + 3)·(W + 3), C) in a black ring: one before, and two behind.

    Two, because the right and lower taps reach one further.
    """
    count, height, width, channels = images.shape
    ringed = _scratch("ringed", (count, height + 3, width + 3, channels), dtype)
    ringed[:, 0], ringed[:, :, 0], ringed[:, height + 1 :], ringed[:, :, width + 1 :] = 0, 0, 0, 0
    ringed[:, 1 : height + 1, 1 : width + 1] = images
    return ringed.reshape(-1, channels)


def _coordinates(matrices: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return input x and y (B, height, width), float32, for every output pixel."""
    columns, rows = np.arange(size[1], dtype=np.float32), np.arange(size[0], dtype=np.float32)

    def along(axis: int, name: str) -> np.ndarray:
        across, down, offset = (matrices[:, axis, i, None] for i in range(3))
        found = _scratch(name, (len(matrices), *size))
        return np.add((across * columns)[:, None, :], (down * rows + offset)[:, :, None], out=found)

    return along(0, "x"), along(1, "y")


def _bring_inside(coordinate: np.ndarray, length: int, fill: str) -> None:
    """Turn coordinates into those of the ringed image, in place."""
    last = length - 1
    if fill == "reflect" and last:
        np.mod(coordinate, 2 * last, out=coordinate)
        coordinate -= last
        np.abs(coordinate, out=coordinate)
        np.subtract(last, coordinate, out=coordinate)
    coordinate += 1
    low, high = (0, length + 1) if fill == "constant" else (1, length)
    np.clip(coordinate, low, high, out=coordinate)


def _divided(coordinate: np.ndarray, length: int, fill: str, name: str) -> np.ndarray:
    """Bring coordinates inside; return their whole part, int32, and leave the rest in place."""
    _bring_inside(coordinate, length, fill)
    floor, whole = _scratch("floor", coordinate.shape), _scratch(name, coordinate.shape, np.int32)
    np.trunc(coordinate, out=floor)
    coordinate -= floor
    np.copyto(whole, floor, casting="unsafe")
    return whole


def _taken(flat: np.ndarray, index: np.ndarray, start: int, into: np.ndarray) -> np.ndarray:
    """Return the rows of ``flat`` at ``index`` and ``start`` further."""
    # All lie inside; "raise" would go through a copy.
    return flat[start:].take(index, axis=0, out=into, mode="clip")


def _blend(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> None:
    """Move ``first`` towards ``second``, which is spent, by a share in [0, 1)."""
    np.subtract(second, first, out=second)
    np.multiply(second, share, out=second)
    np.add(first, second, out=first)
