"""Wrap a network while it learns; the plain objective on logits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.models import logits_of
from fer_tf.training import compute


class Objective(keras.Model):
    """Train ``network`` on a loss, which subclasses give as ``loss_of``.

    The wrapper carries all that belongs to training alone (optimizer, loss, metrics, centers, relabel tables), so
    that the network itself stays uncompiled: only ``.network`` is saved, explained and exported. Tensors inside the
    network that only a loss reads are reached by the names of their layers.

    The history has a column a part: the mean over the batches, before it is weighted.

    Args:
        network: built model from pixels (N, H, W, C) in 0..255 to logits (N, classes), or to a dict with ``logits``.
        table: the training faces.
        tensors: names of layers whose output the loss reads, keyed by what ``loss_of`` calls them.
        parts: names of the numbers that the history gets.

    Attributes:
        replicas: in how many parts a batch's loss is computed apart (``fer_tf.training.parts``).
    """

    replicas = 1

    def __init__(
        self,
        network: keras.Model,
        table: FaceTable,
        /,
        tensors: Mapping[str, str] | None = None,
        parts: Sequence[str] = (),
    ):
        super().__init__(name="objective")
        self.network = network
        self.num_classes = len(table.label_set)
        self.inner = _with_tensors(network, tensors) if tensors else network
        self.parts = {name: keras.metrics.Mean(name=name) for name in parts}

    def speed_up(self, precision: str) -> None:
        """Let all networks of a training step compute in ``precision``; see ``fer_tf.training.compute``."""
        compute.speed_up(self.network, precision)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Mark as built: the network has its variables already, and subclasses make theirs when they are made."""
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the network's output, and the tensors that the loss reads, in float32 whatever the precision."""
        outputs = self.inner(images, training=training)
        return keras.tree.map_structure(lambda x: ops.cast(x, "float32"), outputs)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the scalar loss of a batch, and note its parts."""
        labels = y if isinstance(y, dict) else {"targets": y}
        total = self.loss_of(labels, y_pred, training)
        total = ops.sum([total, *self.losses]) if self.losses else total
        # The gradients of the replicas are summed.
        return total / self.replicas if self.replicas > 1 else total

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss, without the network's penalties on its weights.

        Args:
            labels: ``targets`` (B, classes) and the row's columns.
            outputs: what ``call`` returned.
            training: false while Keras only wants to know shapes.
        """
        return self.class_loss(labels["targets"], logits_of(outputs))

    def class_loss(self, targets: Any, logits: Any, sample_weight: Any = None) -> Any:
        """Return the compiled loss of a batch, a scalar."""
        loss = self.loss(targets, logits, sample_weight=sample_weight)
        # Keras divides its own losses, and no other term, by the number of replicas.
        return loss * self.replicas if self.replicas > 1 else loss

    def note(self, **values: Any) -> None:
        """Give the history a batch's parts."""
        for name, value in values.items():
            self.parts[name].update_state(value)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the compiled metrics with targets and logits; return all metrics."""
        # Keras drops compiled metrics without a word when its y has fewer keys than the outputs.
        targets = y["targets"] if isinstance(y, dict) else y
        return super().compute_metrics(x, targets, logits_of(y_pred), sample_weight)

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 1."""

    def write(self, folder: Path, table: FaceTable) -> None:
        """Write what the run's folder should have of this objective, after an epoch."""


def check_share(name: str, value: float) -> None:
    """Raise a ``UserError`` unless a setting is a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f"{name} is {value!r}. Expected a number from 0 to 1.")


def _with_tensors(network: keras.Model, tensors: Mapping[str, str]) -> keras.Model:
    outputs = network.output if isinstance(network.output, dict) else {"logits": network.output}
    return keras.Model(network.input, {**outputs, **{key: network.get_layer(n).output for key, n in tensors.items()}})


CLASS_WEIGHTS = ("none", "balanced")


def inverse_frequencies(targets: np.ndarray) -> np.ndarray:
    """Return how many times rarer each class is than the most frequent one, float32 (C,); 0 for one without faces."""
    counts = targets.sum(axis=0, dtype=np.float64)
    return np.divide(counts.max(), counts, out=np.zeros_like(counts), where=counts > 0).astype(np.float32)


def face_weights(targets: Any, class_weights: Any) -> Any:
    """Return the weight of each face of a batch, float (B,), mean 1.

    A mean of losses with these weights is Σ w·loss / Σ w, with w = Σ_c target_c · weight_c.

    Args:
        targets: float (B, C).
        class_weights: float (C,); a common factor changes nothing.
    """
    weights = ops.matmul(targets, class_weights)
    return weights / ops.mean(weights)


def class_weights_of(choice: str, table: FaceTable) -> np.ndarray | None:
    """Return the weights (C,) that an objective's ``class_weights`` asks for, ``None`` for none."""
    if choice not in CLASS_WEIGHTS:
        raise UserError(f"Unknown class_weights {choice!r}. Available: {', '.join(CLASS_WEIGHTS)}.")
    return None if choice == "none" else inverse_frequencies(table.targets)


class Classification(Objective):
    """The compiled loss alone.

    Args:
        network, table: see ``Objective``.
        class_weights: ``none``, or ``balanced``: rare classes count by the inverse of their frequency, and a batch's
            loss is divided by the sum of its faces' weights, as torch does. max(count)/count and N/(C·count), the two
            usual weights, differ by a factor that this division removes.

    References:
        arXiv 2103.17107.
    """

    def __init__(self, network: keras.Model, table: FaceTable, /, class_weights: str = "none"):
        super().__init__(network, table)
        self.class_weights = class_weights_of(class_weights, table)

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        targets = labels["targets"]
        weights = None if self.class_weights is None else face_weights(targets, self.class_weights)
        return self.class_loss(targets, logits_of(outputs), weights)
