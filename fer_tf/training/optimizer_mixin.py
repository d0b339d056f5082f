"""Add decay, clipping and averaging to optimizers; Muon, schedule-free, SAM."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError
from fer_tf.training import AVERAGINGS, averaging


class OptimizerMixin:
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
        """Return the optimizer's own configuration with decay and averaging."""
        added = {"l2": self.l2, "averaging": self.averaging, "total_steps": self.total_steps}
        return {**super().get_config(), **added}


def check_settings(text: str, weight_decay: float, l2: float, clips: dict[str, float | None]) -> None:
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


class ConvMuon(keras.optimizers.Muon):
    """Orthogonalise the momentum of every hidden kernel; give all else to AdamW.

    Keras' Muon (3.15) does so for 2-D kernels alone and hands convolutions to AdamW, which in a VGG is nearly all of
    the network. Here a kernel (…, in, out) is one matrix (… · in, out). AdamW keeps biases, batch-norm, embeddings,
    depthwise kernels (one column, nothing to orthogonalise) and the layer of logits. Both rules see one learning
    rate, as the update is scaled to the size of Adam's.

    The cost is about 30·r·c·min(r, c) operations a step for an r×c matrix: 2·10¹² for a 4096×4096 dense layer, so
    give the network a narrow head, or a GPU.

    Args:
        exclude_layers: patterns of variable paths that AdamW keeps.

    References:
        github.com/KellerJordan/Muon; arXiv 2502.16982 for the scale.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = None,
        exclude_layers: Sequence[str] = ("logits",),
        **kwargs: Any,
    ):
        # One decay for both rules: Keras has two, each 0.004 when not given.
        kwargs["adam_weight_decay"] = weight_decay
        super().__init__(learning_rate, weight_decay=weight_decay, exclude_layers=list(exclude_layers), **kwargs)

    def _should_use_adamw(self, variable: Any) -> bool:
        if len(variable.shape) <= 2:
            return super()._should_use_adamw(variable)
        excluded = any(re.search(pattern, variable.path) for pattern in (*self.exclude_layers, "depthwise"))
        return excluded or variable.shape[-1] == 1 or math.prod(variable.shape[:-1]) == 1

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, ops.add(ops.multiply(m, self.momentum), gradient))
        ahead = ops.add(gradient, ops.multiply(m, self.momentum)) if self.nesterov else ops.convert_to_tensor(m)
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        update = self.lr_adjust(self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.multiply(ops.cast(lr, variable.dtype), ops.reshape(update, variable.shape)))


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


# Gradients that one step of sharpness-aware minimization takes from each batch.
BATCH_REPEATS = 2


def batch_repeats(optimizer: keras.optimizers.Optimizer) -> int:
    """Return how many times in a row a reader must give each batch to this optimizer."""
    return BATCH_REPEATS if isinstance(averaging.unscaled(optimizer), SharpnessAware) else 1


@keras.saving.register_keras_serializable(package="fer_tf")
class SharpnessAware(keras.optimizers.Optimizer):
    """Minimize loss and sharpness: step by the gradient at w + ρ·g/‖g‖₂.

    The optimizer climbs there with the gradient g of a batch, and steps from w with the gradient found there.

    Every batch must come twice in a row: the first call climbs, the second returns to w exactly and lets the inner
    optimizer step. ``iterations``, schedules, decay, clipping and averaging are the inner one's and count the second
    calls alone. Batch-norm statistics move in both passes.

    Args:
        inner_optimizer: takes the steps.
        rho: ρ, how far to climb, ≥ 0.

    Example:
        >>> from fer_tf import optimizers
        >>> optimizers.SharpnessAware(optimizers.SGD(0.1), rho=0.1).get_config()["rho"]
        0.1

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
        """Alternate SAM ascent and descent steps."""
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
        """Alternate SAM steps on values in place of variables; return new trainable and optimizer values."""
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
