"""Create face detectors by name, and define their interface.

Facts of a registry row: ``landmarks`` (number of points it finds in a face) and ``extra`` (extra to install).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fer_tf.registry import Registry

# Order of the five landmarks. Right and left are the person's own: the right eye is on the left of the image.
FIVE_POINTS = ("right eye", "left eye", "nose", "right mouth corner", "left mouth corner")

POINT_COLUMNS = tuple(f"{name.replace(' ', '_')}_{axis}" for name in FIVE_POINTS for axis in "xy")
WHICH = ("largest", "all", "central")
NO_FACE = "no face found."

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
