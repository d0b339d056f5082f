"""Focal loss, which turns away from faces that are already right."""

import keras
from keras import ops

from fer_tf.errors import UserError
from fer_tf.losses.distribution import MEAN, DistributionLoss, expected


def focal(targets, log_probabilities, gamma: float = 2.0):
    """Return −Σ_k t_k (1 − p_k)^γ log p_k; γ = 0 is cross-entropy.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).
        gamma: γ ≥ 0.

    Returns:
        Float (…,), in nats.

    References:
        arXiv 1708.02002.
    """
    targets, log_probabilities = ops.convert_to_tensor(targets), ops.convert_to_tensor(log_probabilities)
    # Kept above 0: the gradient of a power at 0 is infinite for γ < 1.
    doubt = ops.maximum(1 - ops.exp(log_probabilities), 1e-7)
    return -expected(targets * ops.power(doubt, gamma), log_probabilities)


@keras.saving.register_keras_serializable(package="fer_tf")
class Focal(DistributionLoss):
    """``focal`` of targets and logits."""

    def __init__(self, gamma: float = 2.0, name: str = "focal", reduction: str | None = MEAN):
        super().__init__(name=name, reduction=reduction)
        if gamma < 0:
            raise UserError(f"gamma must be at least 0, got {gamma!r}.")
        self.gamma = gamma

    def per_face(self, targets, log_probabilities):
        return focal(targets, log_probabilities, self.gamma)

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
