"""Corruptions of pose and framing: turned in the picture's plane, shifted, larger or smaller. Edges are repeated."""

import numpy as np

from fer_tf.augment.geometry import affine_matrices
from fer_tf.augment.warp import warp
from fer_tf.robustness import draws
from fer_tf.robustness.faces import Faces

# Right and down, in the order in which they are drawn and measured.
DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
# Matrices are whole numbers of this part: sines differ in their last digit between machines, and all that the warp does
# after them is single float32 operations, which do not.
_UNIT = 2.0**16


def rotation(faces: Faces, degrees: float) -> np.ndarray:
    """Turn each face by this angle about the middle, one way or the other, which is drawn."""
    turned = np.where(draws.fractions(faces.streams, 1)[:, 0] < 0.5, -degrees, degrees)
    return _warped(faces.images, affine_matrices(faces.images.shape[1:3], turned))


def scale(faces: Faces, factor: float) -> np.ndarray:
    """Enlarge each face about the middle by this factor or shrink it as much, which is drawn."""
    larger = draws.fractions(faces.streams, 1)[:, :1] < 0.5
    zoom = np.where(larger, factor, 1 / factor) * np.ones(2)
    return _warped(faces.images, affine_matrices(faces.images.shape[1:3], np.zeros(len(zoom)), zoom=zoom))


def translation(faces: Faces, length: float) -> np.ndarray:
    """Shift each face by this length, in pixels of a 48-pixel face, in one of eight directions, which is drawn."""
    pixels = round(length * faces.scale)
    direction = draws.below(draws.fractions(faces.streams, 1)[:, 0], len(DIRECTIONS))
    out = np.empty_like(faces.images)
    for number, (right, down) in enumerate(DIRECTIONS):
        rows = direction == number
        out[rows] = shifted(faces.images[rows], right * pixels, down * pixels)
    return out


def shifted(images: np.ndarray, right: int, down: int) -> np.ndarray:
    """Shift pictures (N, H, W, C) by whole pixels; the edge that is left is repeated."""
    height, width = images.shape[1:3]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, rows][:, :, columns]


def _warped(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    exact = np.rint(matrices * _UNIT) / _UNIT
    return np.rint(warp(images, exact, images.shape[1:3], "edge")).astype(np.uint8)
