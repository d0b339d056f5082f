"""Implement sharpness-aware minimization (arXiv 2010.01412)."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.training import averaging

# Gradients that one step of sharpness-aware minimization takes from each batch.
BATCH_REPEATS = 2


def batch_repeats(optimizer: keras.optimizers.Optimizer) -> int:
    """Return how many times in a row a reader must give each batch to this optimizer."""
    return BATCH_REPEATS if isinstance(averaging.unscaled(optimizer), SharpnessAware) else 1


@keras.saving.register_keras_serializable(package="fer_tf")
class SharpnessAware(keras.optimizers.Optimizer):
    """Climb to w + ρ·g/‖g‖₂ with the gradient g of a batch, then step from w with the gradient found up there.

    Every batch must come twice in a row: the first call climbs, the second returns to w exactly and lets the inner
    optimizer step. ``iterations``, schedules, decay, clipping and averaging are the inner one's and count the second
    calls alone. Batch-norm statistics move in both passes.

    Args:
        inner_optimizer: takes the steps.
        rho: ρ, how far to climb, ≥ 0.

    References:
        arXiv 2010.01412.
    """

    def __init__(self, inner_optimizer: keras.optimizers.Optimizer, rho: float = 0.05, name: str | None = None):
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer, self.rho = inner_optimizer, rho

    def build(self, variables: list) -> None:
        """Make the phase, and room for the weights to return to."""
        if self.built:
            return
        self._is_up = self.add_variable((), dtype="int32", name="is_up")
        self._anchors = self.add_optimizer_variables(variables, "anchor")
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list:
        """The state of both optimizers."""
        return self._variables + self.inner_optimizer.variables

    @property
    def iterations(self) -> Any:
        """Steps that the inner optimizer has taken."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def averages(self) -> bool:
        """Whether evaluation reads other weights than training writes."""
        return averaging.evaluates_elsewhere(self.inner_optimizer)

    def evaluation_values(self) -> dict[int, np.ndarray]:
        """Return the weights to evaluate where they are not the network's: averages, or the place climbed from."""
        is_up = self.built and int(ops.convert_to_numpy(self._is_up))
        pairs = zip(self._trainable_variables, self._anchors, strict=True) if is_up else ()
        anchors = {id(v): ops.convert_to_numpy(anchor) for v, anchor in pairs}
        return {**anchors, **averaging.evaluation_values(self.inner_optimizer)}

    def apply(self, grads: list, trainable_variables: list | None = None) -> None:
        """Climb or step, by turns."""
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self.build(trainable_variables)
            self._check_variables_are_known(trainable_variables)
            given = {self._get_variable_index(v): g for v, g in zip(trainable_variables, grads, strict=True)}
            grads = [given.get(i) for i in range(len(self._trainable_variables))]
        if keras.backend.backend() != "jax":
            ops.cond(self._is_up > 0, lambda: self._step(grads), lambda: self._climb(grads))
            return
        # JAX traces both branches, even outside jit: what they assign must be returned, not assigned.
        for variable, value in zip(self._state(), self._branch(grads), strict=True):
            variable.assign(value)

    def stateless_apply(self, optimizer_variables: list, grads: list, trainable_variables: list) -> tuple[list, list]:
        """Climb or step on values instead of variables; return new trainable and new optimizer values."""
        with keras.StatelessScope(zip(self._state(), [*trainable_variables, *optimizer_variables], strict=True)):
            values = self._branch(grads)
        return values[: len(trainable_variables)], values[len(trainable_variables) :]

    def _state(self) -> list:
        return [*self._trainable_variables, *self.variables]

    def _branch(self, grads: list) -> list:
        owners, before = self._state(), [ops.convert_to_tensor(v) for v in self._state()]

        def on_values(act: Callable[[list], None]) -> Callable[[], list]:
            def run() -> list:
                with keras.StatelessScope(zip(owners, before, strict=True)) as scope:
                    act(grads)
                return [scope.get_current_value(v) for v in owners]

            return run

        return ops.cond(self._is_up > 0, on_values(self._step), on_values(self._climb))

    def _climb(self, grads: list) -> None:
        squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in grads if g is not None]
        scale = self.rho / (ops.sqrt(sum(squares)) + 1e-12)
        for gradient, variable, anchor in zip(grads, self._trainable_variables, self._anchors, strict=True):
            anchor.assign(variable)
            if gradient is not None:
                variable.assign(variable + ops.cast(scale, variable.dtype) * gradient)
        self._is_up.assign(1)

    def _step(self, grads: list) -> None:
        for variable, anchor in zip(self._trainable_variables, self._anchors, strict=True):
            variable.assign(anchor)
        self._is_up.assign(0)
        self.inner_optimizer.apply(grads, self._trainable_variables)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {"name": self.name, "inner_optimizer": inner, "rho": self.rho}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "SharpnessAware":
        """Rebuild from ``get_config``'s dict."""
        inner = keras.saving.deserialize_keras_object(config["inner_optimizer"], custom_objects=custom_objects)
        return cls(inner, rho=config["rho"], name=config["name"])
