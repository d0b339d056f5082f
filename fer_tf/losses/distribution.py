"""Compare target and predicted distributions over classes, or two series.

Each loss is a function of targets and log-probabilities (…, C) that returns one value a row (…,), and a Keras class of
targets and logits. A target of 0 adds exactly 0, also where the log-probability is −∞.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError

_MEAN = "sum_over_batch_size"
_LOG_2 = 0.6931471805599453
# Well above the smallest normal float32, below which XLA flushes to 0; a probability so small adds nothing.
_SMALLEST = 1e-30
# Weights of the classes that somebody voted for, and of the others (arXiv 1608.01041, equation 6).
_VOTED, _OTHER = 0.999, 0.001


def _weighted_sum(weights, values):
    """Sum weights·values over the last axis; a weight of 0 adds 0, also where the value is infinite.

    The value is replaced before the product: a product with infinity taken out afterwards leaves NaN in the gradient.
    """
    used = weights > 0
    return ops.sum(ops.where(used, weights, 0.0) * ops.where(used, values, 0.0), axis=-1)


def _negative_entropy(targets):
    """Compute Σ t·log t over the last axis, with 0·log 0 = 0."""
    return _weighted_sum(targets, ops.log(ops.where(targets > 0, targets, 1.0)))


def _tensors(targets, log_probabilities):
    return ops.convert_to_tensor(targets), ops.convert_to_tensor(log_probabilities)


def cross_entropy(targets, log_probabilities, label_smoothing: float = 0.0):
    """Compute the cross-entropy −Σ_k t'_k log p_k with t' = (1 − s)·t + s/C.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).
        label_smoothing: s in [0, 1).

    Returns:
        Float (…,), in nats.

    References:
        arXiv 1512.00567 (label smoothing).

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> value = losses.cross_entropy(np.array([1.0, 0.0]), np.log([0.5, 0.5]))
        >>> f"{float(value):.4f}"
        '0.6931'
    """
    targets, log_probabilities = _tensors(targets, log_probabilities)
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / targets.shape[-1]
    return -_weighted_sum(targets, log_probabilities)


def focal(targets, log_probabilities, gamma: float = 2.0):
    """Compute the focal loss −Σ_k t_k (1 − p_k)^γ log p_k.

    Faces that are classified well already count little. With γ = 0 it is the cross-entropy.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).
        gamma: γ ≥ 0.

    Returns:
        Float (…,), in nats.

    References:
        arXiv 1708.02002.

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> value = losses.focal(np.array([1.0, 0.0]), np.log([0.5, 0.5]), gamma=1.0)
        >>> f"{float(value):.4f}"
        '0.3466'
    """
    targets, log_probabilities = _tensors(targets, log_probabilities)
    # Kept above 0: the gradient of a power at 0 is infinite for γ < 1.
    distance = ops.maximum(1 - ops.exp(log_probabilities), 1e-7)
    return -_weighted_sum(targets * ops.power(distance, gamma), log_probabilities)


def kl(targets, log_probabilities):
    """Compute the Kullback–Leibler divergence Σ_k t_k (log t_k − log p_k).

    It is the cross-entropy less the entropy of the targets, and has the same gradient.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).

    Returns:
        Float (…,) ≥ 0, in nats; 0 where the two distributions are equal.

    References:
        As a loss of label distributions: arXiv 1408.6027.

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> value = losses.kl(np.array([0.5, 0.5]), np.log([0.25, 0.75]))
        >>> f"{float(value):.4f}"
        '0.1438'
    """
    targets, log_probabilities = _tensors(targets, log_probabilities)
    return _negative_entropy(targets) - _weighted_sum(targets, log_probabilities)


def jensen_shannon(targets, log_probabilities):
    """Compute the Jensen–Shannon divergence ½ KL(t ‖ m) + ½ KL(p ‖ m), m = ½ (t + p).

    It is bounded, so that a face with a wrong label cannot dominate a batch.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).

    Returns:
        Float (…,) from 0 to ln 2, in nats; ln 2 where the two distributions share no class.

    References:
        arXiv 2105.04522.

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> value = losses.jensen_shannon(np.array([1.0, 0.0]), np.log([0.5, 0.5]))
        >>> f"{float(value):.4f}"
        '0.2158'
    """
    targets, log_probabilities = _tensors(targets, log_probabilities)
    probabilities = ops.exp(log_probabilities)
    log_middle = ops.log(ops.maximum(targets + probabilities, _SMALLEST)) - _LOG_2
    of_targets = _negative_entropy(targets) - _weighted_sum(targets, log_middle)
    return 0.5 * (of_targets + _weighted_sum(probabilities, log_probabilities - log_middle))


def multi_target(targets, log_probabilities):
    """Compute the multi-target loss of FER+, −log max_k (w_k p_k).

    w_k = 0.999·[t_k > 0] + 0.001: any class that an annotator chose is right. Only which targets are above 0 counts,
    and the gradient flows through the class of the maximum alone.

    Args:
        targets: float (…, C), rows sum to 1.
        log_probabilities: float (…, C).

    Returns:
        Float (…,), in nats.

    References:
        arXiv 1608.01041.

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> value = losses.multi_target(np.array([0.8, 0.2, 0.0]), np.log([0.2, 0.5, 0.3]))
        >>> f"{float(value):.4f}"
        '0.6931'
    """
    targets, log_probabilities = _tensors(targets, log_probabilities)
    weights = _VOTED * ops.cast(targets > 0, log_probabilities.dtype) + _OTHER
    return -ops.max(ops.log(weights) + log_probabilities, axis=-1)


class _DistributionLoss(keras.losses.Loss):
    """A Keras loss of targets and logits (…, C) from a function of targets and log-probabilities."""

    def __init__(self, function: Callable, name: str, reduction: str | None, dtype: Any = None, **settings: Any):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._function, self._settings = function, settings

    def call(self, y_true, y_pred):
        """Compute the unreduced loss (…,) of targets and logits (…, C)."""
        return self._function(ops.cast(y_true, y_pred.dtype), ops.log_softmax(y_pred, axis=-1), **self._settings)

    def get_config(self):
        """Return the arguments that make an equal loss."""
        return {**super().get_config(), **self._settings}


@keras.saving.register_keras_serializable(package="fer_tf")
class CrossEntropy(_DistributionLoss):
    """Compute the cross-entropy of targets and logits, with label smoothing.

    See ``cross_entropy`` for the formula. The majority, probability and cross-entropy modes of FER+ are this
    loss on their targets.

    Args:
        label_smoothing: share s in [0, 1) of each target that is spread evenly over all classes.
        reduction: as of ``keras.losses.Loss``; ``None`` returns one value a face.
        name: of the loss.
        dtype: of its computations.

    Raises:
        UserError: ``label_smoothing`` out of range.

    References:
        arXiv 1512.00567 (label smoothing).

    Example:
        >>> import fer_tf, numpy as np
        >>> loss = fer_tf.losses.CrossEntropy(label_smoothing=0.1)
        >>> f"{float(loss(np.array([[1.0, 0.0]]), np.array([[2.0, -2.0]]))):.4f}"
        '0.2181'
    """

    def __init__(self, label_smoothing=0.0, reduction=_MEAN, name="cross_entropy", dtype=None):
        if not 0 <= label_smoothing < 1:
            raise UserError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing!r}.")
        super().__init__(cross_entropy, name, reduction, dtype, label_smoothing=label_smoothing)


@keras.saving.register_keras_serializable(package="fer_tf")
class Focal(_DistributionLoss):
    """Compute the focal loss of targets and logits.

    Faces that are classified well already count little; see ``focal`` for the formula.

    Args:
        gamma: exponent γ ≥ 0; 0 is the cross-entropy.
        reduction: as of ``keras.losses.Loss``; ``None`` returns one value a face.
        name: of the loss.
        dtype: of its computations.

    Raises:
        UserError: a negative ``gamma``.

    References:
        arXiv 1708.02002.

    Example:
        >>> import fer_tf, numpy as np
        >>> loss = fer_tf.losses.Focal(gamma=1.0)
        >>> f"{float(loss(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))):.4f}"
        '0.3466'
    """

    def __init__(self, gamma=2.0, reduction=_MEAN, name="focal", dtype=None):
        if gamma < 0:
            raise UserError(f"gamma must be at least 0, got {gamma!r}.")
        super().__init__(focal, name, reduction, dtype, gamma=gamma)


@keras.saving.register_keras_serializable(package="fer_tf")
class KullbackLeibler(_DistributionLoss):
    """Compute the Kullback–Leibler divergence of targets and logits.

    See ``kl`` for the formula.

    Args:
        reduction: as of ``keras.losses.Loss``; ``None`` returns one value a face.
        name: of the loss.
        dtype: of its computations.

    References:
        arXiv 1408.6027.

    Example:
        >>> import fer_tf, numpy as np
        >>> loss = fer_tf.losses.KullbackLeibler()
        >>> f"{float(loss(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))):.4f}"
        '0.6931'
    """

    def __init__(self, reduction=_MEAN, name="kl", dtype=None):
        super().__init__(kl, name, reduction, dtype)


@keras.saving.register_keras_serializable(package="fer_tf")
class JensenShannon(_DistributionLoss):
    """Compute the Jensen–Shannon divergence of targets and logits.

    It is at most ln 2; see ``jensen_shannon`` for the formula.

    Args:
        reduction: as of ``keras.losses.Loss``; ``None`` returns one value a face.
        name: of the loss.
        dtype: of its computations.

    References:
        arXiv 2105.04522.

    Example:
        >>> import fer_tf, numpy as np
        >>> loss = fer_tf.losses.JensenShannon()
        >>> f"{float(loss(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))):.4f}"
        '0.2158'
    """

    def __init__(self, reduction=_MEAN, name="jensen_shannon", dtype=None):
        super().__init__(jensen_shannon, name, reduction, dtype)


@keras.saving.register_keras_serializable(package="fer_tf")
class MultiTarget(_DistributionLoss):
    """Compute the multi-target loss of FER+ of targets and logits.

    Any class that an annotator chose is right; see ``multi_target`` for the formula.

    Args:
        reduction: as of ``keras.losses.Loss``; ``None`` returns one value a face.
        name: of the loss.
        dtype: of its computations.

    References:
        arXiv 1608.01041.

    Example:
        >>> import fer_tf, numpy as np
        >>> loss = fer_tf.losses.MultiTarget()
        >>> f"{float(loss(np.array([[0.8, 0.2]]), np.array([[0.0, 0.0]]))):.4f}"
        '0.6931'
    """

    def __init__(self, reduction=_MEAN, name="multi_target", dtype=None):
        super().__init__(multi_target, name, reduction, dtype)


def concordance(targets, predictions, epsilon: float = 1e-8):
    """Compute Lin's concordance correlation coefficient of a batch.

    CCC = 2·cov / (var_t + var_p + (mean_t − mean_p)²), with biased variances.

    Args:
        targets: float (N,), NaN where unknown; such entries are left out and have no gradient.
        predictions: float (N,).
        epsilon: added to the denominator, so that two constant series give 0.

    Returns:
        Float scalar from −1 to 1; 0 where no target is known.

    References:
        Lin 1989, doi 10.2307/2532051; as the loss (1 − CCC) / 2: arXiv 2103.17107.

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> values = np.array([-0.5, 0.0, 0.5], "float32")
        >>> float(losses.concordance(values, values))
        1.0
        >>> float(losses.concordance(values, -values))
        -1.0
    """
    known = ops.logical_not(ops.isnan(targets))
    weights = ops.cast(known, predictions.dtype)
    count = ops.maximum(ops.sum(weights), 1.0)
    # NaN is replaced before it meets a product: taken out afterwards, it would stay in the gradient.
    x, y = ops.where(known, targets, 0.0), ops.where(known, predictions, 0.0)
    mean_x, mean_y = ops.sum(x) / count, ops.sum(y) / count
    x, y = (x - mean_x) * weights, (y - mean_y) * weights
    covariance, variance_x, variance_y = (ops.sum(product) / count for product in (x * y, x * x, y * y))
    return 2 * covariance / (variance_x + variance_y + ops.square(mean_x - mean_y) + epsilon)
