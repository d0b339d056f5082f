"""Fills a grid of four-cornered cells with values that vary across them, nearer cells over farther ones."""

import numpy as np

# Triangles are filled in groups whose squares together hold so many pixels: temporaries stay in the cache.
GROUP_PIXELS = 100_000


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
    row, column = (n.ravel().astype(np.float32) for n in np.mgrid[:side, :side])
    flat_values = values.reshape(-1, values.shape[-1]).astype(np.float32)
    for start in range(0, len(corners), step):
        part = slice(start, start + step)
        triangle, pixel, second, third = _inside(flat[corners[part]], low[part], high[part], column, row)
        x, y = low[part][triangle].T
        place = (y + pixel // side) * width + x + pixel % side
        a, b, c = (flat_values.take(corners[part][triangle, i], axis=0) for i in range(3))
        # Of several values for one pixel NumPy keeps the last: the nearest.
        out[place] = a + (b - a) * second[:, None] + (c - a) * third[:, None]
        inside[place] = True
    return out.reshape(height, width, -1), inside.reshape(height, width)


def _triangles(rows: int, columns: int) -> np.ndarray:
    """Return the corners of two triangles a cell, int (T, 3), as indices into the flat grid."""
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.ravel() for x in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]))
    return np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])


def _inside(
    corners: np.ndarray, low: np.ndarray, high: np.ndarray, column: np.ndarray, row: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the pixels in each triangle.

    Args:
        corners: float32 (T, 3, 2).
        low: int (T, 2), first column and row of the square of pixels that is looked at.
        high: int (T, 2), the first column and row that are none of the triangle's.
        column: float32 (S,), the columns of the square's pixels, from 0.
        row: float32 (S,), their rows.

    Returns:
        For each of the N pixels found: the triangle, the pixel's number in its square, and the weights of the second
        and third corner.
    """
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # The weights are planes over the pixels: three numbers a triangle.
        across = np.stack([v[:, 1], -u[:, 1]], axis=1) / area[:, None]
        down = np.stack([-v[:, 0], u[:, 0]], axis=1) / area[:, None]
        first = low + np.float32(0.5) - a
        start = (across * first[:, :1] + down * first[:, 1:]).astype(np.float32)
        second, third = (across[:, i, None] * column + (down[:, i, None] * row + start[:, i, None]) for i in range(2))
        # A little beyond the edge, so that rounding leaves no holes between neighbours.
        good = (second >= -1e-4) & (third >= -1e-4) & (second + third <= 1 + 1e-4)
    size = (high - low).astype(np.float32)
    good &= (column < size[:, :1]) & (row < size[:, 1:])
    triangle, pixel = np.nonzero(good)
    return triangle, pixel, second[triangle, pixel], third[triangle, pixel]
