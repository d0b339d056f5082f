"""One bilinear warp of a whole batch, each image by its own matrix."""

import math
import threading

import numpy as np

FILLS = ("constant", "edge", "reflect")

# Images are warped in pieces whose temporaries stay in the second-level cache: 16 faces of 40×40 run at twice the
# speed of 64 at once.
PIECE_PIXELS = 25_600


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
            centres are whole numbers. The last row is (0, 0, 1).
        size: output height and width in pixels.
        fill: what lies outside the image: ``constant`` (black, blended over the last half-covered pixel), ``edge``
            (the nearest pixel) or ``reflect`` (mirrored about the edge pixels).

    Returns:
        float32 (B, height, width, C). Matrices of whole numbers (flips, crops) copy pixels without arithmetic.
    """
    out = np.empty((len(images), *size, images.shape[-1]), np.float32)
    whole = bool((matrices == np.rint(matrices)).all())
    matrices = matrices.astype(np.float32)
    piece = max(1, PIECE_PIXELS // (size[0] * size[1]))
    for start in range(0, len(images), piece):
        part = slice(start, start + piece)
        _warp_piece(images[part], matrices[part], out[part], fill, whole)
    return out


def _warp_piece(images: np.ndarray, matrices: np.ndarray, out: np.ndarray, fill: str, whole: bool) -> None:
    count, height, width, channels = images.shape
    x, y = _coordinates(matrices, out.shape[1:3])
    _bring_inside(x, width, fill)
    _bring_inside(y, height, fill)
    # A black ring: one pixel before, and two behind because the right and lower taps reach one further.
    ringed = _scratch("ringed", (count, height + 3, width + 3, channels), images.dtype.type if whole else np.float32)
    ringed[:, 0], ringed[:, :, 0], ringed[:, height + 1 :], ringed[:, :, width + 1 :] = 0, 0, 0, 0
    ringed[:, 1 : height + 1, 1 : width + 1] = images
    column, row = _scratch("column", x.shape, np.int32), _scratch("row", x.shape, np.int32)
    np.copyto(column, x, casting="unsafe")
    np.copyto(row, y, casting="unsafe")
    x -= column
    y -= row
    stride = width + 3
    row *= stride
    row += column
    row += (np.arange(count, dtype=np.int32) * ((height + 3) * stride))[:, None, None]
    flat = ringed.reshape(-1, channels)
    index = _scratch("index", x.shape, np.intp)
    np.copyto(index, row)
    if whole:
        out[:] = flat.take(index, axis=0)
    else:
        _bilinear(flat, index, stride, x[..., None], y[..., None], out)


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


def _bilinear(flat: np.ndarray, index: np.ndarray, stride: int, x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """Blend the four pixels at ``index`` and beside, below, and beside below it; ``x`` and ``y`` in [0, 1)."""
    right, lower = _scratch("right", out.shape), _scratch("lower", out.shape)

    def taken(start: int, into: np.ndarray) -> np.ndarray:
        # All lie inside; "raise" would go through a copy.
        return flat[start:].take(index, axis=0, out=into, mode="clip")

    def blended(start: int, upper: np.ndarray) -> np.ndarray:
        taken(start, upper)
        taken(start + 1, right)
        np.subtract(right, upper, out=right)
        np.multiply(right, x, out=right)
        return np.add(upper, right, out=upper)

    blended(0, out)
    blended(stride, lower)
    np.subtract(lower, out, out=lower)
    np.multiply(lower, y, out=lower)
    np.add(out, lower, out=out)
