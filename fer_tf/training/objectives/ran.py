"""Region attention: some region of a face should matter more than the whole."""

from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.models import logits_of
from fer_tf.training.objectives.base import Objective

# Softmaxed weights are near 1/K, plain ones anywhere in (0, 1).
MARGINS = {"softmax": 0.1, "sigmoid": 0.02}


def rank_biased_loss(weights: Any, margin: float) -> Any:
    """Return the mean of max(0, δ − (largest weight of a region − weight of the whole face)).

    Args:
        weights: float (B, K), the whole face last.
        margin: δ.

    Returns:
        Float scalar.

    References:
        arXiv 1905.04075.
    """
    return ops.mean(ops.maximum(margin - (ops.max(weights[:, :-1], axis=1) - weights[:, -1]), 0.0))


class RegionAttention(Objective):
    """The compiled loss and the rank-biased loss. History: ``class_loss`` (the compiled one), ``rank_biased``.

    Args:
        network, table: see ``Objective``; the network has a layer ``region_weights`` (B, K, 1), the whole face last.
        margin: δ; ``None`` means 0.02 for plain weights (paper), 0.1 where the network softmaxes them (public code).

    References:
        arXiv 1905.04075.
    """

    def __init__(self, network: keras.Model, table: FaceTable, /, margin: float | None = None):
        super().__init__(network, table, tensors={"weights": "region_weights"}, parts=("class_loss", "rank_biased"))
        if margin is not None and not margin >= 0:
            raise UserError(f"margin is {margin!r}. Expected a number of at least 0.")
        softmaxed = isinstance(network.get_layer("region_weights"), keras.layers.Softmax)
        self.margin = MARGINS["softmax" if softmaxed else "sigmoid"] if margin is None else margin

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        biased = rank_biased_loss(outputs["weights"][..., 0], self.margin)
        classes = self.class_loss(labels["targets"], logits_of(outputs))
        self.note(class_loss=classes, rank_biased=biased)
        return classes + biased
