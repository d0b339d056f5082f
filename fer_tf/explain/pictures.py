"""Explain the faces of photographs: detect, align, crop, compute heat maps."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.explain.methods import get
from fer_tf.faces import detectors
from fer_tf.faces.crop import crop_faces
from fer_tf.faces.detectors import NO_FACE, WHICH, Detector, choose
from fer_tf.inference import inputs
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.inference.inputs import Input
from fer_tf.inference.sources import FigureSource
from fer_tf.io import pictures

# Side in pixels of the faces in figures; the network sees them smaller.
VIEW = 224


@dataclass(frozen=True, eq=False)
class FaceView:
    """What a figure shows of one face.

    Attributes:
        image: uint8 (S, S, 3), the part of the photograph that the network saw, in any resolution.
        heat: float (H, W) in [0, 1], over the same square.
        probabilities: float (C,).
        explained: name of the explained class, or "" where the method explains none.
        box: x0, y0, x1, y1 in pixels of the photograph, or ``None`` where the whole photograph is the face.
        name: title of the face in a grid.
        doubtful: whether its landmarks are not arranged as those of a face, so that it may be turned.
    """

    image: np.ndarray
    heat: np.ndarray
    probabilities: np.ndarray
    explained: str
    box: tuple[float, float, float, float] | None = None
    name: str = ""
    doubtful: bool = False


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result for one picture.

    Attributes:
        source: the picture.
        photograph: uint8 (H, W, 3), or ``None`` where it cannot be read.
        faces: one view for each face.
        reason: why there are no faces, or "".
        note: why there may be more faces, and how they are found, or "".
    """

    source: FigureSource
    photograph: np.ndarray | None
    faces: Sequence[FaceView]
    reason: str = ""
    note: str = ""


class PictureExplainer:
    """Explain the faces of photographs: detector, network and heat map method together."""

    def __init__(
        self,
        model: keras.Model | Path | str = "default",
        method: str = "gradcam",
        explained: str | None = None,
        layer: str | None = None,
        faces: str = "largest",
        detector: Detector | str | None = "retinaface",
    ):
        """Load the networks; nothing is compiled before the first picture.

        Args:
            model: name of a shipped network, path of a ``.keras`` file, or a network with metadata.
            method: a name of ``fer_tf.explain.METHODS``.
            explained: name of the class; ``None`` means each face's most probable one.
            layer: name of the layer that is explained; ``None`` means the network's own.
            faces: which faces of a photograph: ``"largest"``, ``"all"``, or the most ``"central"``.
            detector: the detector or its call string; ``None`` takes each picture as a face.

        Raises:
            UserError: an unknown model, method, class, layer, detector, or choice of faces.
        """
        if faces not in WHICH:
            raise UserError(f"faces={faces!r} is unknown. Expected {', '.join(WHICH)}.")
        self.classifier = ExpressionClassifier(model)
        self.explainer = get(method, self.classifier, layer)
        self.classes = self.classifier.label_set.classes
        self.explained, self.faces = explained, faces
        if explained is not None:
            self.explainer.class_number(explained)
        self.detector = None if detector is None else detectors.get(detector)

    def explain(self, photograph: Input, name: str = "") -> list[FaceView]:
        """Explain the faces of one photograph, all in one pass through the network.

        Args:
            photograph: a photograph as in ``fer_tf.analyze``.
            name: title of the faces.

        Returns:
            One view for each face, the best one first; none where no face is found.
        """
        photograph = inputs.pixels(photograph)
        boxes, doubtful, faces, views = self._cut(photograph) if self.detector else self._whole(photograph)
        if not len(faces):
            return []
        found = self.explainer.explain(faces, self.explained)
        probabilities = tf.nn.softmax(found.logits / self.classifier.metadata.temperature).numpy()
        by_class = self.explainer.by_class
        return [
            FaceView(view, heat, row, self.classes[number] if by_class else "", box, name, bool(doubt))
            for view, heat, row, number, box, doubt in zip(
                views, found.heat, probabilities, found.classes, boxes, doubtful, strict=True
            )
        ]

    def explain_files(self, sources: Iterable[FigureSource]) -> Iterator[Outcome]:
        """Explain pictures one after the other; a picture that cannot be read gives an outcome with a reason."""
        for source in sources:
            try:
                photograph = pictures.read_photograph(source.path)
            except DataError as error:
                yield Outcome(source, None, (), str(error))
                continue
            faces = self.explain(photograph, source.name)
            note = detectors.note_more(self.detector, faces, photograph.shape) if self.detector else ""
            yield Outcome(source, photograph, faces, "" if faces else f"{NO_FACE} {note}".rstrip(), note)

    def _cut(self, photograph: np.ndarray) -> tuple[Sequence, Sequence, np.ndarray, np.ndarray]:
        """Return the boxes of faces, which are doubtful, the faces for the classifier, and what the network sees."""
        found = choose(self.detector.detect([photograph])[0], self.faces, photograph.shape)
        if not len(found):
            return [], [], np.empty(0), np.empty(0)
        frames = detectors.face_frames(found.boxes, found.landmarks)
        side = self.classifier.metadata.face_size
        seen = frames * np.array([1, 1, self._seen(), 1], np.float32)
        boxes = [tuple(map(float, box)) for box in found.boxes]
        doubtful = ~detectors.plausible(found.boxes, found.landmarks)
        return boxes, doubtful, crop_faces(photograph, frames, side), crop_faces(photograph, seen, VIEW)

    def _whole(self, picture: np.ndarray) -> tuple[Sequence, Sequence, np.ndarray, np.ndarray]:
        """Return the same for a picture that is a face; it is stretched where it is not square."""
        height, width = picture.shape[:2]
        cut = (1 - self._seen()) / 2
        box = (cut * width, cut * height, (1 - cut) * width, (1 - cut) * height)
        view = Image.fromarray(picture).resize((VIEW, VIEW), Image.Resampling.BILINEAR, box)
        return [None], [False], picture[None], np.asarray(view)[None]

    def _seen(self) -> float:
        """Return the share of a face's side that the network sees."""
        return self.classifier.input_shape[0] / self.classifier.metadata.face_size
