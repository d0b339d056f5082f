"""Compute heat maps: one compiled pass through the network for each batch."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.inference.api import classifier
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.inference.inputs import Input, face_batches
from fer_tf.labels import SYNONYMS, LabelSet
from fer_tf.models import logits_of

Network = keras.Model | ExpressionClassifier | Path | str
# Number of names in an error: a network may have hundreds of layers, and the last ones matter.
_LISTED = 40


def loaded(network: Network) -> keras.Model | ExpressionClassifier:
    """Return a network in memory as it is, and the classifier that ``fer_tf.predict`` uses for a name or path.

    Raises:
        UserError: no such network, or something else.
    """
    if isinstance(network, str | Path):
        return classifier(network)
    if not isinstance(network, keras.Model | ExpressionClassifier):
        raise UserError(
            f"{type(network).__name__} is no network. Expected a shipped name, a .keras file, or a Keras model."
        )
    return network


def choose(network: keras.Model, name: str | None) -> keras.layers.Layer:
    """Return the layer of that name, at any depth; ``None`` means the one that the network names.

    Raises:
        UserError: no such layer, its output is not a map, or the network has no graph of layers.
    """
    if not getattr(network, "inputs", None):
        raise UserError(f"Network {network.name!r} is not a graph of layers, so no heat map can be drawn.")
    layers = list(walk(network))
    maps = {layer.name: layer for layer in layers if gives_maps(layer)}
    last = ", ".join(["…"] * (len(maps) > _LISTED) + list(maps)[-_LISTED:])
    names = f"Layers whose output is (N, h, w, channels): {last or 'none'}."
    wanted = name or _named_by(network)
    if wanted is None:
        raise UserError(f"Network {network.name!r} does not say which layer its heat maps read. {names}")
    if wanted not in maps:
        known = any(layer.name == wanted for layer in layers)
        problem = f"Layer {wanted!r} gives no maps" if known else f"No layer {wanted!r}"
        raise UserError(f"{problem} in network {network.name!r}. {names}")
    return maps[wanted]


def _named_by(network: keras.Model) -> str | None:
    """Return the layer named in the metadata, or by the function of ``fer_tf.models`` that built the network."""
    known = getattr(network, "metadata", None) or network
    return getattr(known, "gradcam_layer", None)


def walk(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a network, each inner network followed by its own layers."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from walk(layer)


def gives_maps(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer computes one tensor (N, h, w, channels)."""
    if isinstance(layer, keras.layers.InputLayer):
        return False
    try:
        return len(layer.output.shape) == 4
    except (AttributeError, ValueError):  # Never called, or with several outputs.
        return False


def with_activations(network: keras.Model, layer: keras.layers.Layer) -> keras.Model:
    """Return a network of the same layers with the outputs ``[output of the layer, output of the network]``.

    Where the layer is inside an inner network, the outer one is rebuilt around it, on the same weights.
    """
    if any(member is layer for member in network.layers):
        return keras.Model(network.inputs, [layer.output, output_of(network)])
    inner = next(m for m in network.layers if isinstance(m, keras.Model) and any(x is layer for x in walk(m)))
    twin, found = with_activations(inner, layer), []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if operation is not inner:
            return operation(*args, **kwargs)
        activations, output = twin(*args, **kwargs)
        found.append(activations)
        return output

    graph = keras.Model(network.inputs, output_of(network))
    copy = keras.models.clone_model(graph, clone_function=lambda member: member, call_function=call)
    return keras.Model(copy.inputs, [found[-1], copy.output])


def output_of(network: keras.Model) -> Any:
    """Return a network's symbolic output; ``output`` fails on a Sequential that was never called."""
    return network.outputs[0] if isinstance(network, keras.Sequential) else network.output


# Stands for the number of the most probable class.
_PREDICTED = -1


