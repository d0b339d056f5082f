"""Create face detectors by name; compute the square that a face is cropped from.

Facts of a registry row: ``landmarks`` (number of points it finds in a face) and ``extra`` (extra to install).

A frame is a row of four numbers in pixels of the photograph: center x, center y, side, and the clockwise angle in
radians by which the face is rotated. Coordinates are continuous: the first pixel extends from 0 to 1.

Each function uses NumPy for arrays, which takes a hundredth of the time, and ``keras.ops`` for tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from fer_tf.registry import Registry

# Order of the five landmarks. Right and left are the person's own: the right eye is on the left of the image.
FIVE_POINTS = ("right eye", "left eye", "nose", "right mouth corner", "left mouth corner")

POINT_COLUMNS = tuple(f"{name.replace(' ', '_')}_{axis}" for name in FIVE_POINTS for axis in "xy")
WHICH = ("largest", "all", "central")
NO_FACE = "no face found."
# Of photographs so many times as large as a detector sees them, it is said that small faces may be missed.
LARGE = 1.5

DETECTORS = Registry("detector")
DETECTORS.add("retinaface", "fer_tf.faces.extraction:RetinaFaceDetector", landmarks=5, extra="")
DETECTORS.add("hog", "fer_tf.faces.dlib_faces:HogDetector", landmarks=5, extra="landmarks")


@dataclass(frozen=True, eq=False)
class Detections:
    """Hold the F faces of one photograph, by falling score.

    Attributes:
        scores: float32 array (F,), comparable only within one detector.
        boxes: float32 array (F, 4) of x0, y0, x1, y1 in pixels; they may extend beyond the photograph.
        landmarks: float32 array (F, 5, 2) of x, y in pixels, in the order of ``FIVE_POINTS``; NaN if unknown.

    Example:
        >>> import numpy as np
        >>> from fer_tf.faces import Detections
        >>> found = Detections(np.ones(1), np.array([[10, 10, 50, 60]]), np.full((1, 5, 2), np.nan))
        >>> len(found), found.boxes[0].tolist()
        (1, [10, 10, 50, 60])
    """

    scores: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: Sequence[int] | np.ndarray) -> "Detections":
        """Return the faces that an index or a boolean mask selects."""
        return Detections(self.scores[index], self.boxes[index], self.landmarks[index])


class Detector(Protocol):
    """Interface of face detectors.

    A detector that several threads may call at once has an attribute ``concurrent`` that is true.
    """

    def detect(self, photographs: Sequence[np.ndarray]) -> list[Detections]:
        """Find the faces of each photograph.

        Args:
            photographs: RGB images, uint8 (H, W, 3), which may differ in size.

        Returns:
            One ``Detections`` for each photograph, empty if no face was found. The result for a photograph does not
            depend on the others.
        """
        ...


def get(identifier: str | Detector) -> Detector:
    """Create the detector that a call string names.

    Args:
        identifier: Call string such as ``"retinaface(threshold=0.8)"``. A detector is returned unchanged.

    Raises:
        UserError: The name or an option is unknown, or the required extra is not installed.

    Example:
        >>> import numpy as np
        >>> from fer_tf import faces
        >>> detector = faces.get("retinaface(threshold=0.8)")
        >>> [found] = detector.detect([np.zeros((96, 96, 3), np.uint8)])
        >>> len(found)
        0
    """
    return DETECTORS.make(identifier) if isinstance(identifier, str) else identifier


def note_more(detector: Detector, found: Detections, shape: Sequence[int]) -> str:
    """Say that a photograph may have more faces than were found, and how to find them; empty if it need not.

    Args:
        detector: The detector; one without ``max_faces`` or ``size`` gives no reason.
        found: Its faces.
        shape: (H, W, …) of the photograph.
    """
    most, size = getattr(detector, "max_faces", None), getattr(detector, "size", None)
    if most and len(found) >= most:
        return f"{most} faces are the most that are kept; try the detector retinaface(max_faces={4 * most})."
    if size and not len(found) and max(shape[:2]) >= LARGE * size and not getattr(detector, "auto", False):
        return f"Small faces in {shape[1]}×{shape[0]} pixels may be missed; try the detector retinaface(size='auto')."
    return ""


def choose(found: Detections, which: str, shape: Sequence[int]) -> Detections:
    """Choose faces of one photograph.

    Args:
        found: its faces, best first.
        which: ``all``; ``largest``, by the area of the box; ``central``, by its middle's distance from the picture's.
        shape: (H, W, …) of the photograph.

    Returns:
        All, or one of them: the better one on ties.
    """
    if which == "all" or len(found) < 2:
        return found
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    if which == "largest":
        return found.take([int(sides.prod(axis=1).argmax())])
    middle = np.array([shape[1], shape[0]]) / 2
    return found.take([int(np.square(found.boxes[:, :2] + sides / 2 - middle).sum(axis=1).argmin())])


# Distance of the eyes, and their distance from the top, as fractions of the side of an aligned face. The values are
# medians of RetinaFace's landmarks on 400 faces of FER2013, so that networks trained on FER2013 see photographs cropped
# in the same way.
EYE_DISTANCE = 0.37
EYE_LINE = 0.385
# In those faces the mouth is one eye distance below the eyes. A turned head shortens the eye distance but not the
# distance to the mouth, which an open mouth lengthens by up to a third: 0.7 affects only heads turned by 45° or more.
EYE_DISTANCE_BY_MOUTH = 0.7


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of boxes (A, 4) with boxes (B, 4): an array (A, B)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=-1) for b in (first, second)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)


# Ranges of distances in a face, as fractions of the root of its box's area: of 1,315 upright faces of FER2013 99 % are
# inside, of 137 that were found upside down 15 % (RetinaFace then places the landmarks of an upright face).
MOUTH_BELOW_EYES = (0.3, 0.6)
NOSE_BELOW_EYES = 0.1
MOUTH_BELOW_NOSE = 0.06
MOUTH_BESIDE = 0.15
# A face turned by more than this is found better in the turned photograph.
MOST_TURNED = np.radians(50)


def plausible(boxes: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Check that landmarks are arranged as those of a face, whichever way it is turned.

    Args:
        boxes: float32 (F, 4).
        landmarks: float32 (F, 5, 2); NaN for unknown landmarks.

    Returns:
        bool (F,): whether the mouth lies below the eyes, not beside them, and the nose between, at distances that fit
        the box; true for unknown landmarks.

    Example:
        >>> face = np.float32([[[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]]])
        >>> upside_down = face[:, :, ::-1][:, ::-1]
        >>> plausible(np.float32([[0, 0, 100, 100]]), face), plausible(np.float32([[0, 0, 100, 100]]), upside_down)
        (array([ True]), array([False]))
    """
    eyes, mouth = landmarks[:, :2].mean(axis=1), landmarks[:, 3:].mean(axis=1)
    side = np.sqrt(np.maximum(1e-6, (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)))
    angle = _angles(landmarks)
    across = np.stack([np.cos(angle), np.sin(angle)], axis=-1) / side[:, None]
    below = np.stack([-across[:, 1], across[:, 0]], axis=-1)
    down, nose = ((below * (point - eyes)).sum(axis=1) for point in (mouth, landmarks[:, 2]))
    beside = np.abs((across * (mouth - eyes)).sum(axis=1))
    fits = (down >= MOUTH_BELOW_EYES[0]) & (down <= MOUTH_BELOW_EYES[1]) & (beside <= MOUTH_BESIDE)
    fits &= (nose >= NOSE_BELOW_EYES) & (down - nose >= MOUTH_BELOW_NOSE)
    return fits | ~np.isfinite(landmarks).all(axis=(1, 2))


