"""From photographs to explained faces: detect, align, cut out, and draw heat maps of what the network sees."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.explain.explainer import Explainer
from fer_tf.explain.files import Source
from fer_tf.faces import detectors
from fer_tf.faces import frames as geometry
from fer_tf.faces.crop import crop_faces
from fer_tf.faces.detectors import NO_FACE, WHICH, Detector, choose
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io import pictures
from fer_tf.reports.explanations import FaceView

# Side in pixels of the faces in figures; the network sees them smaller.
VIEW = 224


@dataclass(frozen=True)
class Options:
    """What is explained, and how.

    Attributes:
        model: a shipped name or the path of a ``.keras`` file.
        method: a name of ``fer_tf.explain.METHODS``.
        explained: name of the class; ``None``: each face's most probable one.
        layer: ``None``: the network's own.
        faces: of a photograph: ``largest``, ``all``, or the most ``central``.
        crop: find faces; else a picture is the face already.
        detector: call string.
    """

    model: str | Path = "default"
    method: str = "gradcam"
    explained: str | None = None
    layer: str | None = None
    faces: str = "largest"
    crop: bool = True
    detector: str = "retinaface"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one picture.

    Attributes:
        source: the picture.
        photograph: uint8 (H, W, 3); ``None`` where it cannot be read.
        faces: one view a face.
        reason: why there is none; "" where there are faces.
    """

    source: Source
    photograph: np.ndarray | None
    faces: Sequence[FaceView]
    reason: str = ""


class PictureExplainer:
    """A detector, a network and a method, ready for one photograph after the other."""

    def __init__(
        self, options: Options | None = None, network: keras.Model | None = None, detector: Detector | None = None
    ):
        """Load the networks; nothing is compiled before the first picture.

        Args:
            options: ``None`` for the defaults.
            network: in place of ``options.model``.
            detector: in place of ``options.detector``.

        Raises:
            UserError: an unknown model, method, class, layer, detector, or choice of faces.
        """
        self.options = options = options or Options()
        if options.faces not in WHICH:
            raise UserError(f"faces={options.faces!r} is unknown. Expected {', '.join(WHICH)}.")
        self.classifier = ExpressionClassifier(network or options.model)
        self.explainer = Explainer(self.classifier, options.method, options.layer)
        self.classes = self.classifier.label_set.classes
        if options.explained is not None:
            self.explainer.number(options.explained)
        self.detector = (detector or detectors.get(options.detector)) if options.crop else None

    def explain(self, photograph: np.ndarray, name: str = "") -> list[FaceView]:
        """Explain the faces of one photograph, all in one pass through the network.

        Args:
            photograph: RGB, uint8 (H, W, 3).
            name: what the faces are called.

        Returns:
            One view a face, best or only one first; none where no face is found.
        """
        boxes, faces, views = self._cut(photograph) if self.detector else self._whole(photograph)
        if not len(faces):
            return []
        found = self.explainer.explain(faces, self.options.explained)
        probabilities = tf.nn.softmax(found.logits / self.classifier.metadata.temperature).numpy()
        by_class = self.explainer.method.facts["by_class"]
        return [
            FaceView(view, heat, row, self.classes[number] if by_class else "", box, name)
            for view, heat, row, number, box in zip(views, found.heat, probabilities, found.classes, boxes, strict=True)
        ]

    def explain_files(self, sources: Iterable[Source]) -> Iterator[Outcome]:
        """Explain pictures one after the other; one that cannot be read costs no other."""
        for source in sources:
            try:
                photograph = pictures.read_photograph(source.path)
            except DataError as error:
                yield Outcome(source, None, (), str(error))
                continue
            faces = self.explain(photograph, source.name)
            yield Outcome(source, photograph, faces, "" if faces else NO_FACE)

    def _cut(self, photograph: np.ndarray) -> tuple[Sequence, np.ndarray, np.ndarray]:
        """Return the boxes of faces, the faces as the classifier takes them, and what the network sees of them."""
        found = choose(self.detector.detect([photograph])[0], self.options.faces, photograph.shape)
        if not len(found):
            return [], np.empty(0), np.empty(0)
        frames = geometry.face_frames(found.boxes, found.landmarks)
        side = self.classifier.metadata.face_size
        seen = frames * np.array([1, 1, self._seen(), 1], np.float32)
        boxes = [tuple(map(float, box)) for box in found.boxes]
        return boxes, crop_faces(photograph, frames, side), crop_faces(photograph, seen, VIEW)

    def _whole(self, picture: np.ndarray) -> tuple[Sequence, np.ndarray, np.ndarray]:
        """Return the same of a picture that is a face; it is stretched where it is not square."""
        height, width = picture.shape[:2]
        cut = (1 - self._seen()) / 2
        box = (cut * width, cut * height, (1 - cut) * width, (1 - cut) * height)
        view = Image.fromarray(picture).resize((VIEW, VIEW), Image.Resampling.BILINEAR, box)
        return [None], picture[None], np.asarray(view)[None]

    def _seen(self) -> float:
        """Return how much of a face's side the network sees."""
        return self.classifier.input_shape[0] / self.classifier.metadata.face_size
