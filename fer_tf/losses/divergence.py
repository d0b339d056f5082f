"""Divergences between the target distribution and the predicted one: Kullback–Leibler and Jensen–Shannon."""

import keras
from keras import ops

from fer_tf.losses.distribution import MEAN, DistributionLoss, expected, negative_entropy

LOG_2 = 0.6931471805599453
# Well above the smallest normal float32, below which XLA flushes to 0; a probability so small adds nothing.
SMALLEST = 1e-30


def kl(targets, log_probabilities):
    """Return Σ_k t_k (log t_k − log p_k): cross-entropy less the targets' own entropy.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).

    Returns:
        Float (…,) ≥ 0, in nats; 0 where the two are equal.

    References:
        arXiv 1408.6027.
    """
    targets, log_probabilities = ops.convert_to_tensor(targets), ops.convert_to_tensor(log_probabilities)
    return negative_entropy(targets) - expected(targets, log_probabilities)


def jensen_shannon(targets, log_probabilities):
    """Return ½ KL(t ‖ m) + ½ KL(p ‖ m) with m = ½ (t + p).

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).

    Returns:
        Float (…,) in [0, ln 2], in nats; ln 2 where the two share no class. Bounded, so one wrong label costs little.

    References:
        arXiv 2105.04522.
    """
    targets, log_probabilities = ops.convert_to_tensor(targets), ops.convert_to_tensor(log_probabilities)
    probabilities = ops.exp(log_probabilities)
    log_middle = ops.log(ops.maximum(targets + probabilities, SMALLEST)) - LOG_2
    of_targets = negative_entropy(targets) - expected(targets, log_middle)
    return 0.5 * (of_targets + expected(probabilities, log_probabilities - log_middle))


@keras.saving.register_keras_serializable(package="fer_tf")
class KullbackLeibler(DistributionLoss):
    """``kl`` of targets and logits."""

    def __init__(self, name: str = "kl", reduction: str | None = MEAN):
        super().__init__(name=name, reduction=reduction)

    def per_face(self, targets, log_probabilities):
        return kl(targets, log_probabilities)


@keras.saving.register_keras_serializable(package="fer_tf")
class JensenShannon(DistributionLoss):
    """``jensen_shannon`` of targets and logits."""

    def __init__(self, name: str = "jensen_shannon", reduction: str | None = MEAN):
        super().__init__(name=name, reduction=reduction)

    def per_face(self, targets, log_probabilities):
        return jensen_shannon(targets, log_probabilities)
