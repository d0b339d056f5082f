"""The multi-target loss of FER+: any class that enough taggers named is right."""

import keras
from keras import ops

from fer_tf.losses.distribution import MEAN, DistributionLoss

ALLOWED, FLOOR = 0.999, 0.001


def multi_target(targets, log_probabilities):
    """Return −log max_k (w_k p_k) with w_k = 0.999·[t_k > 0] + 0.001.

    Only the support of the targets counts, and the gradient flows through the class of the maximum alone.

    Args:
        targets: float (…, C), rows sum to 1; the classes above 0 are allowed.
        log_probabilities: float (…, C).

    Returns:
        Float (…,), in nats.

    References:
        arXiv 1608.01041.
    """
    targets, log_probabilities = ops.convert_to_tensor(targets), ops.convert_to_tensor(log_probabilities)
    weights = ALLOWED * ops.cast(targets > 0, log_probabilities.dtype) + FLOOR
    return -ops.max(ops.log(weights) + log_probabilities, axis=-1)


@keras.saving.register_keras_serializable(package="fer_tf")
class MultiTarget(DistributionLoss):
    """``multi_target`` of targets and logits."""

    def __init__(self, name: str = "multi_target", reduction: str | None = MEAN):
        super().__init__(name=name, reduction=reduction)

    def per_face(self, targets, log_probabilities):
        return multi_target(targets, log_probabilities)
