"""Train a run, or resume it from its folder."""

import contextlib
import ctypes
import gc
import hashlib
import json
import logging
import math
import platform
import statistics
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import fer_tf
from fer_tf import evaluation, models
from fer_tf.errors import UserError
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.input_pipeline import open_reader
from fer_tf.input_pipeline.batches import computed_by
from fer_tf.io import atomic
from fer_tf.progress import bar
from fer_tf.training import callbacks, compute, processor
from fer_tf.training.callbacks import CHECKPOINT, HISTORY, EndOfEpoch, RunFailed, RunStopped, StopRule, model_of
from fer_tf.training.config import RunConfig
from fer_tf.training.objectives.base import Objective
from fer_tf.training.parts import Parts, Tables, build_parts, compiled, distributed, load_tables, replica_callbacks

CONFIG, ENVIRONMENT, METRICS = "config.json", "environment.json", "metrics.json"
FAILURE, STOPPED = "failure.json", "stopped.json"
MODEL, PREDICTIONS = "model.keras", "test_logits.npz"
# What a run must find again to be taken up.
DECISIVE = ("data_digest", "networks_digest", "keras", "backend", "precision")


def execute(
    config: RunConfig,
    folder: Path,
    load: Callable[[RunConfig], Tables] = load_tables,
    description: str = "",
    stop: StopRule | None = None,
    devices: int = 1,
    processes: int = 0,
) -> dict[str, Any]:
    """Train a network, choose its epoch on validation, and score it on test.

    A finished run is returned as it was. An interrupted one goes on after its last whole epoch and ends, on CPU, with
    the bytes of a run that was never interrupted. Other data, another network to start from or to learn from, another
    Keras, backend or precision make it start over.

    Args:
        config: the run.
        folder: its own folder; made when missing.
        load: gives the tables of a configuration; a sweep passes a caching one.
        description: what the progress bar says.
        stop: may end the run early, after any epoch. Without a rule, a run that one had ended starts over.
        devices: how many share each batch (``fer_tf.training.parts``).
        processes: how many compute batches in place of this one's threads (``fer_tf.input_pipeline.batches``).

    Returns:
        The contents of ``metrics.json``.

    Raises:
        RunFailed: the loss is no longer a number. ``failure.json`` has the reason.
        RunStopped: ``stop`` ended the run. ``stopped.json`` has the reason.
        UserError: the data cannot be read, or the devices cannot share the run.
        OSError: a file cannot be written.

    Example:

    >>> import tempfile
    >>> config = RunConfig("tiny", dataset="synthetic(faces=60)", model="vgg(filters=(4,), depth=1)", epochs=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     execute(config, folder)["best_epoch"]
    1
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = load(config)
    finished = _take_up(config, folder, _circumstances(config, tables, devices), stop)
    if finished is not None:
        return finished
    try:
        progress = _train(config, folder, tables, description or config.name, stop, devices, processes)
    except (RunFailed, RunStopped) as end:
        # The same seed fails again, unlike a full disk, which the next start may find mended.
        with contextlib.suppress(OSError):
            atomic.write_json(folder / (FAILURE if isinstance(end, RunFailed) else STOPPED), {"reason": str(end)})
        _clear(folder, CHECKPOINT)
        raise
    metrics = _score(config, folder, tables, progress)
    atomic.write_json(folder / METRICS, metrics)
    _clear(folder, CHECKPOINT)
    return metrics


def _circumstances(config: RunConfig, tables: Tables, devices: int) -> dict[str, Any]:
    """Return what the run's environment file says: where it runs, in which precision, and digests of what it reads."""
    read = [name for name in config.columns if name != "index"]
    found = {
        **environment(),
        "devices": devices,
        "precision": compute.resolve_precision(config.precision, config.model),
    }
    found["data_digest"] = "".join(tables[split].digest(read) for split in SPLITS)
    found["validation_digest"] = tables["validation"].digest()
    if config.networks:
        found["networks_digest"] = _digest_of(config.networks)
    return found


def _take_up(
    config: RunConfig, folder: Path, here: dict[str, Any], stop: StopRule | None
) -> dict[str, Any] | None:  # fmt: skip
    """Return the metrics of a finished run; else make the folder ready, and say why a run that ended is not resumed."""
    # Runs from before precision was a setting.
    known = {"precision": "float32", **(read_json(folder / ENVIRONMENT) or {})}
    if any(known.get(key) != here.get(key) for key in DECISIVE):
        _clear(folder, METRICS, FAILURE, STOPPED, CHECKPOINT, HISTORY)
    atomic.remove_leftovers(folder)
    finished = read_metrics(folder)
    if finished is not None and all((folder / name).is_file() for name in (MODEL, PREDICTIONS, HISTORY)):
        _clear(folder, CHECKPOINT)
        if read_json(folder / CONFIG) != json.loads(json.dumps(config.to_json())):
            atomic.write_json(folder / CONFIG, config.to_json())
        return finished
    failed = read_json(folder / FAILURE)
    if failed is not None and "reason" in failed:
        raise RunFailed(failed["reason"])
    stopped = read_json(folder / STOPPED)
    if stopped is not None and "reason" in stopped and stop:
        raise RunStopped(stopped["reason"])
    _clear(folder, METRICS, STOPPED)
    kept = list(folder.glob("model*.keras"))
    if not kept or any(map(_damage, kept)):
        _clear(folder, CHECKPOINT, HISTORY, *(path.name for path in kept))
    atomic.write_json(folder / CONFIG, config.to_json())
    atomic.write_json(folder / ENVIRONMENT, here)
    return None


