"""A schedule as Keras takes it: a table looked up in the training graph."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError


@keras.saving.register_keras_serializable(package="fer_tf")
class TableSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Give each optimizer step its rate from a table; steps beyond the end keep the last.

    Args:
        values: (steps,), any real numbers; kept and returned as float32, so the lookup is exact on every backend.
    """

    def __init__(self, values: Any):
        self.values = np.asarray(values, dtype=np.float32)
        if self.values.ndim != 1 or not self.values.size:
            raise UserError(f"A table of learning rates must be one row, got shape {self.values.shape}.")

    def __call__(self, step: Any) -> Any:
        """Return the float32 rate of the 0-based ``step``."""
        index = ops.minimum(ops.cast(step, "int32"), len(self.values) - 1)
        return ops.take(ops.convert_to_tensor(self.values), index)

    def get_config(self) -> dict[str, Any]:
        """Return the table as a list, from which the same float32 values come back."""
        return {"values": self.values.tolist()}
