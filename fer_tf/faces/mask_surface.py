"""The bent sheet of a mask on a head: its points, its light, and which of its bands can be seen."""

import numpy as np

from fer_tf.faces.head import Head
from fer_tf.faces.mask_kinds import Cut

ROWS, COLUMNS = 25, 33
# From above and in front, in the head's units; the side that the light comes from is taken from the face itself.
_LIGHT = np.array([0.0, -0.62, 0.78])
_BACK = -0.6


def sheet(cut: Cut) -> tuple[np.ndarray, np.ndarray]:
    """Bend a mask around a head.

    Returns:
        (ROWS, COLUMNS, 3) points in the head's units and (ROWS, COLUMNS, 2) u, v.
    """
    u, v = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(0, 1, ROWS))
    x = cut.width * u * (1 - cut.roundness * np.square(2 * v - 1))
    on_nose, on_cheek, at_side = cut.top
    top = on_cheek + (at_side - on_cheek) * np.square(u)
    under_chin, at_corner = cut.bottom
    bottom = under_chin - (under_chin - at_corner) * np.abs(u) ** 2.2
    # Only the upper edge is drawn up over the nose: pleats run straight across.
    drawn_up = (on_cheek - on_nose) * np.exp(-np.square(x / 0.24)) * (1 - v) ** 4
    y = top + v * (bottom - top) - drawn_up
    return np.stack([x, y, _depth(x, y, v, cut.bulge)], axis=-1), np.stack([u, v], axis=-1)


def _depth(x: np.ndarray, y: np.ndarray, v: np.ndarray, bulge: float) -> np.ndarray:
    """How far the sheet is in front of the eyes: an oval head, and a tent over the nose that widens to the mouth."""
    half = 1.1 * (1 - np.clip(y / 1.9, 0, 0.999) ** 3.2) ** 0.6
    around = np.sqrt(np.clip(1 - np.square(x / half), 0.02, 1))
    back = _BACK + 0.5 * np.clip((y - 1.1) / 0.6, 0, 1)
    face = 0.15 * np.clip(y / 1.04, 0, 1)
    tent = 0.2 * (1 - v) - 0.02 * v + bulge * np.clip(4 * v * (1 - v), 0, 1) ** 0.7
    width = 0.16 + 0.9 * np.clip(v / 0.4, 0, 1)
    return back + (face - back) * around + tent * np.exp(-np.square(x / width))


def brightness(points: np.ndarray) -> np.ndarray:
    """Light on a sheet (R, C, 3), about 1 in the mean: (R, C)."""
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return 0.66 + 0.42 * np.clip(normal @ _LIGHT, -0.3, 1)


def visible(points: np.ndarray, head: Head) -> bool:
    """Tell whether a band (P, 3) lies on a side of the head that the camera sees."""
    return bool(np.sign(points[:, 0].mean()) * head.towards[0] > -0.2)