def _digest_of(paths: Sequence[str]) -> str:
    """Return sixteen hex digits that change with the bytes of any file."""
    state = hashlib.blake2b(digest_size=8)
    for path in paths:
        if not Path(path).is_file():
            raise UserError(f"No model file at {Path(path).absolute()}.")
        state.update(Path(path).read_bytes())
    return state.hexdigest()


def environment() -> dict[str, Any]:
    """Return what a result depends on besides its configuration: versions, backend, machine."""
    return {
        "fer_tf": fer_tf.__version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "processor": processor.name(),
        "cores": processor.cores(),
    }


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a dict that ``atomic.write_json`` wrote; ``None`` for a file that is missing or broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """Return the metrics of a finished run; ``None`` where there are none, or a file of the run is damaged."""
    metrics = read_json(folder / METRICS)
    if metrics is None and not (folder / METRICS).exists():
        return None
    damaged = [] if _are_metrics(metrics) else [f"{folder / METRICS} is damaged."]
    damaged += filter(None, (_damage(folder / name) for name in (MODEL, PREDICTIONS, HISTORY)))
    if damaged:
        logging.getLogger(__name__).warning("The run is not taken for finished: %s", damaged[0])
    return None if damaged else metrics


def _are_metrics(values: dict[str, Any] | None) -> bool:
    numbers = ("best_epoch", "val_accuracy", "seconds", "images_per_second")
    test = values.get("test") if values else None
    if not isinstance(test, dict):
        return False
    found = [values.get(name) for name in numbers] + [test.get("accuracy"), test.get("macro_f1")]
    matrix = test.get("confusion", [])
    square = isinstance(matrix, list) and all(isinstance(row, list) and len(row) == len(matrix) for row in matrix)
    return square and all(
        isinstance(n, int | float) and math.isfinite(n) for n in [*found, *(n for row in matrix for n in row)]
    )


def _damage(path: Path) -> str:
    """Return what is wrong with a file of a run, ``""`` for one that is whole or missing."""
    try:
        if not path.is_file():
            return ""
        if path.suffix == ".csv":
            columns = pd.read_csv(path).select_dtypes("number").columns
            return "" if {"epoch", "val_accuracy"} <= {*columns} else f"{path} is damaged."
        if path.suffix == ".keras":
            models.check_file(path)
        else:
            with zipfile.ZipFile(path) as archive:
                return f"{path} is damaged." if archive.testzip() else ""
    except (UserError, zipfile.BadZipFile, OSError, ValueError) as error:
        return f"{path} is damaged ({error})."
    return ""


def _clear(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _release_memory() -> None:
    """Forget earlier runs, and give the memory that they held back to the system."""
    keras.utils.clear_session()
    gc.collect()
    with contextlib.suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def _train(
    config: RunConfig, folder: Path, tables: Tables, description: str, stop: StopRule | None, devices: int,
    processes: int,
) -> callbacks.Progress:  # fmt: skip
    _release_memory()
    keras.utils.set_random_seed(config.seed)
    with distributed(devices) as replicas:
        parts = build_parts(config, tables, devices)
        objective = compiled(config, tables, parts, replicas)
        return _fit(config, folder, objective, parts, tables["validation"], description, stop, processes)


def _fit(
    config: RunConfig, folder: Path, objective: Objective, parts: Parts, validation: FaceTable, description: str,
    stop: StopRule | None, processes: int,
) -> callbacks.Progress:  # fmt: skip
    """Train from the last whole epoch on."""
    source, plateau = parts.source, parts.schedule.plateau
    progress = callbacks.restore_state(folder / CHECKPOINT, objective, parts.optimizer) or callbacks.Progress()
    if plateau is not None and progress.schedule_state is not None:
        plateau.set_state(progress.schedule_state)
    if progress.epoch >= config.epochs:
        return progress
    steps = source.steps_per_epoch
    with (
        computed_by(processes, source) as batches,
        bar(config.epochs * steps, description, "step", initial=progress.epoch * steps) as ticks,
    ):
        end = EndOfEpoch(config, folder, source, validation, plateau, progress, ticks, stop)
        end.ask()
        objective.fit(
            open_reader(batches, progress.epoch, config.epochs),
            steps_per_epoch=steps,
            initial_epoch=progress.epoch,
            epochs=config.epochs,
            callbacks=[*replica_callbacks(objective.replicas), end],
            shuffle=False,
            verbose=0,
        )
    return progress


def _score(config: RunConfig, folder: Path, tables: Tables, progress: callbacks.Progress) -> dict[str, Any]:
    best = model_of(folder, progress.best_epoch)
    if best.is_file():
        best.replace(folder / MODEL)  # it is missing when a kill came between here and metrics.json
    network = models.load_model(folder / MODEL)
    test = tables["test"]
    logits = evaluation.logits(network, test.images, view=config.view, crop=config.crop)
    with atomic.atomic_write(folder / PREDICTIONS) as part, part.open("wb") as file:
        np.savez(file, ids=test.ids.astype(str), logits=logits, targets=test.targets)
    history = progress.history
    return {
        "parameters": int(sum(math.prod(v.shape) for v in network.trainable_variables)),
        "best_epoch": progress.best_epoch,
        "val_accuracy": history[progress.best_epoch - 1]["val_accuracy"],
        "seconds": sum(row["seconds"] for row in history),
        "images_per_second": statistics.median(row["images_per_second"] for row in history),
        "test": evaluation.scores(logits, test),
    }
