"""Train DAN (Distract your Attention, arXiv 2109.07270)."""

from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.models import logits_of
from fer_tf.training.objectives.base import Objective


def affinity_loss(features: Any, targets: Any, centers: Any) -> Any:
    """Return the mean of ‖f − center of its class‖², divided by Σ_d Var over the classes of the centers.

    The variance is unbiased, over the C classes that there are; the gradient reaches it too.

    Args:
        features: float (B, D), pooled.
        targets: float (B, C); a distribution takes the mean of its classes' distances.
        centers: float (C, D).

    Returns:
        Float scalar.

    References:
        arXiv 2109.07270.
    """
    distances = ops.sum(ops.square(features[:, None] - centers[None]), axis=-1)
    spread = ops.sum(ops.var(centers, axis=0)) * _unbiased(centers.shape[0])
    return ops.mean(ops.sum(targets * distances, axis=-1)) / spread


def partition_loss(heads: Any, epsilon: float = 1e-7) -> Any:
    """Return log(1 + K / (σ² + ε)), σ² being the mean unbiased variance across the heads.

    Args:
        heads: float (B, D, K).
        epsilon: keeps the loss of equal heads finite.

    Returns:
        Float scalar.

    References:
        arXiv 2109.07270.
    """
    count = heads.shape[-1]
    return ops.log1p(count / (ops.mean(ops.var(heads, axis=-1)) * _unbiased(count) + epsilon))


def _unbiased(count: int) -> float:
    return count / (count - 1)


class Distract(Objective):
    """The compiled loss, the affinity loss and the partition loss.

    The centers, N(0, 1) at the start, are trained by the same optimizer. History: ``class_loss`` (the
    compiled one), ``affinity``, ``partition``.

    Args:
        network, table: see ``Objective``; the network has layers ``features`` (B, h, w, D) and ``heads`` (B, D, K).
        affinity: weight λ₁.
        partition: weight λ₂.

    References:
        arXiv 2109.07270.
    """

    def __init__(self, network: keras.Model, table: FaceTable, /, affinity: float = 1.0, partition: float = 1.0):
        tensors = {"features": "features", "heads": "heads"}
        super().__init__(network, table, tensors=tensors, parts=("class_loss", "affinity", "partition"))
        for name, value in (("affinity", affinity), ("partition", partition)):
            if not value >= 0:
                raise UserError(f"{name} is {value!r}. Expected a number of at least 0.")
        if self.num_classes < 2:
            raise UserError("Objective 'dan' needs at least 2 classes: its centers would have no variance.")
        self.affinity, self.partition = affinity, partition
        width = network.get_layer("features").output.shape[-1]
        self.centers = self.add_weight(
            shape=(self.num_classes, width), initializer=keras.initializers.RandomNormal(stddev=1.0), name="centers"
        )

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        pooled = ops.mean(outputs["features"], axis=(1, 2))
        affinity = affinity_loss(pooled, labels["targets"], self.centers)
        partition = partition_loss(outputs["heads"])
        classes = self.class_loss(labels["targets"], logits_of(outputs))
        self.note(class_loss=classes, affinity=affinity, partition=partition)
        return classes + self.affinity * affinity + self.partition * partition
