"""Add decay, clipping and averaging to an optimizer."""

from typing import Any

import numpy as np
from keras import ops

from fer_tf.errors import UserError
from fer_tf.training.averaging import AVERAGINGS


class Recipe:
    """Mix-in before a Keras optimizer class; all its state is in ``optimizer.variables``.

    Args:
        l2: coupled decay: l2·w joins the gradient of every trainable variable, biases and batch-norm included, after
            clipping, as torch's ``weight_decay``. Keras' own ``weight_decay`` is decoupled: it takes
            learning rate · weight_decay · w from the weights and never meets the gradient's scaling.
        averaging: call string of ``AVERAGINGS``, or ``None``.
        total_steps: optimizer steps of the whole run, for averages that begin at a share of it.
    """

    def __init__(
        self, *args: Any, l2: float = 0.0, averaging: str | None = None, total_steps: int | None = None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.l2, self.averaging, self.total_steps = l2, averaging, total_steps
        self._share = AVERAGINGS.make(averaging, total_steps) if averaging else None

    @property
    def averages(self) -> bool:
        """Whether evaluation reads other weights than training writes."""
        return self._share is not None

    def build(self, variables: list) -> None:
        """Make room for the averages; the first step fills them, as every share begins with 1."""
        if self.built:
            return
        super().build(variables)
        if self._share is not None:
            self._averages = self.add_optimizer_variables(variables, "average")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one step with the coupled decay in the gradient."""
        # Here and not in `apply`: clipping comes before, and replicas have been summed.
        if self.l2:
            gradient = ops.add(gradient, ops.multiply(ops.cast(self.l2, variable.dtype), variable))
        super().update_step(gradient, variable, learning_rate)

    def apply(self, grads: list, trainable_variables: list | None = None) -> None:
        """Take one step, then fold the new weights into the averages."""
        super().apply(grads, trainable_variables)
        if self._share is None:
            return
        share = self._share(ops.cast(self.iterations, "float32"))
        for variable, average in zip(self._trainable_variables, self._averages, strict=True):
            new = ops.cast(share, variable.dtype)
            average.assign(ops.add(ops.multiply(1 - new, average), ops.multiply(new, variable)))

    def _all_reduce_sum_gradients(self, grads_and_vars: list) -> list:
        """Sum gradients over the replicas of TensorFlow, where there are several.

        Keras does so for a single one, too, by a custom gradient, and TensorFlow keeps the graph of every custom
        gradient for as long as the process lives: a study grew by some megabytes a run.
        """
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def evaluation_values(self) -> dict[int, np.ndarray]:
        """Return the averaged weights, keyed by the ``id`` of their variable; empty before the first step."""
        if self._share is None or int(ops.convert_to_numpy(self.iterations)) == 0:
            return {}
        pairs = zip(self._trainable_variables, self._averages, strict=True)
        return {id(variable): ops.convert_to_numpy(average) for variable, average in pairs}

    def get_config(self) -> dict[str, Any]:
        """Return the optimizer's own configuration and the recipe."""
        recipe = {"l2": self.l2, "averaging": self.averaging, "total_steps": self.total_steps}
        return {**super().get_config(), **recipe}


def check_recipe(text: str, weight_decay: float, l2: float, clips: dict[str, float | None]) -> None:
    """Raise a ``UserError`` for settings that contradict each other, or that Keras would silently ignore."""
    if weight_decay and l2:
        raise UserError(f"Optimizer {text!r}: give weight_decay (decoupled) or l2 (coupled), not both.")
    for key, value in (("weight_decay", weight_decay), ("l2", l2)):
        if not value >= 0:
            raise UserError(f"Optimizer {text!r}: {key} must be at least 0, got {value!r}.")
    given = {key: value for key, value in clips.items() if value is not None}
    if len(given) > 1:
        raise UserError(f"Optimizer {text!r}: give only one of {', '.join(given)}.")
    for key, value in given.items():
        if not value > 0:
            raise UserError(f"Optimizer {text!r}: {key} must be above 0, got {value!r}.")
