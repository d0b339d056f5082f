"""Expression, valence and arousal from one network."""

from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.losses import concordance
from fer_tf.models import logits_of
from fer_tf.training.objectives.base import Objective
from fer_tf.training.objectives.classification import class_weights_of, face_weights

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
