"""Results of analysis: one face, one image, or predictions for a batch of faces."""

import dataclasses
from typing import Any

import numpy as np

from fer_tf.labels import LabelSet

# JSON and CSV keep pixels to a thousandth and probabilities to a millionth.
PIXEL_DIGITS, SHARE_DIGITS, SECOND_DIGITS = 3, 6, 4


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """One face in a photograph or in a frame of a video.

    Attributes:
        source: Path of the file as it was given, ``"webcam 0"``, or the index of an array.
        frame: Index of the video frame, from 0; ``None`` for a photograph.
        time: Time of the video frame in seconds; ``None`` for a photograph.
        index: Index of the face in its image, by falling detection score.
        box: (x0, y0, x1, y1) in pixels; it may reach beyond the image.
        score: Detection score from 0 to 1; ``None`` if no detector was used.
        landmarks: float32 array of shape (5, 2), x and y in pixels, of the right eye, left eye, nose, right and left
            corner of the mouth; ``None`` if no detector was used.
        distribution: Dict from class to probability, in the order of the label set. The values sum to 1.
        label: The most probable class.
        track: Number of the person in a video, the same in each frame; ``None`` for a photograph.

    Example:
        >>> face = Face("a.jpg", None, None, 0, (1, 2, 30, 40), 0.9, None, {"happy": 0.8, "sad": 0.2}, "happy")
        >>> face.to_json()["distribution"]
        {'happy': 0.8, 'sad': 0.2}
        >>> Face.from_json(face.to_json()).box
        (1, 2, 30, 40)
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
        """Return the face as a dict of JSON values."""
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
        """Create a face from the dict that ``to_json`` returns."""
        points = values["landmarks"]
        points = None if points is None else np.asarray(points, np.float32)
        return cls(**{**values, "box": tuple(values["box"]), "landmarks": points})

    def with_distribution(self, distribution: dict[str, float], track: int | None) -> "Face":
        """Return a copy with another distribution, and the label that follows from it."""
        label = max(distribution, key=distribution.get)
        return dataclasses.replace(self, distribution=distribution, label=label, track=track)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageResult:
    """Faces of one photograph or video frame, or the reason why it was not read.

    Attributes:
        source: As in ``Face``.
        frame: As in ``Face``; ``None`` also for the damaged rest of a video.
        time: As in ``Face``.
        picture: uint8 array of shape (H, W, 3); ``None`` if the image was not read.
        faces: The faces, by falling detection score.
        reason: Why the image was not read; empty if it was.

    Example:
        >>> result = ImageResult("damaged.jpg", None, None, None, reason="The file is truncated.")
        >>> result.faces, result.reason
        ((), 'The file is truncated.')
    """

    source: str
    frame: int | None
    time: float | None
    picture: np.ndarray | None
    faces: tuple[Face, ...] = ()
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted distributions of a batch of faces.

    Attributes:
        probabilities: float32 array of shape (N, C); each row sums to 1.
        label_set: Names and order of the C classes.

    Example:
        >>> import numpy as np
        >>> from fer_tf.labels import LabelSet
        >>> prediction = Prediction(np.array([[0.9, 0.1]], np.float32), LabelSet("two", ("happy", "sad")))
        >>> prediction.labels
        ['happy']
    """

    probabilities: np.ndarray
    label_set: LabelSet

    @property
    def labels(self) -> list[str]:
        """The most probable class of each face: N names."""
        return [self.label_set.classes[i] for i in self.probabilities.argmax(axis=1)]

    def __len__(self) -> int:
        return len(self.probabilities)
