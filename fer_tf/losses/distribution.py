"""What all losses on distributions share."""

import keras
from keras import ops

MEAN = "sum_over_batch_size"


def expected(weights, values):
    """Sum weights·values over the last axis, a zero weight counting 0 even against an infinite value.

    The value is replaced before the product: a product with infinity taken out afterwards leaves NaN in the gradient.
    """
    used = weights > 0
    return ops.sum(ops.where(used, weights, 0.0) * ops.where(used, values, 0.0), axis=-1)


def negative_entropy(targets):
    """Return Σ t·log t over the last axis, with 0·log 0 = 0."""
    return expected(targets, ops.log(ops.where(targets > 0, targets, 1.0)))


class DistributionLoss(keras.losses.Loss):
    """A Keras loss of (targets, logits) from ``per_face``, a function of (targets, log-probabilities)."""

    def per_face(self, targets, log_probabilities):
        """Return the unreduced loss (…,) of targets and log-probabilities (…, C)."""
        raise NotImplementedError

    def call(self, y_true, y_pred):
        """Return the unreduced loss (…,) of targets and logits (…, C)."""
        return self.per_face(ops.cast(y_true, y_pred.dtype), ops.log_softmax(y_pred, axis=-1))
