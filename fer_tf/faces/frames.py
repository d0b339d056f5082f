"""Frames: the square of a photograph, upright or turned, that becomes a face.

A frame is a row of four numbers in pixels of the photograph: centre x, centre y, side, and angle in radians, clockwise
as seen, by which the face is turned. Coordinates are continuous: the first pixel reaches from 0 to 1.

Each function computes with NumPy on arrays, in a hundredth of the time, and with ``keras.ops`` on tensors.
"""

from typing import Any

import numpy as np

from fer_tf.faces.arrays import library

# Where the eyes come to lie in an aligned face, as fractions of its side: their distance, and how far from the top.
# These are FER2013's own (medians of RetinaFace's points on 400 of its faces), so that networks trained there see
# photographs as they saw their training faces; its boxes are 0.97 of its pictures' height.
EYE_DISTANCE = 0.37
EYE_LINE = 0.385
# In those faces the mouth is one eye distance below the eyes. A turned head brings the eyes together but leaves that
# distance, and an open mouth lengthens it by up to a third: at 0.7, only heads turned by 45° or more are affected.
EYE_DISTANCE_BY_MOUTH = 0.7


def face_frames(boxes: np.ndarray, landmarks: np.ndarray, margin: Any = 0.0, align: bool = True) -> np.ndarray:
    """Return the frames of faces: aligned where their landmarks are known, else square.

    Args:
        boxes: float32 (F, 4).
        landmarks: float32 (F, 5, 2), rows of NaN where they are not known.
        margin: by how much the side grows, as a fraction of itself; a number, or float32 (F,).
        align: false for upright squares throughout.

    Returns:
        float32 (F, 4).
    """
    frames = square_frames(boxes, margin)
    if not align:
        return frames
    pointed = np.isfinite(landmarks).all(axis=(1, 2))
    return np.where(pointed[:, None], aligned_frames(np.where(pointed[:, None, None], landmarks, 0), margin), frames)


def aligned_frames(landmarks: Any, margin: float = 0.0) -> Any:
    """Return the frames that bring the eyes onto one level and to a fixed distance.

    The scale is that of the eyes alone, so that an open mouth does not shrink the face; see
    ``EYE_DISTANCE_BY_MOUTH`` for heads seen from the side.

    Args:
        landmarks: float32 (F, 5, 2), x, y: right eye (at the picture's left), left eye, nose, mouth corners.
        margin: by how much the side grows, as a fraction of itself.

    Returns:
        float32 (F, 4).
    """
    ops = library(landmarks)
    right, left = landmarks[:, 0], landmarks[:, 1]
    along = left - right
    eyes, mouth = (right + left) / 2, (landmarks[:, 3] + landmarks[:, 4]) / 2
    distance = ops.maximum(_length(along), EYE_DISTANCE_BY_MOUTH * _length(mouth - eyes))
    side = distance / EYE_DISTANCE
    angle = ops.arctan2(along[:, 1], along[:, 0])
    down = ops.stack([-ops.sin(angle), ops.cos(angle)], axis=-1)
    centre = eyes + down * (side * (0.5 - EYE_LINE))[:, None]
    return _frames(centre, side * (1 + margin), angle)


def square_frames(boxes: Any, margin: float = 0.0) -> Any:
    """Return the upright squares around the middle of boxes, as long as their longer side.

    Args:
        boxes: float32 (F, 4), x0, y0, x1, y1.
        margin: by how much the side grows, as a fraction of itself.

    Returns:
        float32 (F, 4).
    """
    ops = library(boxes)
    side = ops.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) * (1 + margin)
    return _frames((boxes[:, :2] + boxes[:, 2:]) / 2, side, ops.zeros_like(side))


def to_frame(points: Any, frames: Any, size: int) -> Any:
    """Bring points of the photograph into the pixels of the faces cut out of it.

    Args:
        points: float32 (F, K, 2), x, y in the photograph.
        frames: float32 (F, 4).
        size: side of the face in pixels.

    Returns:
        float32 (F, K, 2), x, y in the face.
    """
    ops = library(points, frames)
    x, y = ops.moveaxis(points - frames[:, None, :2], -1, 0)
    cos, sin = ops.cos(frames[:, 3:]), ops.sin(frames[:, 3:])
    turned = ops.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)
    return (turned / frames[:, None, 2:3] + 0.5) * size


def _length(vectors: Any) -> Any:
    return library(vectors).sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2)


def _frames(centre: Any, side: Any, angle: Any) -> Any:
    return library(centre).concatenate([centre, side[:, None], angle[:, None]], axis=-1)