@dataclass(frozen=True, eq=False)
class MapInputs:
    """What a method computes its maps from, for N faces.

    Attributes:
        images: float32 (N, H, W, channels), the network's input, 0 to 255.
        activations: float32 (N, h, w, D), output of the explained layer.
        gradients: float32 (N, h, w, D), gradient of each face's explained logit with respect to the activations;
            ``None`` for methods whose ``uses_gradient`` is false.
        classes: int32 (N,), the explained classes.
        logits: function from other images (M, H, W, channels) to the network's logits (M, C).
    """

    images: tf.Tensor
    activations: tf.Tensor
    gradients: tf.Tensor | None
    classes: tf.Tensor
    logits: Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Heat maps of N faces, and what they are of.

    Attributes:
        heat: float32 (N, H, W) in [0, 1] at the network's input size, see ``Explainer``.
        raw: float32 (N, h, w), the maps before that: any sign, in the layer's resolution.
        logits: float32 (N, C), the network's, not calibrated.
        classes: int32 (N,), the explained classes.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.models.ResNet10(num_classes=7, width=0.05)
        >>> found = fer_tf.explain.GradCAM(network).explain(np.zeros((2, 48, 48, 1)), classes=3)
        >>> found.classes, found.logits.shape
        (array([3, 3], dtype=int32), (2, 7))
    """

    heat: np.ndarray
    raw: np.ndarray
    logits: np.ndarray
    classes: np.ndarray


class Explainer:
    """Base class of the heat map methods: faces in, maps out.

    A method explains the logit of a class. Negative parts of a map are set to 0; the rest is resized to the network's
    input (bilinear) and divided by its maximum: 1 is the hottest pixel of a face, and maps of two faces cannot be
    compared in height. Where nothing is evidence for the class, a map is 0 everywhere.

    A subclass defines ``maps``, and the attributes ``title`` (for figures), ``uses_gradient`` (it needs gradients), and
    ``by_class`` (its maps depend on the class).

    Args:
        network: name of a shipped model, path of a ``.keras`` file, an ``ExpressionClassifier``, or a Keras model of
            images. ``flip`` and temperature of a classifier do not affect the maps.
        layer: name of the layer that is explained, at any depth; ``None`` means the one that the network names, in its
            metadata or as a model of ``fer_tf.models``.
        batch_size: largest number of faces in one pass.

    Raises:
        UserError: no such network or layer, or the network does not name a layer.

    Example:
        >>> import tensorflow as tf, numpy as np, fer_tf
        >>> class MeanMap(fer_tf.explain.Explainer):
        ...     title, uses_gradient, by_class = "mean activation", False, False
        ...     def maps(self, inputs):
        ...         return tf.reduce_mean(inputs.activations, axis=-1)
        >>> network = fer_tf.models.ResNet10(num_classes=7, width=0.05)
        >>> MeanMap(network)(np.zeros((2, 48, 48, 1))).shape
        (2, 48, 48)
    """

    title = ""
    uses_gradient = True
    by_class = True

    def __init__(self, network: Network, layer: str | None = None, batch_size: int = 64):
        network = loaded(network)
        self._takes_prepared = isinstance(network, keras.Model)
        if self._takes_prepared and getattr(network, "metadata", None) is not None:
            network = ExpressionClassifier(network)
        self.classifier = network if isinstance(network, ExpressionClassifier) else None
        self.network = self.classifier.network if self.classifier else network
        self.batch_size = batch_size
        chosen = choose(self.network, layer)
        self.layer = chosen.name
        self._both = with_activations(self.network, chosen)

    def __call__(
        self, faces: Input | Iterable[Input], classes: str | int | Sequence[str | int] | None = None
    ) -> np.ndarray:
        """Return the heat maps of faces.

        Args:
            faces: faces of any sizes, as in ``fer_tf.predict``. Those that have the input shape of a Keras model are
                taken as prepared, and a model without metadata takes no others.
            classes: a class by name or number, or one for each face; ``None`` means each face's most probable class.

        Returns:
            float32 (N, H, W) in [0, 1] at the network's input size: of the central square of a face, which the network
            sees.

        Raises:
            UserError: an unknown class, a class where the method explains none, faces of another shape, values outside
                0 to 255, or fractions from 0 to 1.
            DataError: a file cannot be read.
        """
        return self.explain(faces, classes).heat

    def explain(
        self, faces: Input | Iterable[Input], classes: str | int | Sequence[str | int] | None = None
    ) -> Explanation:
        """Return the heat maps of faces with raw maps, logits and classes; arguments are those of a call."""
        groups, step = face_batches(faces), self.batch_size
        if not groups:
            raise UserError("No face is given. Expected one or more.")
        order = np.concatenate([index for index, _ in groups])
        wanted = self._class_numbers(classes, len(order))
        parts = [
            self._batch(batch[i : i + step], wanted[index[i : i + step]])
            for index, batch in groups
            for i in range(0, len(index), step)
        ]
        back = np.argsort(order)
        return Explanation(*(np.concatenate(part)[back] for part in zip(*parts, strict=True)))

    def maps(self, inputs: MapInputs) -> tf.Tensor:
        """Compute raw maps float32 (N, h, w) of any sign; runs inside a TensorFlow graph."""
        raise NotImplementedError

    def class_number(self, wanted: str | int) -> int:
        """Return the number of a class that is given by name or number.

        Raises:
            UserError: no such class, or the method's maps do not depend on the class.
        """
        if not self.by_class:
            raise UserError(f"{self.title} draws one map for all classes. Leave the class out.")
        metadata = getattr(self.network, "metadata", None)
        if isinstance(wanted, str):
            if metadata is None:
                raise UserError(
                    f"Network {self.network.name!r} does not name its classes. Give a number for {wanted!r}."
                )
            return class_index(metadata.label_set, wanted)
        count = logits_of(output_of(self.network)).shape[-1]
        if not 0 <= wanted < count:
            raise UserError(f"No class {wanted}. Network {self.network.name!r} has 0 to {count - 1}.")
        return int(wanted)

    def _class_numbers(self, classes: str | int | Sequence[str | int] | None, count: int) -> np.ndarray:
        """Return a class number for each face, ``_PREDICTED`` where none is given."""
        if classes is None:
            return np.full(count, _PREDICTED, np.int32)
        one = isinstance(classes, str | int | np.integer)
        numbers = [self.class_number(c) for c in ([classes] if one else classes)]
        if not one and len(numbers) != count:
            raise UserError(f"{len(numbers)} classes for {count} faces. Give one for each face, or one for all.")
        return np.array(numbers * count if one else numbers, np.int32)

    def _batch(self, faces: np.ndarray, classes: np.ndarray) -> list[np.ndarray]:
        takes = self.network.input_shape[1:]
        fit = len(takes) == 3 and all(t in (None, n) for t, n in zip(takes, faces.shape[1:], strict=True))
        if self.classifier and not (fit and self._takes_prepared):
            prepared = self.classifier.prepare(tf.cast(faces, tf.float32))
        elif fit:
            prepared = tf.cast(faces, tf.float32)
        else:
            raise UserError(
                f"Faces are {faces.shape[1:]}, the network takes {takes}. It has no metadata to prepare others by."
            )
        found = [part.numpy() for part in self._compiled(prepared, tf.constant(classes))]
        if len(found[1]) != len(classes):
            rows = len(found[1]) // len(classes)
            raise UserError(f"Layer {self.layer!r} gives {rows} maps for each face. Choose a layer that gives one.")
        return found

    @functools.cached_property
    def _compiled(self) -> tf.types.experimental.ConcreteFunction:
        # Concrete: TensorFlow would take the functions of several explainers for one that is traced too often.
        signature = [tf.TensorSpec((None, *self.network.input_shape[1:])), tf.TensorSpec((None,), tf.int32)]
        return tf.function(self._explain, input_signature=signature, autograph=False).get_concrete_function()

    def _explain(self, images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return heat (N, H, W), raw maps (N, h, w), logits (N, C) and explained classes (N,)."""
        activations, outputs = self._both(images, training=False)
        logits = logits_of(outputs)
        classes = tf.where(classes == _PREDICTED, tf.argmax(logits, -1, tf.int32), classes)
        gradients = self._gradients(logits, classes, activations) if self.uses_gradient else None
        inputs = MapInputs(
            images,
            tf.cast(activations, tf.float32),
            gradients,
            classes,
            lambda others: tf.cast(logits_of(self.network(others, training=False)), tf.float32),
        )
        raw = self.maps(inputs)
        return normalize(raw, tf.shape(images)[1:3]), raw, tf.cast(logits, tf.float32), classes

    def _gradients(self, logits: tf.Tensor, classes: tf.Tensor, activations: tf.Tensor) -> tf.Tensor:
        # Of the sum, since no face's logit depends on another face. No tape: it would have to follow the path from the
        # images to the activations, which layers such as FER+'s equalization cut.
        (found,) = tf.gradients(tf.reduce_sum(tf.gather(logits, classes, batch_dims=1)), activations)
        if found is None:
            raise UserError(f"Layer {self.layer!r} does not lead to the logits of network {self.network.name!r}.")
        return tf.cast(found, tf.float32)


def normalize(raw: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Turn raw maps into heat maps.

    Args:
        raw: float32 (N, h, w), any sign.
        size: int32 (2,), height and width of the result.

    Returns:
        float32 (N, H, W) in [0, 1]: negative values set to 0, resized (bilinear), each map divided by its maximum; a
        map of zeros stays one.
    """
    heat = tf.image.resize(tf.nn.relu(raw)[..., None], size)[..., 0]
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True))


def class_index(label_set: LabelSet, name: str) -> int:
    """Return the column of a class; ``happy`` and ``happiness`` name the same one in every label set.

    Raises:
        UserError: the set has no such class; lists those it has.
    """
    spelled = [SYNONYMS.get(c, c) for c in label_set.classes]
    plain = SYNONYMS.get(name.lower(), name.lower())
    return spelled.index(plain) if plain in spelled else label_set.index(name)
