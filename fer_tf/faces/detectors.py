"""Face detectors by name, behind one small protocol.

A row's facts: ``landmarks`` (how many points it gives a face; 0 for none) and ``extra`` (what to install for it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fer_tf.registry import Registry

# The order of the five landmarks; right and left are the person's own, so the right eye is at the picture's left.
FIVE_POINTS = ("right eye", "left eye", "nose", "right mouth corner", "left mouth corner")

POINT_COLUMNS = tuple(f"{name.replace(' ', '_')}_{axis}" for name in FIVE_POINTS for axis in "xy")
WHICH = ("largest", "all", "central")
NO_FACE = "no face found."

DETECTORS = Registry("detector")
DETECTORS.add("retinaface", "fer_tf.faces.extraction:RetinaFaceDetector", landmarks=5, extra="")
DETECTORS.add("hog", "fer_tf.faces.dlib_faces:HogDetector", landmarks=5, extra="landmarks")


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of one photograph, best first.

    Attributes:
        scores: float32 (F,); comparable within one detector only.
        boxes: float32 (F, 4); x0, y0, x1, y1 in pixels of the photograph, possibly beyond its edges.
        landmarks: float32 (F, 5, 2); x, y in pixels, in the order of ``FIVE_POINTS``; NaN where there are none.
    """

    scores: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: Sequence[int] | np.ndarray) -> "Detections":
        """Return the faces of an int index or boolean mask."""
        return Detections(self.scores[index], self.boxes[index], self.landmarks[index])


class Detector(Protocol):
    """What finds faces in photographs.

    One that may be asked by several threads at once has an attribute ``concurrent`` that is true.
    """

    def detect(self, photographs: Sequence[np.ndarray]) -> list[Detections]:
        """Find the faces of each photograph.

        Args:
            photographs: RGB, uint8 (H, W, 3), each of its own size.

        Returns:
            One ``Detections`` a photograph, in order; empty ones where no face was found. A photograph's result does
            not depend on the others.
        """
        ...


def build(text: str) -> Detector:
    """Make the detector that a call string names, such as ``"retinaface(threshold=0.8)"``.

    Raises:
        UserError: unknown name or option, or the extra that it needs is not installed.
    """
    return DETECTORS.make(text)


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
