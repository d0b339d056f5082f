"""Train a network on the predictions of teachers."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.models import logits_of, metadata_of
from fer_tf.training import compute
from fer_tf.training.objectives.base import Objective, check_share


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
