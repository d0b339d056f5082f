"""Schedules as Keras takes them: a table looked up in the training graph, and a callback for plateau."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError
from fer_tf.training.schedules import Plateau


@keras.saving.register_keras_serializable(package="fer_tf")
class TableSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Give each optimiser step its rate from a table; steps beyond the end keep the last.

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


class ReduceOnPlateau(keras.callbacks.Callback):
    """After every epoch, let ``plateau`` see the logged score and set the optimiser's learning rate.

    Args:
        plateau: the rule, with its state.
        base: the learning rate at the start.
        monitor: name of the score in the epoch's logs.
    """

    def __init__(self, plateau: Plateau, base: float, monitor: str = "val_accuracy"):
        super().__init__()
        self.plateau, self.base, self.monitor = plateau, base, monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set the rate of the next epoch.

        Raises:
            UserError: the score is not logged.
        """
        if self.monitor not in (logs or {}):
            raise UserError(f"plateau watches {self.monitor!r}, which is not logged. Logged: {', '.join(logs or {})}.")
        self.model.optimizer.learning_rate = self.base * self.plateau.observe(logs[self.monitor])
