"""Create learning-rate schedules.

The tables follow the torch schedulers of the published studies: per-epoch ones change after an epoch, the cosine one
is periodic, and plateau reduces once the bad epochs *exceed* its patience. They are pure NumPy; ``get`` makes what a
Keras optimizer takes. Arguments in epochs are meant for the published length; a shorter run names shorter ones, such
as ``"step(every=2)"``.

Facts of a row: ``follows`` is "epoch" or "step" for tables and "score" for plateau; ``reference``; and
``study_learning_rate`` where a published study fixes the base.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_tf.errors import UserError
from fer_tf.registry import Registry

SCHEDULES = Registry("schedule")
SCHEDULES.add("constant", "fer_tf.training.schedules:constant", follows="epoch", reference="arXiv 2105.03588")
SCHEDULES.add("step", "fer_tf.training.schedules:step", follows="epoch", reference="arXiv 2105.03588")
SCHEDULES.add("exponential", "fer_tf.training.schedules:exponential", follows="epoch", reference="torch ExponentialLR")
SCHEDULES.add("cosine", "fer_tf.training.schedules:cosine", follows="epoch", reference="arXiv 2105.03588")
SCHEDULES.add("warm_restarts", "fer_tf.training.schedules:warm_restarts", follows="epoch", reference="arXiv 1608.03983")
SCHEDULES.add("one_cycle", "fer_tf.training.schedules:one_cycle", follows="step", reference="arXiv 1708.07120")
SCHEDULES.add("warmup_cosine", "fer_tf.training.schedules:warmup_cosine", follows="step", reference="arXiv 1706.02677")
SCHEDULES.add(
    "wujie", "fer_tf.training.schedules:wujie",
    follows="epoch", study_learning_rate=0.01, reference="WuJie1010/Facial-Expression-Recognition.Pytorch",
)  # fmt: skip
SCHEDULES.add(
    "ferplus", "fer_tf.training.schedules:ferplus",
    follows="epoch", study_learning_rate=0.05, reference="arXiv 1608.01041",
)  # fmt: skip
SCHEDULES.add("plateau", "fer_tf.training.schedules:Plateau", follows="score", reference="arXiv 2105.03588")


@dataclass(frozen=True)
class Schedule:
    """What ``get`` makes of a call string.

    Attributes:
        learning_rate: what to give the optimizer: a Keras schedule that holds the table, or plateau's base rate.
        table: float32 (epochs · steps,), or ``None`` for plateau.
        plateau: the rule that watches the score, or ``None`` for tables.
    """

    learning_rate: Any
    table: np.ndarray | None = None
    plateau: "Plateau | None" = None


def get(text: str, base: float, epochs: int, steps_per_epoch: int) -> Schedule:
    """Make the schedule of a call string, such as ``"cosine(t_max=4)"``, ready for a Keras optimizer.

    Args:
        text: a name of ``SCHEDULES`` with its keywords.
        base: learning rate that the schedule scales, > 0.
        epochs: epochs of the run.
        steps_per_epoch: optimizer steps an epoch (for sharpness-aware minimization: descents).

    Raises:
        UserError: an unknown name or keyword, or a value out of range.
    """
    if SCHEDULES.resolve(text)[0].facts["follows"] == "score":
        return Schedule(float(base), plateau=SCHEDULES.make(text, base=float(base)))
    # Keras takes seconds to import, and configurations are checked without it.
    from fer_tf.training.optimizer_configs import TableSchedule

    values = table(text, base, epochs, steps_per_epoch)
    return Schedule(TableSchedule(values), table=values)


def table(text: str, base: float, epochs: int, steps_per_epoch: int) -> np.ndarray:
    """Return the learning rate of every optimizer step, float32 (epochs · steps_per_epoch,).

    Raises:
        UserError: an unknown name or keyword, a value out of range, or ``plateau``, which has no table.
    """
    if SCHEDULES.resolve(text)[0].facts["follows"] == "score":
        raise UserError(f"Schedule {text!r} follows the score of the run, so it has no table.")
    for name, value in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
        if value < 1:
            raise UserError(f"A schedule needs {name} of at least 1, got {value}.")
    rates = SCHEDULES.make(text, base=float(base), epochs=epochs, steps_per_epoch=steps_per_epoch)
    return np.asarray(rates, dtype=np.float32)


def constant(base: float, epochs: int, steps_per_epoch: int) -> np.ndarray:
    """Keep the base rate."""
    return np.full(epochs * steps_per_epoch, base)


def step(base: float, epochs: int, steps_per_epoch: int, *, every: int = 20, factor: float = 0.5) -> np.ndarray:
    """Multiply by ``factor`` after every ``every`` epochs (torch's StepLR)."""
    _at_least("step", "every", every, 1)
    return np.repeat(base * factor ** (np.arange(epochs) // every), steps_per_epoch)


def exponential(base: float, epochs: int, steps_per_epoch: int, *, factor: float = 0.98) -> np.ndarray:
    """Multiply by ``factor`` after every epoch (torch's ExponentialLR)."""
    return np.repeat(base * factor ** np.arange(epochs), steps_per_epoch)


def cosine(base: float, epochs: int, steps_per_epoch: int, *, t_max: int = 10, floor: float = 1e-6) -> np.ndarray:
    """Swing between ``base`` and ``floor`` with period 2·``t_max`` epochs (torch's CosineAnnealingLR).

    Stepped past ``t_max`` it climbs back, as torch's does; for one descent set ``t_max`` to the run's epochs.
    """
    _at_least("cosine", "t_max", t_max, 1)
    return np.repeat(_half_cosine(base, floor, np.arange(epochs) / t_max), steps_per_epoch)


def warm_restarts(
    base: float, epochs: int, steps_per_epoch: int, *, t_0: int = 10, t_mult: int = 1, floor: float = 1e-6
) -> np.ndarray:
    """Descend from ``base`` towards ``floor`` in ``t_0`` epochs, jump back, and take ``t_mult`` times as long again.

    References:
        arXiv 1608.03983.
    """
    _at_least("warm_restarts", "t_0", t_0, 1)
    _at_least("warm_restarts", "t_mult", t_mult, 1)
    progress, length = [], t_0
    while len(progress) < epochs:
        progress.extend(np.arange(length) / length)
        length *= t_mult
    return np.repeat(_half_cosine(base, floor, np.array(progress[:epochs])), steps_per_epoch)


def one_cycle(
    base: float, epochs: int, steps_per_epoch: int, *, rise: float = 0.3, divide: float = 25.0, final: float = 1e4
) -> np.ndarray:
    """Climb to ``base`` and anneal to almost nothing, changing at every step (torch's OneCycleLR with its defaults).

    It starts at ``base / divide``, peaks after the share ``rise`` of the steps and ends at
    ``base / divide / final``. torch's also cycles the momentum, between 0.95 and 0.85; here it stays.

    References:
        arXiv 1708.07120.
    """
    if not 0 < rise < 1:
        raise UserError(f"Schedule 'one_cycle': rise must be between 0 and 1, got {rise!r}.")
    steps = np.arange(epochs * steps_per_epoch)
    peak, last = rise * len(steps) - 1, len(steps) - 1
    # With so few steps that the climb has none, the peak lies before the first step and all is descent.
    up = _half_cosine(base / divide, base, steps / peak) if peak > 0 else np.full(len(steps), base)
    down = _half_cosine(base, base / divide / final, (steps - peak) / (last - peak))
    return np.where(steps <= peak, up, down)


def warmup_cosine(
    base: float, epochs: int, steps_per_epoch: int, *, warmup: float = 1.0, floor: float = 0.0
) -> np.ndarray:
    """Climb linearly to ``base`` in ``warmup`` epochs, then one half cosine that ends on ``floor``, at every step.

    References:
        arXiv 1706.02677 for the warm-up, 1608.03983 for the cosine.
    """
    steps, climb = epochs * steps_per_epoch, round(warmup * steps_per_epoch)
    if not 0 <= climb < steps:
        raise UserError(f"Schedule 'warmup_cosine': warmup must be from 0 to below {epochs} epochs, got {warmup!r}.")
    up = base * np.arange(1, climb + 1) / max(climb, 1)
    down = _half_cosine(base, floor, np.arange(1, steps - climb + 1) / (steps - climb))
    return np.concatenate([up, down])


def wujie(
    base: float, epochs: int, steps_per_epoch: int, *, start: int = 80, every: int = 5, factor: float = 0.9
) -> np.ndarray:
    """Keep ``base`` up to epoch ``start`` (counted from 0), then ×``factor`` for every ``every`` whole epochs since."""
    _at_least("wujie", "every", every, 1)
    drops = np.maximum(np.arange(epochs) - start, 0) // every
    return np.repeat(base * factor**drops, steps_per_epoch)


def ferplus(
    base: float, epochs: int, steps_per_epoch: int, *, drops: tuple[int, int] = (20, 40), scale: float = 1.0
) -> np.ndarray:
    """Scale ``base`` by 1, then 0.5, then 0.1, changing at the two epochs ``drops``.

    With a base of 0.05 these are the rates of FER+: 0.05, 0.025, 0.005. Its framework multiplies the gradient by
    1 − momentum, so ``scale=0.1`` gives the same steps with a Keras momentum of 0.9.

    References:
        arXiv 1608.01041.
    """
    if len(drops) != 2 or not 0 <= drops[0] <= drops[1]:
        raise UserError(f"Schedule 'ferplus': drops must be two epochs in order, got {drops!r}.")
    share = np.array([1.0, 0.5, 0.1])[np.searchsorted(drops, np.arange(epochs), side="right")]
    return np.repeat(base * scale * share, steps_per_epoch)


def _half_cosine(start: float, end: float, progress: np.ndarray) -> np.ndarray:
    """Go from ``start`` at progress 0 to ``end`` at 1 along a cosine; beyond 1 it comes back."""
    return end + (start - end) * (1 + np.cos(np.pi * progress)) / 2


def _at_least(schedule: str, key: str, value: float, low: float) -> None:
    if not value >= low:
        raise UserError(f"Schedule {schedule!r}: {key} must be at least {low}, got {value!r}.")


class Plateau:
    """Watch one score an epoch and say when the learning rate must fall.

    As torch's ReduceLROnPlateau: a score is better only beyond a *relative* ``threshold``, and the rate falls when
    the bad epochs *exceed* ``patience``, so patience 5 acts on the sixth bad epoch. Keras' callback acts on the fifth
    and has an absolute threshold.

    Args:
        factor: multiplier of a reduction, in (0, 1).
        patience: bad epochs in a row that are borne.
        threshold: relative gain that counts, ≥ 0.
        mode: "max" for accuracies, "min" for losses.
        min_lr: the rate never falls below it.
        base: learning rate at the start; ``build`` gives it.

    Raises:
        UserError: a value out of range.
    """

    def __init__(
        self,
        factor: float = 0.75,
        patience: int = 5,
        threshold: float = 1e-4,
        mode: str = "max",
        min_lr: float = 0.0,
        base: float = 1.0,
    ):
        if not 0 < factor < 1:
            raise UserError(f"Schedule 'plateau': factor must be between 0 and 1, got {factor!r}.")
        if mode not in ("max", "min"):
            raise UserError(f"Schedule 'plateau': mode must be 'max' or 'min', got {mode!r}.")
        for key, value in (("patience", patience), ("threshold", threshold), ("min_lr", min_lr)):
            if not value >= 0:
                raise UserError(f"Schedule 'plateau': {key} must be at least 0, got {value!r}.")
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.mode, self.min_share = mode, min(min_lr / base, 1.0)
        self.best: float | None = None
        self.bad = 0
        self.share = 1.0

    def observe(self, value: float) -> float:
        """Take the score of one more epoch; return the share of the base rate that holds from now on.

        A score that is not a number counts as bad.
        """
        if self._better(float(value)):
            self.best, self.bad = float(value), 0
        else:
            self.bad += 1
        if self.bad > self.patience:
            self.share, self.bad = max(self.share * self.factor, self.min_share), 0
        return self.share

    def get_state(self) -> dict[str, Any]:
        """Return what must be kept to continue, as JSON values."""
        return {"best": self.best, "bad": self.bad, "share": self.share}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from what ``get_state`` gave."""
        self.best, self.bad, self.share = state["best"], state["bad"], state["share"]

    def _better(self, value: float) -> bool:
        if self.best is None:
            return value == value
        if self.mode == "max":
            return value > self.best * (1 + self.threshold)
        return value < self.best * (1 - self.threshold)
