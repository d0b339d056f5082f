"""Macro-F1 as a Keras metric, for ``compile``."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fer_tf")
class MacroF1(keras.metrics.Metric):
    """Mean F1 over the classes seen so far, from targets and logits or probabilities, each (N, C).

    The class of a row is its highest entry, so soft targets and hard ones are treated alike. Absent classes are left
    out as in ``fer_tf.metrics.classification.macro_f1``.
    """

    def __init__(self, num_classes: int, name: str = "macro_f1", **keywords):
        """Take C, the number of classes."""
        super().__init__(name=name, **keywords)
        self.num_classes = num_classes
        self.counts = {
            kind: self.add_weight(shape=(num_classes,), initializer="zeros", name=kind)
            for kind in ("true", "predicted", "right")
        }

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add faces; ``sample_weight`` (N,) weighs them."""
        true = ops.one_hot(ops.argmax(y_true, axis=-1), self.num_classes, dtype=self.dtype)
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes, dtype=self.dtype)
        weight = ops.ones_like(true[:, :1])
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        self.counts["true"].assign_add(ops.sum(weight * true, axis=0))
        self.counts["predicted"].assign_add(ops.sum(weight * predicted, axis=0))
        self.counts["right"].assign_add(ops.sum(weight * true * predicted, axis=0))

    def result(self):
        """Return macro-F1, a scalar in [0, 1]; 0 before the first face."""
        seen = self.counts["true"] + self.counts["predicted"]
        f1 = 2 * self.counts["right"] / ops.where(seen > 0, seen, 1.0)
        return ops.sum(f1) / ops.maximum(ops.sum(ops.cast(seen > 0, self.dtype)), 1.0)

    def get_config(self):
        """Return the arguments that make an equal metric."""
        return {**super().get_config(), "num_classes": self.num_classes}
