"""Map optimizer names to Keras classes and their arguments.

Defaults are those of the published optimizer study where it has the rule, that is torch's; where Keras writes a formula
differently, the settings are translated.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError
from fer_tf.training import optimizer_mixin
from fer_tf.training.optimizer_mixin import OptimizerMixin

Rule = tuple[type[keras.optimizers.Optimizer], dict[str, Any]]
serializable = keras.saving.register_keras_serializable(package="fer_tf")


@serializable
class SGD(OptimizerMixin, keras.optimizers.SGD):
    """Apply Keras' SGD, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> SGD(0.1, momentum=0.9, nesterov=True, l2=5e-4).l2
        0.0005

    References:
        Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """


@serializable
class Adam(OptimizerMixin, keras.optimizers.Adam):
    """Apply Keras' Adam, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Adam(1e-3, averaging="ema(decay=0.99)").averages
        True

    References:
        Kingma and Ba, arXiv 1412.6980.
    """


@serializable
class Adagrad(OptimizerMixin, keras.optimizers.Adagrad):
    """Apply Keras' Adagrad, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Adagrad(0.01, l2=1e-4).l2
        0.0001

    References:
        Duchi et al., Adaptive subgradient methods, 2011.
    """


@serializable
class Adadelta(OptimizerMixin, keras.optimizers.Adadelta):
    """Apply Keras' Adadelta, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Adadelta(1.0, l2=1e-4).l2
        0.0001

    References:
        Zeiler, arXiv 1212.5701.
    """


@serializable
class Nadam(OptimizerMixin, keras.optimizers.Nadam):
    """Apply Keras' Nadam, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Nadam(1e-3, l2=1e-4).l2
        0.0001

    References:
        Dozat, Incorporating Nesterov momentum into Adam, 2016.
    """


@serializable
class Lion(OptimizerMixin, keras.optimizers.Lion):
    """Apply Keras' Lion, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Lion(2e-4, weight_decay=0.1).weight_decay
        0.1

    References:
        Chen et al., arXiv 2302.06675.
    """


@serializable
class Lamb(OptimizerMixin, keras.optimizers.Lamb):
    """Apply Keras' LAMB, with coupled decay and averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Lamb(5e-3, weight_decay=0.01).weight_decay
        0.01

    References:
        You et al., arXiv 1904.00962.
    """


@serializable
class Muon(OptimizerMixin, optimizer_mixin.ConvMuon):
    """Apply Muon to hidden kernels and AdamW to the rest, with averaged weights.

    Arguments are those of Keras' class and of ``OptimizerMixin``.

    Example:
        >>> Muon(2e-3, weight_decay=0.01).averages
        False

    References:
        Liu et al., arXiv 2502.16982.
    """


@serializable
class ScheduleFreeAdamW(OptimizerMixin, optimizer_mixin.ScheduleFreeAdamW):
    """Apply schedule-free AdamW, with coupled decay; its evaluated weights are an average already.

    Example:
        >>> ScheduleFreeAdamW(2.5e-3, weight_decay=0.01).averages
        True

    References:
        Defazio et al., arXiv 2405.15682.
    """

    averages = True
    evaluation_values = optimizer_mixin.ScheduleFreeAdamW.evaluation_values


def sgd(momentum: float = 0.9, nesterov: bool = False) -> Rule:
    """Create stochastic gradient descent with momentum.

    Keras keeps the learning rate inside the velocity, torch outside: equal at a constant rate; after a drop Keras'
    velocity keeps its old scale for a few steps.
    """
    return SGD, {"momentum": float(momentum), "nesterov": nesterov}


def asgd(start: float = 0.5) -> Rule:
    """Create SGD without momentum, evaluated on the equal-weight (Polyak–Ruppert) average since the share ``start``.

    torch's ASGD begins to average after a million steps, so the study's figures for it are of plain decaying SGD.
    """
    return SGD, {"momentum": 0.0, "averaging": f"swa(start={start!r})"}


def adam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, amsgrad: bool = False) -> Rule:
    """Create Adam or AMSGrad. Keras adds epsilon before the bias correction, torch after it; 1e-8 makes both small."""
    return Adam, {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon, "amsgrad": amsgrad}


def adagrad(initial_accumulator_value: float = 0.0, epsilon: float = 1e-10) -> Rule:
    """Create Adagrad. ``epsilon`` joins the root of the squares, as in torch."""
    # Keras adds its epsilon under the root.
    return Adagrad, {"initial_accumulator_value": initial_accumulator_value, "epsilon": epsilon**2}


def adadelta(rho: float = 0.9, epsilon: float = 1e-6) -> Rule:
    """Create Adadelta: the paper's rule at learning rate 1. The study ran it at 0.01, which explains its score."""
    return Adadelta, {"rho": rho, "epsilon": epsilon}


def nadam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> Rule:
    """Create Adam with Nesterov momentum. torch's momentum schedule is 250 times slower than Keras'."""
    return Nadam, {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}


def lion(beta_1: float = 0.9, beta_2: float = 0.99) -> Rule:
    """Create Lion: the sign of an interpolated momentum. Its rate is a third to a tenth of Adam's."""
    return Lion, {"beta_1": beta_1, "beta_2": beta_2}


def lamb(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-6) -> Rule:
    """Create LAMB: Adam with a trust ratio ‖w‖/‖update‖ for each variable.

    Keras' decoupled decay stays outside the ratio; the paper has it inside.
    """
    return Lamb, {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}


def muon(momentum: float = 0.95, ns_steps: int = 5, exclude: tuple[str, ...] = ("logits",)) -> Rule:
    """Create Muon for hidden dense and convolution kernels, AdamW for the rest and for layers named in ``exclude``."""
    return Muon, {"momentum": momentum, "ns_steps": ns_steps, "exclude_layers": exclude}


def schedule_free_adamw(
    beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, warmup_steps: int = 0
) -> Rule:
    """Create schedule-free AdamW; evaluated on its own average, and meant for a constant rate."""
    if not 0 < beta_1 <= 1:
        raise UserError(f"Optimizer 'schedule_free_adamw': beta_1 must be above 0 and at most 1, got {beta_1!r}.")
    keywords = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon, "warmup_steps": warmup_steps}
    return ScheduleFreeAdamW, keywords


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
