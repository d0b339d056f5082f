"""Define what a search varies, and turn drawn values into configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fer_tf import augment, registry
from fer_tf.errors import UserError, unknown_name
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS
from fer_tf.tuning import optimizer_study

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# A choice among all thirteen would need more runs than a search on a few cores has.
SEARCHED_OPTIMIZERS = ("nesterov", "adam", "adamw", "lion", "muon")


def space_of(names: Sequence[str], runs: Sequence[RunConfig]) -> "dict[str, BaseDistribution]":
    """Return Optuna's distributions of the settings to search, by name.

    Args:
        names: any of ``optimizer``; ``rate``, a factor on the run's learning rate, or on the usual rate of another
            optimizer; ``decay``, of the kind (coupled or decoupled) that belongs to the optimizer; ``schedule``;
            ``augment``, a preset that all runs can take; ``dropout``.
        runs: the configurations that trials start from. When there are several, ``run`` joins the space.

    Raises:
        UserError: an unknown name.

    Example:
        >>> space_of(["dropout"], [RunConfig(name="a")])
        {'dropout': FloatDistribution(high=0.6, log=False, low=0.0, step=None)}
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    presets = [preset for preset in augment.PRESETS if all(_takes(run, preset) for run in runs)]
    whole = {
        "optimizer": CategoricalDistribution(SEARCHED_OPTIMIZERS),
        "rate": FloatDistribution(0.1, 10.0, log=True),
        "decay": FloatDistribution(1e-6, 1e-2, log=True),
        "schedule": CategoricalDistribution(tuple(_schedules(runs[0].epochs))),
        "augment": CategoricalDistribution(presets),
        "dropout": FloatDistribution(0.0, 0.6),
    }
    for name in names:
        if name not in whole:
            raise unknown_name("dimension", name, whole)
    own = {"run": CategoricalDistribution([run.name for run in runs])} if len(runs) > 1 else {}
    return {**own, **{name: whole[name] for name in whole if name in names}}


def describe(distribution: "BaseDistribution") -> str:
    """Return a distribution's choices or bounds as text.

    Example:
        >>> describe(space_of(["rate"], [RunConfig(name="a")])["rate"])
        '0.1 to 10, by its logarithm'
    """
    if hasattr(distribution, "choices"):
        return ", ".join(distribution.choices)
    return f"{distribution.low:g} to {distribution.high:g}{', by its logarithm' if distribution.log else ''}"


def configured(runs: Sequence[RunConfig], values: Mapping[str, Any], name: str) -> RunConfig:
    """Return one of the runs, renamed and changed by the values that a search drew.

    Args:
        runs: the configurations that trials start from.
        values: by the names of ``space_of``; ``run`` chooses among ``runs``. Numbers are rounded to three digits.
        name: of the new run.

    Example:
        >>> configured([RunConfig(name="a", learning_rate=0.1)], {"rate": 0.5}, "trial 3").learning_rate
        0.05
    """
    run = {run.name: run for run in runs}[values["run"]] if "run" in values else runs[0]
    # Three digits are as good, and can be typed.
    rounded = {key: float(f"{value:.3g}") for key, value in values.items() if isinstance(value, float)}
    own = registry.parse(run.optimizer)[0]
    rule = values.get("optimizer", own)
    rate = run.learning_rate if rule == own else OPTIMIZERS[rule].facts["learning_rate"]
    rate = float(f"{rate * rounded.get('rate', 1.0):.3g}")
    changes = {"optimizer": run.optimizer if rule == own else rule, "learning_rate": rate}
    if "decay" in rounded:
        drawn = optimizer_study.settings(rule, str(rate), rounded["decay"])
        changes |= {kind: float(f"{drawn.get(kind, 0.0):.3g}") for kind in ("l2", "weight_decay")}
    if "schedule" in values:
        changes["schedule"] = _schedules(run.epochs)[values["schedule"]]
    if "augment" in values:
        changes["augment"] = (values["augment"],)
    if "dropout" in rounded:
        changes["dropout"] = rounded["dropout"]
    return replace(run, name=name, **changes)


def corners(runs: Sequence[RunConfig], space: "Mapping[str, BaseDistribution]") -> list[RunConfig]:
    """Return the first run with each choice and each bound of the space, to check them before a search."""
    ends = {key: getattr(d, "choices", None) or (d.low, d.high) for key, d in space.items() if key != "run"}
    return [configured(runs[:1], {key: value}, f"{key}={value}") for key, values in ends.items() for value in values]


def _schedules(epochs: int) -> dict[str, str]:
    return {registry.parse(text)[0]: text for text in optimizer_study.schedules(epochs)}


def _takes(run: RunConfig, preset: str) -> bool:
    try:
        augment.check_columns((preset,), run.columns)
    except UserError:
        return False
    return True