def upright(landmarks: np.ndarray) -> np.ndarray:
    """Return whether faces (F, 5, 2) are turned by at most ``MOST_TURNED``: bool (F,), true if unknown."""
    return ~(np.abs(_angles(landmarks)) > MOST_TURNED)


def _angles(landmarks: np.ndarray) -> np.ndarray:
    along = landmarks[:, 1] - landmarks[:, 0]
    return np.arctan2(along[:, 1], along[:, 0])


def face_frames(boxes: np.ndarray, landmarks: np.ndarray, margin: Any = 0.0, align: bool = True) -> np.ndarray:
    """Return the frames of faces: aligned if their landmarks are known, otherwise squares.

    Args:
        boxes: float32 (F, 4).
        landmarks: float32 (F, 5, 2); NaN for unknown landmarks.
        margin: Fraction by which the side grows; a number, or float32 (F,).
        align: ``False`` returns upright squares for all faces.

    Returns:
        float32 (F, 4).
    """
    frames = square_frames(boxes, margin)
    if not align:
        return frames
    pointed = np.isfinite(landmarks).all(axis=(1, 2))
    return np.where(pointed[:, None], aligned_frames(np.where(pointed[:, None, None], landmarks, 0), margin), frames)


def aligned_frames(landmarks: Any, margin: float = 0.0) -> Any:
    """Return the frames that level the eyes and give them a fixed distance.

    The scale depends on the eyes alone, so that an open mouth does not shrink the face. See
    ``EYE_DISTANCE_BY_MOUTH`` for heads seen from the side.

    Args:
        landmarks: float32 (F, 5, 2), x, y: right eye (at the picture's left), left eye, nose, mouth corners.
        margin: Fraction by which the side grows.

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
    center = eyes + down * (side * (0.5 - EYE_LINE))[:, None]
    return _frames(center, side * (1 + margin), angle)


def square_frames(boxes: Any, margin: float = 0.0) -> Any:
    """Return upright squares with the center and the longer side of each box.

    Args:
        boxes: float32 (F, 4), x0, y0, x1, y1.
        margin: Fraction by which the side grows.

    Returns:
        float32 (F, 4).
    """
    ops = library(boxes)
    side = ops.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) * (1 + margin)
    return _frames((boxes[:, :2] + boxes[:, 2:]) / 2, side, ops.zeros_like(side))


def to_frame(points: Any, frames: Any, size: int) -> Any:
    """Convert points of the photograph to pixels of the cropped faces.

    Args:
        points: float32 (F, K, 2), x, y in the photograph.
        frames: float32 (F, 4).
        size: Side of the cropped face in pixels.

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


def _frames(center: Any, side: Any, angle: Any) -> Any:
    return library(center).concatenate([center, side[:, None], angle[:, None]], axis=-1)


def library(*values: Any) -> ModuleType:
    """Return NumPy if all values are arrays or plain numbers, otherwise ``keras.ops``.

    NumPy and ``keras.ops`` use the same names, so that one formula serves both. A small operation on an array takes
    NumPy a microsecond, and TensorFlow outside of a graph a hundred.
    """
    if all(isinstance(v, np.ndarray | np.generic | int | float) for v in values):
        return np
    from keras import ops

    return ops
