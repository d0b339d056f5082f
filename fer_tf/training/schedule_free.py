"""Implement schedule-free AdamW (arXiv 2405.15682)."""

from typing import Any

import keras
import numpy as np
from keras import ops


class ScheduleFreeAdamW(keras.optimizers.Optimizer):
    """Step a sequence z, keep its mean x, and train at y = (1 − β₁)·z + β₁·x.

    The network holds y while it trains; ``evaluation_values`` are x, recovered from y and z. Keras has a class of this
    name (3.15), which we cannot use: on the TensorFlow backend it recovers x from the z after the step, and so walks
    elsewhere than on JAX; its weight decay shrinks x and never z; and it has no way back to x.

    Args:
        learning_rate: constant; a schedule would defeat the purpose.
        beta_1: place of y between z (0) and x (1), in (0, 1].
        beta_2: decay of the squared gradients.
        epsilon: added to the root of the corrected squared gradients.
        warmup_steps: steps in which the rate climbs linearly; 0 for none.

    References:
        arXiv 2405.15682.
    """

    averages = True

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta_1, self.beta_2, self.epsilon, self.warmup_steps = beta_1, beta_2, epsilon, warmup_steps

    def build(self, variables: list) -> None:
        """Make z and the squared gradients; the first step sets z to the weights."""
        if self.built:
            return
        super().build(variables)
        self._points, self._velocities = self.add_optimizer_variables(variables, ["point", "velocity"])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move z, x and y by one step."""
        dtype = variable.dtype
        index = self._get_variable_index(variable)
        point, velocity = self._points[index], self._velocities[index]
        step = ops.cast(self.iterations + 1, dtype)
        rate = ops.cast(learning_rate, dtype)
        if self.warmup_steps:
            rate = rate * ops.minimum(step / self.warmup_steps, 1.0)
        y = ops.convert_to_tensor(variable)
        z = ops.where(step <= 1, y, ops.convert_to_tensor(point))
        x = self._average(y, z)
        squares = self.beta_2 * velocity + (1 - self.beta_2) * ops.square(gradient)
        direction = gradient / (ops.sqrt(squares / (1 - ops.power(self.beta_2, step))) + self.epsilon)
        if self.weight_decay:
            direction = direction + self.weight_decay * y
        z = z - rate * direction
        x = x + (z - x) / step
        self.assign(velocity, squares)
        self.assign(point, z)
        self.assign(variable, (1 - self.beta_1) * z + self.beta_1 * x)

    def _average(self, y: Any, z: Any) -> Any:
        return (y - (1 - self.beta_1) * z) / self.beta_1

    def _apply_weight_decay(self, variables: list) -> None:
        # Decay is part of z's step: taken from y it would shrink x and never z.
        pass

    def evaluation_values(self) -> dict[int, np.ndarray]:
        """Return x, keyed by the ``id`` of its variable; empty before the first step, when all three are equal."""
        if int(ops.convert_to_numpy(self.iterations)) == 0:
            return {}
        pairs = zip(self._trainable_variables, self._points, strict=True)
        return {id(v): ops.convert_to_numpy(self._average(v, z)) for v, z in pairs}

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        own = ("beta_1", "beta_2", "epsilon", "warmup_steps")
        return {**super().get_config(), **{key: getattr(self, key) for key in own}}
