"""Tabulate and rank the results of runs."""

import functools
import hashlib
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer_tf import models
from fer_tf.io import atomic
from fer_tf.training.config import RunConfig
from fer_tf.training.run import FAILURE, METRICS, MODEL, PREDICTIONS, STOPPED, read_json

if TYPE_CHECKING:
    import keras

FILE = "results.csv"
# Each of these says how a run ended; the last is of what was not foreseen, and the next start tries again.
ENDED = (METRICS, FAILURE, STOPPED, "traceback.txt")
COLUMNS = (
    "run", "model", "optimizer", "schedule", "seed", "epochs", "best_epoch", "val_accuracy", "test_accuracy",
    "test_macro_f1", "seconds", "images_per_second", "status", "reason", "folder",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """How one run ended.

    Attributes:
        config: the run.
        folder: where its files are.
        metrics: contents of its ``metrics.json``, or ``None`` when it failed or was stopped.
        reason: one line on why it failed or was stopped, ``""`` when neither.
        stopped: a rule ended it early.
    """

    config: RunConfig
    folder: Path
    metrics: dict[str, Any] | None
    reason: str = ""
    stopped: bool = False

    @property
    def status(self) -> str:
        """``done``, ``stopped`` or ``failed``."""
        return "done" if self.metrics else "stopped" if self.stopped else "failed"


def row(result: Result) -> dict[str, Any]:
    """Return one run's row of ``results.csv``; a failed or stopped run has its reason and no scores."""
    config, metrics = result.config, result.metrics
    values = {
        "run": config.name,
        "model": config.model,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
        "seed": config.seed,
        "epochs": config.epochs,
        "status": result.status,
        "reason": result.reason,
        "folder": result.folder.name,
    }
    if metrics:
        values |= {
            "best_epoch": metrics["best_epoch"],
            "val_accuracy": metrics["val_accuracy"],
            "test_accuracy": metrics["test"]["accuracy"],
            "test_macro_f1": metrics["test"]["macro_f1"],
            "seconds": round(metrics["seconds"], 2),
            "images_per_second": round(metrics["images_per_second"], 1),
        }
    return values


def frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return the table of a study, in the order of the runs."""
    table = pd.DataFrame([row(r) for r in results], columns=list(COLUMNS))
    return table.astype({"best_epoch": "Int64"})


def write(results: Sequence[Result], path: Path) -> None:
    """Write ``results.csv`` atomically."""
    with atomic.atomic_write(path) as part:
        frame(results).to_csv(part, index=False)


def scored_once(result: Result, file: str, faces: str, score: "Callable[[keras.Model], dict[str, Any]]") -> dict:
    """Return what ``score`` says of a run's network; compute it once and keep it in the run's folder.

    Args:
        result: a finished run.
        file: name of the JSON file in its folder.
        faces: digest of the faces that the scores are of. Other faces, or another network, are scored again.
        score: from the network to numbers that JSON can hold.
    """
    model = result.folder / MODEL
    of = faces + hashlib.blake2b(model.read_bytes(), digest_size=8).hexdigest()
    known = read_json(result.folder / file)
    if known is None or known["of"] != of:
        known = {"of": of, **score(models.load_model(model))}
        atomic.write_json(result.folder / file, known)
    return known


def setting(config: RunConfig) -> str:
    """Return the name of a run without the seed that a study of several seeds adds.

    Example:
        >>> setting(RunConfig(name="adam-constant-seed1", seed=1))
        'adam-constant'
    """
    return config.name.removesuffix(f"-seed{config.seed}")


@dataclass(frozen=True)
class Setting:
    """The finished runs of one setting, which differ in their seed.

    Attributes:
        name: what the runs are called, without a seed.
        runs: one a seed, the best on validation first.
    """

    name: str
    runs: tuple[Result, ...]

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """The runs' rows of ``results.csv``."""
        return frame(self.runs)

    @property
    def val_accuracy(self) -> float:
        """Mean over the seeds, in 0..1."""
        return statistics.fmean(r.metrics["val_accuracy"] for r in self.runs)

    def right(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Read the runs' predictions of the test faces.

        Returns:
            The ids (N,) of the faces, and bool (S, N), whether each run's most probable class is that of the target.
            ``None`` for runs of an older version, whose files have no targets.
        """
        rows = []
        for run in self.runs:
            with np.load(run.folder / PREDICTIONS) as file:
                if "targets" not in file:
                    return None
                ids = file["ids"]
                rows.append(file["logits"].argmax(axis=1) == file["targets"].argmax(axis=1))
        return ids, np.array(rows)


def ranked(results: Sequence[Result]) -> list[Setting]:
    """Return the settings that have finished runs, best mean validation accuracy first (the order given on ties)."""
    by_name = defaultdict(list)
    for result in results:
        if result.metrics:
            by_name[setting(result.config)].append(result)
    settings = [
        Setting(name, tuple(sorted(runs, key=lambda r: -r.metrics["val_accuracy"]))) for name, runs in by_name.items()
    ]
    return sorted(settings, key=lambda s: -s.val_accuracy)


def leading(runs: Sequence[RunConfig], folders: Sequence[Path], count: int, seed: int) -> list[RunConfig]:
    """Return the runs that lead on validation once more, with another seed, as soon as every run has ended.

    Args:
        runs: a run a setting.
        folders: where each run is, or will be.
        count: how many lead.
        seed: what the repeated runs have; it joins their names.

    Returns:
        At most ``count`` configurations, the best first; none while a run has not ended.
    """
    if not all(any((folder / name).is_file() for name in ENDED) for folder in folders):
        return []
    scores = [(config, read_json(folder / METRICS)) for config, folder in zip(runs, folders, strict=True)]
    finished = sorted((pair for pair in scores if pair[1]), key=lambda pair: -pair[1]["val_accuracy"])
    return [replace(config, seed=seed, name=f"{config.name}-seed{seed}") for config, _ in finished[:count]]
