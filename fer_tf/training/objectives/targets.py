"""Train on further targets: teachers, landmarks, valence and arousal."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.layers import mean_shape
from fer_tf.losses import concordance
from fer_tf.models import logits_of, metadata_of
from fer_tf.training import compute
from fer_tf.training.objectives.base import Objective, check_share, class_weights_of, face_weights
from fer_tf.training.objectives.networks import SCNObjective


def softened(logits: Sequence[Any], temperature: float) -> Any:
    """Return the mean over networks of softmax(logits / temperature).

    Args:
        logits: one float (B, C) a network.
        temperature: above 0; 1 leaves the probabilities as they are, more makes them softer.

    Returns:
        Float (B, C), rows sum to 1.
    """
    return ops.mean(ops.stack([ops.softmax(z / temperature, axis=-1) for z in logits]), axis=0)


class Distillation(Objective):
    """The compiled loss against (1 − w)·labels + w·teachers.

    The teachers see what the network sees, augmented, cropped and mixed, for a teacher that knows the training faces by
    heart has little to say of them as they are (arXiv 2106.05237). Their forward passes take part of each step's time.
    History: ``agreement``, the share of faces whose most probable class is the teachers'.

    Args:
        network, table: see ``Objective``.
        teachers: ``.keras`` files of networks for the same classes and input shape; several are averaged.
        weight: w, the teachers' share of the targets; 1 needs no labels.
        temperature: what the teachers' logits are divided by; the network's own are not.

    Raises:
        UserError: no teacher, one of other classes or shape, or a value out of range.

    References:
        arXiv 1503.02531.
    """

    def __init__(
        self,
        network: keras.Model,
        table: FaceTable,
        /,
        teachers: Sequence[str] = (),
        weight: float = 0.5,
        temperature: float = 2.0,
    ):
        super().__init__(network, table, parts=("agreement",))
        check_share("weight", weight)
        if not temperature > 0:
            raise UserError(f"temperature is {temperature!r}. Expected a number above 0.")
        if isinstance(teachers, str) or not teachers:
            raise UserError(f"distillation needs teachers=('file.keras', …), got {teachers!r}.")
        self.weight, self.temperature = weight, temperature
        loaded = [_teacher(path, network, table) for path in teachers]
        # In a function, since Keras would train and store every network that it finds among the attributes.
        self._teachers = lambda: loaded

    def speed_up(self, precision: str) -> None:
        """Let the network and its teachers compute in ``precision``; see ``fer_tf.training.compute``."""
        super().speed_up(precision)
        for teacher in self._teachers():
            has_slow = any(isinstance(x, keras.layers.DepthwiseConv2D) for x in teacher._flatten_layers())
            compute.speed_up(teacher, "float32" if has_slow else precision)

    def call(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return the network's outputs, and the teachers' distribution (B, C) as ``teachers``."""
        outputs = super().call(images, training=training)
        outputs = outputs if isinstance(outputs, dict) else {"logits": outputs}
        theirs = softened([logits_of(t(images, training=False)) for t in self._teachers()], self.temperature)
        return {**outputs, "teachers": ops.stop_gradient(theirs)}

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        logits, theirs = logits_of(outputs), outputs["teachers"]
        same = ops.argmax(logits, axis=-1) == ops.argmax(theirs, axis=-1)
        self.note(agreement=ops.mean(ops.cast(same, "float32")))
        return self.class_loss((1 - self.weight) * labels["targets"] + self.weight * theirs, logits)


def _teacher(path: str, network: keras.Model, table: FaceTable) -> keras.Model:
    """Load a teacher, or say why it cannot teach."""
    teacher = models.load_model(path)
    classes = metadata_of(teacher).label_set.classes
    if classes != table.label_set.classes:
        names = [", ".join(c) for c in (classes, table.label_set.classes)]
        raise UserError(f"{path} cannot teach: its classes are {names[0]}; expected {names[1]}.")
    if teacher.input_shape[1:] != network.input_shape[1:]:
        sizes = ["×".join(map(str, s[1:])) for s in (teacher.input_shape, network.input_shape)]
        raise UserError(f"{path} cannot teach: it takes faces of {sizes[0]}; expected {sizes[1]}.")
    return teacher


