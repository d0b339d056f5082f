"""Stop bad runs early by asynchronous successive halving (ASHA) with Optuna."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_tf.errors import UserError
from fer_tf.training.callbacks import HISTORY
from fer_tf.training.config import RunConfig
from fer_tf.training.run import CONFIG, ENVIRONMENT, read_json


@dataclass(frozen=True)
class Halving:
    """Stop a run that is not among the best of those that came as far.

    After ``first``, ``first·factor``, ``first·factor²`` … epochs, Optuna's ``SuccessiveHalvingPruner`` compares the
    run's best validation accuracy so far with that of the other runs in the same study folder: the best
    ``1/factor`` go on, at least one, ties included. No run waits for another. Only runs of the same length that are
    validated on the same faces are compared. All this is read from the runs' own folders, so the rule decides alike
    in one process, on many hosts that share the study folder, and after a restart.

    Args:
        first: epochs before the first comparison, from 1.
        factor: one run of so many goes on, from 2.

    Raises:
        UserError: a number out of range.

    Example:
        >>> [epoch for epoch in range(1, 30) if Halving(first=1, factor=3).compares(epoch)]
        [1, 3, 9, 27]

    References:
        Li et al., A System for Massively Parallel Hyperparameter Tuning, arXiv 1810.05934.
    """

    first: int
    factor: int = 3

    def __post_init__(self):
        if self.first < 1 or self.factor < 2:
            raise UserError(f"Rungs from {self.first} by {self.factor}. Expected from at least 1, by at least 2.")

    def __call__(self, config: RunConfig, folder: Path, history: Sequence[Mapping[str, float]]) -> str:
        """Return the reason to stop after the epochs of ``history``, or ``""`` to go on."""
        import optuna

        epoch = len(history)
        if epoch >= config.epochs or not self.compares(epoch):
            return ""
        kind, own = _kind(folder), _best(history, epoch)
        reached = [_read(path) for path in folder.parent.iterdir() if path != folder and _kind(path) == kind]
        others = [_best(rows, epoch) for rows in reached if len(rows) >= epoch]
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=epoch, reduction_factor=self.factor)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        for accuracy in (*others, own):
            trial = study.ask()
            trial.report(accuracy, epoch)
            pruned = trial.should_prune()
        better = sum(value > own for value in others)
        where = f"{better} of {len(others)} other runs were above {100 * own:.2f} % there"
        return f"stopped after epoch {epoch}: {where}" if pruned else ""

    def compares(self, epoch: int) -> bool:
        """Return whether runs are compared after so many epochs."""
        rung = self.first
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


def _kind(folder: Path) -> tuple | None:
    """Return what runs must share to be compared; ``None`` where there is no run."""
    config, environment = (read_json(folder / name) if folder.is_dir() else None for name in (CONFIG, ENVIRONMENT))
    return (config["epochs"], environment.get("validation_digest")) if config and environment else None


def _read(folder: Path) -> list[dict[str, str]]:
    if not (folder / HISTORY).is_file():
        return []
    with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _best(history: Sequence[Mapping[str, float | str]], epoch: int) -> float:
    return max(float(row["val_accuracy"]) for row in history[:epoch])
