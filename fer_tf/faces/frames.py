"""Frames: the square of a photograph, upright or turned, that becomes a face.

A frame is a row of four numbers in pixels of the photograph: centre x, centre y, side, and angle in radians, clockwise
as seen, by which the face is turned. Coordinates are continuous: the first pixel reaches from 0 to 1.
"""

from typing import Any

from keras import ops

# Where the eyes come to lie in an aligned face, as fractions of its side: their distance, and how far from the top.
# These are FER2013's own (medians of RetinaFace's points on 400 of its faces), so that networks trained there see
# photographs as they saw their training faces; its boxes are 0.97 of its pictures' height.
EYE_DISTANCE = 0.37
EYE_LINE = 0.385
# In those faces the mouth is one eye distance below the eyes. A turned head brings the eyes together but leaves that
# distance, and an open mouth lengthens it by up to a third: at 0.7, only heads turned by 45° or more are affected.
EYE_DISTANCE_BY_MOUTH = 0.7


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
    landmarks = ops.convert_to_tensor(landmarks, "float32")
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
    boxes = ops.convert_to_tensor(boxes, "float32")
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
    points, frames = ops.convert_to_tensor(points, "float32"), ops.convert_to_tensor(frames, "float32")
    x, y = ops.moveaxis(points - frames[:, None, :2], -1, 0)
    cos, sin = ops.cos(frames[:, 3:]), ops.sin(frames[:, 3:])
    turned = ops.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)
    return (turned / frames[:, None, 2:3] + 0.5) * size


def _length(vectors: Any) -> Any:
    return ops.sqrt(ops.sum(vectors * vectors, axis=-1))


def _frames(centre: Any, side: Any, angle: Any) -> Any:
    return ops.concatenate([centre, side[:, None], angle[:, None]], axis=-1)
