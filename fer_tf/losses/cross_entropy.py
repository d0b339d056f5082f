"""Soft cross-entropy; the majority, probability and cross-entropy modes of FER+ are this loss on their targets."""

import keras
from keras import ops

from fer_tf.errors import UserError
from fer_tf.losses.distribution import MEAN, DistributionLoss, expected


def cross_entropy(targets, log_probabilities, label_smoothing: float = 0.0):
    """Return −Σ_k t'_k log p_k with t' = (1 − s)·t + s/C.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).
        label_smoothing: s in [0, 1).

    Returns:
        Float (…,), in nats.

    References:
        arXiv 1512.00567 (label smoothing).
    """
    targets, log_probabilities = ops.convert_to_tensor(targets), ops.convert_to_tensor(log_probabilities)
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / targets.shape[-1]
    return -expected(targets, log_probabilities)


@keras.saving.register_keras_serializable(package="fer_tf")
class CrossEntropy(DistributionLoss):
    """``cross_entropy`` of targets and logits."""

    def __init__(self, label_smoothing: float = 0.0, name: str = "cross_entropy", reduction: str | None = MEAN):
        super().__init__(name=name, reduction=reduction)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing!r}.")
        self.label_smoothing = label_smoothing

    def per_face(self, targets, log_probabilities):
        return cross_entropy(targets, log_probabilities, self.label_smoothing)

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
