"""Provide Keras metrics for ``model.compile``."""

import keras
from keras import ops

from fer_tf.errors import UserError


@keras.saving.register_keras_serializable(package="fer_tf")
class ExpectedCalibrationError(keras.metrics.Metric):
    """Compute the expected calibration error over the batches of an epoch.

    Faces are sorted by confidence, the highest probability, into bins of equal width. The metric is the mean over all
    faces of |confidence − accuracy| of their bin. The predicted class is compared with the highest entry of the target,
    so that soft and one-hot targets are treated alike.

    Args:
        bins: number of bins between 0 and 1.
        from_logits: whether predictions are logits, as those of ``fer_tf.models``, or probabilities.
        name: of the metric.
        dtype: of its computations.

    Raises:
        UserError: fewer than one bin.

    References:
        arXiv 1706.04599.

    Example:
        >>> import fer_tf, numpy as np
        >>> metric = fer_tf.metrics.ExpectedCalibrationError(from_logits=False)
        >>> metric.update_state(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.75, 0.25], [0.75, 0.25]]))
        >>> float(metric.result())
        0.25
    """

    def __init__(self, bins=15, from_logits=True, name="expected_calibration_error", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if bins < 1:
            raise UserError(f"bins must be at least 1, got {bins!r}.")
        self.bins, self.from_logits = bins, from_logits
        self._count, self._confidence, self._right = (
            self.add_weight(shape=(bins,), initializer="zeros", name=kind) for kind in ("count", "confidence", "right")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add targets and predictions, float (N, C) each; ``sample_weight`` (N,) weighs the faces."""
        predictions = ops.cast(y_pred, self.dtype)
        probabilities = ops.softmax(predictions, axis=-1) if self.from_logits else predictions
        confidence = ops.max(probabilities, axis=-1)
        right = ops.cast(ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(probabilities, axis=-1)), self.dtype)
        # Bin b holds confidences in (b / bins, (b + 1) / bins].
        index = ops.clip(ops.cast(ops.ceil(confidence * self.bins), "int32") - 1, 0, self.bins - 1)
        inside = ops.one_hot(index, self.bins, dtype=self.dtype) * _weights(sample_weight, confidence)
        self._count.assign_add(ops.sum(inside, axis=0))
        self._confidence.assign_add(ops.sum(inside * confidence[:, None], axis=0))
        self._right.assign_add(ops.sum(inside * right[:, None], axis=0))

    def result(self):
        """Return the error, a scalar from 0 to 1; 0 before the first face."""
        total = ops.sum(ops.abs(self._confidence - self._right))
        return total / ops.maximum(ops.sum(self._count), 1e-7)

    def get_config(self):
        """Return the arguments that make an equal metric."""
        return {**super().get_config(), "bins": self.bins, "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="fer_tf")
class MacroF1(keras.metrics.Metric):
    """Compute the mean F1 score of the classes over the batches of an epoch.

    The class of a row is its highest entry, so that soft and one-hot targets, logits and probabilities are all
    accepted. Classes that occur neither in the targets nor in the predictions are left out, as scikit-learn's
    ``f1_score(average="macro")`` does.

    Args:
        num_classes: number of classes C.
        name: of the metric.
        dtype: of its computations.

    Example:
        >>> import fer_tf, numpy as np
        >>> metric = fer_tf.metrics.MacroF1(num_classes=3)
        >>> metric.update_state(np.eye(3)[[0, 0, 1]], np.eye(3)[[0, 1, 1]])
        >>> f"{float(metric.result()):.4f}"
        '0.6667'
    """

    def __init__(self, num_classes, name="macro_f1", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = num_classes
        self._true, self._predicted, self._right = (
            self.add_weight(shape=(num_classes,), initializer="zeros", name=kind)
            for kind in ("true", "predicted", "right")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add targets and predictions, float (N, C) each; ``sample_weight`` (N,) weighs the faces."""
        true = ops.one_hot(ops.argmax(y_true, axis=-1), self.num_classes, dtype=self.dtype)
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes, dtype=self.dtype)
        weight = _weights(sample_weight, true[:, 0])
        self._true.assign_add(ops.sum(weight * true, axis=0))
        self._predicted.assign_add(ops.sum(weight * predicted, axis=0))
        self._right.assign_add(ops.sum(weight * true * predicted, axis=0))

    def result(self):
        """Return macro-F1, a scalar from 0 to 1; 0 before the first face."""
        seen = self._true + self._predicted
        f1 = 2 * self._right / ops.where(seen > 0, seen, 1.0)
        return ops.sum(f1) / ops.maximum(ops.sum(ops.cast(seen > 0, self.dtype)), 1.0)

    def get_config(self):
        """Return the arguments that make an equal metric."""
        return {**super().get_config(), "num_classes": self.num_classes}


def _weights(sample_weight, like):
    """Return the faces' weights (N, 1), 1 each where none are given."""
    if sample_weight is None:
        return ops.ones_like(like)[:, None]
    return ops.reshape(ops.cast(sample_weight, like.dtype), (-1, 1))