def landmark_loss(landmarks: Any, predicted: Any, side: float) -> Any:
    """Return the mean distance in x or y over the coordinates that are known, as a fraction of the image's side.

    Args:
        landmarks: float (B, K, 2) in pixels, NaN where missing; such coordinates have no gradient.
        predicted: float (B, K, 2) in pixels.
        side: of the image, in pixels.

    Returns:
        Float scalar; 0 when nothing is known.
    """
    known = ops.logical_not(ops.isnan(landmarks))
    # NaN is replaced before the difference: taken out afterwards, it would stay in the gradient.
    distances = ops.abs(predicted - ops.where(known, landmarks, predicted))
    counts = ops.sum(ops.cast(known, predicted.dtype))
    return ops.sum(ops.where(known, distances, 0.0)) / (ops.maximum(counts, 1.0) * side)


class Landmarks(SCNObjective):
    """Self-Cure's parts, and the distance of the landmarks. History: Self-Cure's, and ``landmark``.

    The mean shape of the training faces, in pixels of the network's input, becomes a constant of the network.

    Args:
        network, table: see ``Objective``; the network has a layer ``alpha`` and an output ``landmarks`` (B, K, 2).
        coefficient: weight of the landmarks; 0 trains without them, by the same batches.
        **settings: those of ``SCNObjective``. The public code has margin 0.5, and relabels by a margin of 0.4 from
            epoch 1800 of 3000 on; here, labels stay unless ``relabel_from`` is given.

    References:
        github.com/RainbowRui/Landmark-Driven-Facial-Expression-Recognition.
    """

    def __init__(
        self,
        network: keras.Model,
        table: FaceTable,
        /,
        coefficient: float = 1.0,
        beta: float = 0.7,
        margin: float = 0.5,
        gamma: float = 0.5,
        relabel_from: int | None = None,
        relabel_margin: float = 0.4,
        scope: str = "all",
    ):
        super().__init__(
            network, table, beta=beta, margin=margin, gamma=gamma, relabel_from=relabel_from,
            relabel_margin=relabel_margin, scope=scope,
        )  # fmt: skip
        if not coefficient >= 0:
            raise UserError(f"coefficient is {coefficient!r}. Expected a number of at least 0.")
        self.coefficient = coefficient
        self.parts["landmark"] = keras.metrics.Mean(name="landmark")
        height, width = network.input_shape[1:3]
        self.side = float(max(height, width))
        points = network.get_layer("landmarks").points
        if table.landmarks.shape[1] != points:
            raise UserError(f"The dataset has {table.landmarks.shape[1]} landmarks a face, the network {points}.")
        # As a central crop sees them.
        room = table.image_shape[1] - width, table.image_shape[0] - height
        network.get_layer("landmarks").mean_shape.assign(mean_shape(table.landmarks) - [r // 2 for r in room])

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss, and relabel; see ``Objective``."""
        distance = landmark_loss(labels["landmarks"], outputs["landmarks"], self.side)
        self.note(landmark=distance)
        return super().loss_of(labels, outputs, training) + self.coefficient * distance


DIMENSIONS = ("valence", "arousal")


class Multitask(Objective):
    """The compiled loss, classes weighted or not, and (1 − CCC)/2 of valence and of arousal.

    The concordance is that of each batch, over the faces whose value is known. History: ``weighted_ce``, and the
    concordances themselves, ``ccc_valence`` and ``ccc_arousal``, as means over the batches that know any.

    Args:
        network, table: see ``Objective``; the network has an output ``valence_arousal`` (B, 2).
        class_weights: ``none`` or ``balanced``, see ``Classification``.
        coefficient: weight of each concordance loss.

    References:
        arXiv 2103.17107.
    """

    def __init__(
        self, network: keras.Model, table: FaceTable, /, class_weights: str = "balanced", coefficient: float = 1.0
    ):
        super().__init__(network, table, parts=("weighted_ce", *(f"ccc_{name}" for name in DIMENSIONS)))
        if not coefficient >= 0:
            raise UserError(f"coefficient is {coefficient!r}. Expected a number of at least 0.")
        self.coefficient = coefficient
        self.class_weights = class_weights_of(class_weights, table)

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        targets = labels["targets"]
        weights = None if self.class_weights is None else face_weights(targets, self.class_weights)
        total = self.class_loss(targets, logits_of(outputs), weights)
        self.note(weighted_ce=total)
        for i, name in enumerate(DIMENSIONS):
            truth = labels["valence_arousal"][:, i]
            any_known = ops.cast(ops.any(ops.logical_not(ops.isnan(truth))), "float32")
            value = concordance(truth, outputs["valence_arousal"][:, i])
            self.parts[f"ccc_{name}"].update_state(value, sample_weight=any_known)
            total = total + self.coefficient * any_known * (1 - value) / 2
        return total
