"""What is said of a face, a picture and a set of faces: plain records with a JSON form."""

import dataclasses
from typing import Any

import numpy as np

from fer_tf.labels import LabelSet

# JSON and CSV keep pixels to a thousandth and probabilities to a millionth.
PIXEL_DIGITS, SHARE_DIGITS, SECOND_DIGITS = 3, 6, 4


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face of a photograph or of a video's frame.

    Attributes:
        source: the file as it was named, ``"webcam 0"``, or the number of an array.
        frame: number of the video's frame from 0; ``None`` in a photograph.
        time: of the frame, in seconds; ``None`` in a photograph.
        index: number of the face in its picture, the best-detected first.
        box: x0, y0, x1, y1 in pixels, possibly beyond the picture's edges.
        score: the detector's, in 0..1; ``None`` where the picture was taken as a face.
        landmarks: float32 (5, 2), x and y in pixels: right eye, left eye, nose, right and left mouth corner; ``None``
            where there are none.
        distribution: class → probability, in the label set's order; sums to 1.
        label: the most probable class.
        track: number of the person in a video, who keeps it from frame to frame; ``None`` in a photograph.
    """

    source: str
    frame: int | None
    time: float | None
    index: int
    box: tuple[float, float, float, float]
    score: float | None
    landmarks: np.ndarray | None
    distribution: dict[str, float]
    label: str
    track: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads: numbers, strings, lists and ``None`` only."""
        points = (
            None if self.landmarks is None else [[round(float(v), PIXEL_DIGITS) for v in p] for p in self.landmarks]
        )
        return {
            "source": self.source,
            "frame": self.frame,
            "time": None if self.time is None else round(self.time, SECOND_DIGITS),
            "index": self.index,
            "track": self.track,
            "box": [round(v, PIXEL_DIGITS) for v in self.box],
            "score": None if self.score is None else round(self.score, SHARE_DIGITS),
            "landmarks": points,
            "distribution": {name: round(p, SHARE_DIGITS) for name, p in self.distribution.items()},
            "label": self.label,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Face":
        """Make a face from ``to_json``'s dict."""
        points = values["landmarks"]
        points = None if points is None else np.asarray(points, np.float32)
        return cls(**{**values, "box": tuple(values["box"]), "landmarks": points})

    def with_distribution(self, distribution: dict[str, float], track: int | None) -> "Face":
        """Return the face with another distribution, and the label that goes with it."""
        label = max(distribution, key=distribution.get)
        return dataclasses.replace(self, distribution=distribution, label=label, track=track)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageResult:
    """What was found in one photograph or frame, or why it could not be read.

    Attributes:
        source, frame, time: as of ``Face``; the end of a video that could not be read to its end has no frame.
        picture: uint8 (H, W, 3); ``None`` where it could not be read.
        faces: its faces, the best-detected first.
        reason: why it could not be read.
    """

    source: str
    frame: int | None
    time: float | None
    picture: np.ndarray | None
    faces: tuple[Face, ...] = ()
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """Distributions of faces that were given cut out.

    Attributes:
        probabilities: float32 (N, C) over ``label_set``; rows sum to 1.
        label_set: meaning and order of the columns.
    """

    probabilities: np.ndarray
    label_set: LabelSet

    @property
    def labels(self) -> list[str]:
        """The most probable class of each face, N names."""
        return [self.label_set.classes[i] for i in self.probabilities.argmax(axis=1)]

    def __len__(self) -> int:
        return len(self.probabilities)
