"""Fills a grid of four-cornered cells with values that vary across them, nearer cells over farther ones."""

import numpy as np

# Triangles are filled in groups whose squares together hold so many pixels; more only takes more memory.
GROUP_PIXELS = 1_000_000


def fill(
    points: np.ndarray, depth: np.ndarray, values: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a bent sheet.

    Args:
        points: (R, C, 2), x and y of the sheet's grid in pixels; (0, 0) is the corner of the first pixel.
        depth: (R, C), larger is nearer to the camera.
        values: (R, C, K), what to interpolate.
        size: height and width of the picture.

    Returns:
        float32 (height, width, K), zero outside the sheet, and bool (height, width), whose centres lie on it.
    """
    height, width = size
    out = np.zeros((height * width, values.shape[-1]), np.float32)
    inside = np.zeros(height * width, bool)
    corners = _triangles(*depth.shape)
    corners = corners[np.argsort(depth.ravel()[corners].mean(axis=1), kind="stable")]
    flat = points.reshape(-1, 2).astype(np.float32)
    low = np.maximum(np.floor(flat[corners].min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.ceil(flat[corners].max(axis=1)), (width, height)).astype(np.int64)
    seen = (high > low).all(axis=1)
    corners, low, high = corners[seen], low[seen], high[seen]
    side = int((high - low).max(initial=1))
    step = max(1, GROUP_PIXELS // side**2)
    offsets = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(1, -1, 2)
    for start in range(0, len(corners), step):
        part = slice(start, start + step)
        where = low[part, None] + offsets
        triangle, pixel, weights = _inside(flat[corners[part]], where, high[part])
        place = where[triangle, pixel] @ (1, width)
        # Of several values for one pixel NumPy keeps the last: the nearest.
        out[place] = np.einsum("nk,nkv->nv", weights, values.reshape(-1, values.shape[-1])[corners[part]][triangle])
        inside[place] = True
    return out.reshape(height, width, -1), inside.reshape(height, width)


def _triangles(rows: int, columns: int) -> np.ndarray:
    """Return the corners of two triangles a cell, int (T, 3), as indices into the flat grid."""
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.ravel() for x in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
    return np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])


def _inside(corners: np.ndarray, where: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the pixels in each triangle: its number, the pixel's number, and the corners' weights (N, 3)."""
    a, b, c = (corners[:, i, None] for i in range(3))
    centre = where.astype(np.float32) + np.float32(0.5)
    area = _cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        second, third = _cross(centre - a, c - a) / area, _cross(b - a, centre - a) / area
    weights = np.stack([1 - second - third, second, third], axis=-1)
    # A little beyond the edge, so that rounding leaves no holes between neighbours.
    good = (weights >= -1e-4).all(axis=-1) & (where < high[:, None]).all(axis=-1)
    triangle, pixel = np.nonzero(good)
    return triangle, pixel, weights[triangle, pixel]


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
