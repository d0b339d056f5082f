"""What a search varies in a study's runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fer_tf import augment, callstring
from fer_tf.errors import UserError, unknown_name
from fer_tf.sweeps import optimizer_study
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS

# A choice among all thirteen would need more runs than a search on a few cores has.
SEARCHED_OPTIMIZERS = ("nesterov", "adam", "adamw", "lion", "muon")


@dataclass(frozen=True)
class Choice:
    """One of some names."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.values)


@dataclass(frozen=True)
class Range:
    """A number between two, drawn by its logarithm or as it is."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', by its logarithm' if self.log else ''}"


# Settings that a search can vary, and what they mean; "run" joins them where a study has several runs.
DIMENSIONS: Mapping[str, str] = {
    "optimizer": "its rule",
    "rate": "factor on the run's learning rate, or on the usual one of another optimizer",
    "decay": "weight decay, coupled or decoupled as belongs to the optimizer",
    "schedule": "of the learning rate, with the arguments of the optimiser study",
    "augment": "a preset",
    "dropout": "rate",
}
DEFAULT = ("optimizer", "rate", "decay", "schedule", "augment")


def space_of(names: Sequence[str], runs: Sequence[RunConfig]) -> dict[str, Choice | Range]:
    """Return what is searched, by name.

    Args:
        names: of ``DIMENSIONS``.
        runs: what a trial starts from; the names of several are searched too.

    Raises:
        UserError: an unknown name.
    """
    for name in names:
        if name not in DIMENSIONS:
            raise unknown_name("dimension", name, DIMENSIONS)
    whole = {
        "optimizer": Choice(SEARCHED_OPTIMIZERS),
        "rate": Range(0.1, 10.0, log=True),
        "decay": Range(1e-6, 1e-2, log=True),
        "schedule": Choice(tuple(_schedules(runs[0].epochs))),
        "augment": Choice(tuple(p for p in augment.PRESETS if all(_takes(run, p) for run in runs))),
        "dropout": Range(0.0, 0.6),
    }
    own = {"run": Choice(tuple(run.name for run in runs))} if len(runs) > 1 else {}
    return {**own, **{name: whole[name] for name in whole if name in names}}


def configured(runs: Sequence[RunConfig], values: Mapping[str, Any], name: str) -> RunConfig:
    """Return one of ``runs`` under another name and with what a search drew for it."""
    run = {run.name: run for run in runs}[values["run"]] if "run" in values else runs[0]
    # Three digits are as good, and can be typed.
    rounded = {key: float(f"{value:.3g}") for key, value in values.items() if isinstance(value, float)}
    own = callstring.parse(run.optimizer)[0]
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


def corners(runs: Sequence[RunConfig], space: Mapping[str, Choice | Range]) -> list[RunConfig]:
    """Return the first of ``runs`` with each choice and each end of a range: what is checked before a search."""
    ends = {key: d.values if isinstance(d, Choice) else (d.low, d.high) for key, d in space.items() if key != "run"}
    return [configured(runs[:1], {key: value}, f"{key}={value}") for key, values in ends.items() for value in values]


def _schedules(epochs: int) -> dict[str, str]:
    return {callstring.parse(text)[0]: text for text in optimizer_study.schedules(epochs)}


def _takes(run: RunConfig, preset: str) -> bool:
    try:
        augment.check_columns((preset,), run.columns)
    except UserError:
        return False
    return True
