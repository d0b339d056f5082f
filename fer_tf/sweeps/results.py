"""Results of runs, the table of a study, and scores kept beside networks."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer_tf import models
from fer_tf.io import atomic
from fer_tf.training.config import RunConfig
from fer_tf.training.run import MODEL, read_json

if TYPE_CHECKING:
    import keras

FILE = "results.csv"
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


def ranked(results: Sequence[Result]) -> list[Result]:
    """Return the finished runs, best validation accuracy first (the order given on ties)."""
    finished = [r for r in results if r.metrics]
    return sorted(finished, key=lambda r: -r.metrics["val_accuracy"])
