"""From faces to heat maps: forward and backward through a network once for a batch, compiled once."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.explain import METHODS, layers
from fer_tf.explain.evidence import Evidence, normalised
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.labels import SYNONYMS, LabelSet
from fer_tf.models import logits_of

BATCH = 64
# In place of a class's number: the most probable one.
PREDICTED = -1


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found of N faces.

    Attributes:
        heat: float32 (N, H, W) in [0, 1], see ``fer_tf.explain.heatmaps``.
        raw: float32 (N, h, w), the method's own maps: any sign, in the layer's resolution, not normalised.
        logits: float32 (N, C), the network's, not calibrated.
        classes: int32 (N,), which were explained.
    """

    heat: np.ndarray
    raw: np.ndarray
    logits: np.ndarray
    classes: np.ndarray


class Explainer(tf.Module):
    """A network, a method and a layer, as one compiled function."""

    def __init__(self, network: keras.Model | ExpressionClassifier, method: str = "gradcam", layer: str | None = None):
        """Set up the function; nothing is compiled before the first call.

        Args:
            network: an ``ExpressionClassifier`` (its ``flip`` and temperature have no part in the maps), or a network.
            method: a name of ``fer_tf.explain.METHODS``.
            layer: name of the layer whose output is weighed, at any depth; ``None``: ``facts.gradcam_layer``.

        Raises:
            UserError: an unknown method or layer.
        """
        super().__init__(name="explainer")
        self.classifier = network if isinstance(network, ExpressionClassifier) else None
        self.network = self.classifier.network if self.classifier else network
        self.method = METHODS[method]
        self.layer = layers.choose(self.network, layer).name
        self._both = layers.with_activations(self.network, layers.choose(self.network, layer))
        self._draw = self.method.load()

    def explain(
        self, faces: np.ndarray | tf.Tensor, classes: str | int | Sequence[str | int] | None = None
    ) -> Explanation:
        """Draw the heat maps of faces, ``BATCH`` of them at a time.

        Args:
            faces: pixels 0 to 255, see ``fer_tf.explain.heatmaps``.
            classes: a class by name or number, or one a face; ``None``: each face's most probable class.

        Raises:
            UserError: an unknown class, a class where the method explains none, or faces of another shape.
        """
        if len(np.shape(faces)) != 4 or not len(faces):
            raise UserError(f"Faces are pixels (N, h, w, channels) with N > 0, got {np.shape(faces)}.")
        wanted = self._numbers(classes, len(faces))
        parts = [self._batch(faces[i : i + BATCH], wanted[i : i + BATCH]) for i in range(0, len(faces), BATCH)]
        return Explanation(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _batch(self, faces: np.ndarray | tf.Tensor, classes: np.ndarray) -> list[np.ndarray]:
        prepared = self.classifier.prepare(faces) if self.classifier else tf.cast(faces, tf.float32)
        expected = self.network.input_shape
        if any(e not in (None, n) for e, n in zip(expected, prepared.shape, strict=True)):
            raise UserError(f"Faces are {prepared.shape[1:]}, the network takes {expected[1:]}.")
        found = [part.numpy() for part in self._compiled(prepared, tf.constant(classes))]
        if len(found[1]) != len(classes):
            rows = len(found[1]) // len(classes)
            raise UserError(f"Layer {self.layer!r} gives {rows} maps a face. Choose a layer that gives one.")
        return found

    @functools.cached_property
    def _compiled(self) -> tf.types.experimental.ConcreteFunction:
        # Concrete, since TensorFlow takes the functions of several explainers for one that is traced too often.
        signature = [tf.TensorSpec((None, *self.network.input_shape[1:])), tf.TensorSpec((None,), tf.int32)]
        return tf.function(self._explain, input_signature=signature, autograph=False).get_concrete_function()

    def _explain(self, images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return heat (N, H, W), raw maps (N, h, w), logits (N, C) and explained classes (N,)."""
        activations, outputs = self._both(images, training=False)
        logits = logits_of(outputs)
        classes = tf.where(classes == PREDICTED, tf.argmax(logits, -1, tf.int32), classes)
        gradients = self._gradients(logits, classes, activations) if self.method.facts["gradient"] else None
        evidence = Evidence(
            images,
            tf.cast(activations, tf.float32),
            gradients,
            classes,
            lambda others: tf.cast(logits_of(self.network(others, training=False)), tf.float32),
        )
        raw = self._draw(evidence)
        return normalised(raw, tf.shape(images)[1:3]), raw, tf.cast(logits, tf.float32), classes

    def _gradients(self, logits: tf.Tensor, classes: tf.Tensor, activations: tf.Tensor) -> tf.Tensor:
        # Of the sum: no face's logit depends on another face. A tape would have to see the way from the images to the
        # activations, which layers such as FER+'s equalisation cut.
        (found,) = tf.gradients(tf.reduce_sum(tf.gather(logits, classes, batch_dims=1)), activations)
        if found is None:
            raise UserError(f"Layer {self.layer!r} does not lead to the logits of network {self.network.name!r}.")
        return tf.cast(found, tf.float32)

    def _numbers(self, classes: str | int | Sequence[str | int] | None, count: int) -> np.ndarray:
        """Return a class number for each face, ``PREDICTED`` where none is given."""
        if classes is None:
            return np.full(count, PREDICTED, np.int32)
        one = isinstance(classes, str | int | np.integer)
        numbers = [self.number(c) for c in ([classes] if one else classes)]
        if not one and len(numbers) != count:
            raise UserError(f"{len(numbers)} classes for {count} faces. Give one a face, or one for all.")
        return np.array(numbers * count if one else numbers, np.int32)

    def number(self, wanted: str | int) -> int:
        """Return the number of a class that is given by name or number.

        Raises:
            UserError: no such class, or the method explains none.
        """
        if not self.method.facts["by_class"]:
            raise UserError(f"{self.method.name} draws one map for all classes. Leave the class out.")
        metadata = getattr(self.network, "metadata", None)
        if isinstance(wanted, str):
            if metadata is None:
                raise UserError(
                    f"Network {self.network.name!r} does not name its classes. Give a number for {wanted!r}."
                )
            return class_index(metadata.label_set, wanted)
        count = logits_of(layers.output_of(self.network)).shape[-1]
        if not 0 <= wanted < count:
            raise UserError(f"No class {wanted}. Network {self.network.name!r} has 0 to {count - 1}.")
        return int(wanted)


def class_index(label_set: LabelSet, name: str) -> int:
    """Return the column of a class; nouns and adjectives are one, so that every set has its ``happy``.

    Raises:
        UserError: the set has no such class; lists those it has.
    """
    spelled = [SYNONYMS.get(c, c) for c in label_set.classes]
    plain = SYNONYMS.get(name.lower(), name.lower())
    return spelled.index(plain) if plain in spelled else label_set.index(name)
