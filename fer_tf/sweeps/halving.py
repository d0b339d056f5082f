"""Stop bad runs early: successive halving without waiting for others (ASHA, arXiv 1810.05934)."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig


@dataclass(frozen=True)
class Halving:
    """End a run that is not in the best part of those that came as far.

    Rungs stand after ``first``, ``first·factor``, ``first·factor²`` … epochs. At each a run goes on when its best
    validation accuracy so far is among the best ``1/factor`` of all runs beside it that reached the rung, at least
    one of them, ties included. Whoever comes first is judged by few, and nobody waits. Compared are runs that are as
    long and are judged by the same validation faces. The histories in the runs' folders are all that it needs, so it
    acts alike in one process, on many hosts that share the folder, and after a restart.

    Attributes:
        first: epochs before the first rung, from 1.
        factor: one run of so many goes on, from 2.

    Raises:
        UserError: a number out of range.
    """

    first: int
    factor: int = 3

    def __post_init__(self):
        if self.first < 1 or self.factor < 2:
            raise UserError(f"Rungs from {self.first} by {self.factor}. Expected from at least 1, by at least 2.")

    def __call__(self, config: RunConfig, folder: Path, history: Sequence[Mapping[str, float]]) -> str:
        """Return why the run should end after the epochs of ``history``; ``""`` when it should go on."""
        epoch = len(history)
        if epoch >= config.epochs or not self.is_rung(epoch):
            return ""
        kind, own = _kind(folder), _best(history, epoch)
        others = [_reached(f, epoch) for f in folder.parent.iterdir() if f != folder and _kind(f) == kind]
        others = [value for value in others if value is not None]
        better = sum(value > own for value in others)
        if better < max(1, (len(others) + 1) // self.factor):
            return ""
        return f"stopped after epoch {epoch}: {better} of {len(others)} other runs were above {100 * own:.2f} % there"

    def is_rung(self, epoch: int) -> bool:
        """Return whether runs are compared after so many epochs."""
        rung = self.first
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


def first_rung(epochs: int, factor: int = 3) -> int:
    """Return the usual first rung of a run: the second one is then at a third of its epochs."""
    return max(1, epochs // factor**2)


def _kind(folder: Path) -> tuple | None:
    """Return what runs must share to be compared; ``None`` where there is no run."""
    from fer_tf.training.run import CONFIG, ENVIRONMENT, read_json

    if not folder.is_dir():
        return None
    config, environment = read_json(folder / CONFIG), read_json(folder / ENVIRONMENT)
    return (config["epochs"], environment.get("validation_digest")) if config and environment else None


def _reached(folder: Path, epoch: int) -> float | None:
    """Return the best validation accuracy of a run's first epochs; ``None`` when it has not done so many."""
    from fer_tf.training.callbacks import HISTORY

    try:
        with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return None
    return _best(rows, epoch) if len(rows) >= epoch else None


def _best(history: Sequence[Mapping[str, float | str]], epoch: int) -> float:
    return max(float(row["val_accuracy"]) for row in history[:epoch])
