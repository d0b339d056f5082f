"""Validate, save and stop at the end of each epoch."""

import json
import math
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from fer_tf import evaluation, models
from fer_tf.facetable import FaceTable
from fer_tf.input_pipeline.batches import BatchSource
from fer_tf.io import atomic
from fer_tf.training import averaging, compute
from fer_tf.training.config import RunConfig
from fer_tf.training.schedules import Plateau


@dataclass
class Progress:
    """What a run knows besides its variables.

    Attributes:
        epoch: finished epochs.
        history: one dict of numbers an epoch.
        best_epoch: 1-based epoch whose network is kept: of the highest validation accuracy so far (the first on ties),
            or the last one, as the configuration says; 0 for none.
        schedule_state: state of a schedule that reacts to results; ``None`` for the others.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    schedule_state: dict[str, Any] | None = None


def _variables(objective: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, list]:
    # `variables` has the dropout seeds besides the weights: without them a continued run draws other masks.
    # The compiled metrics' and the optimizer's variables hang on the trainer, so they are left to their owners.
    network = list(objective.network.variables)
    metrics = [v for m in objective.metrics for v in m.variables]
    others = {id(v) for v in [*network, *metrics, *optimizer.variables]}
    return {
        "network": network,
        "objective": [v for v in objective.variables if id(v) not in others],
        "optimizer": list(optimizer.variables),
    }


def save_state(path: Path, objective: keras.Model, optimizer: keras.optimizers.Optimizer, progress: Progress) -> None:
    """Write the variables of a built objective, its network and the optimizer, and the progress, atomically."""
    arrays = {
        f"{owner}/{i:04d}": keras.ops.convert_to_numpy(v)
        for owner, variables in _variables(objective, optimizer).items()
        for i, v in enumerate(variables)
    }
    with atomic.atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, progress=json.dumps(asdict(progress)), **arrays)


def restore_state(path: Path, objective: keras.Model, optimizer: keras.optimizers.Optimizer) -> Progress | None:
    """Assign what ``save`` wrote to a built objective and optimizer.

    Returns:
        The progress, or ``None`` (nothing assigned) when there is no checkpoint, it cannot be read, or it is of
        another network or objective.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        progress = Progress(**json.loads(str(arrays.pop("progress"))))
        if not 1 <= progress.best_epoch <= progress.epoch == len(progress.history):
            return None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error):
        return None
    targets = {
        f"{owner}/{i:04d}": v
        for owner, variables in _variables(objective, optimizer).items()
        for i, v in enumerate(variables)
    }
    if {k: a.shape for k, a in arrays.items()} != {k: tuple(v.shape) for k, v in targets.items()}:
        return None
    for name, variable in targets.items():
        variable.assign(arrays[name])
    return progress


CHECKPOINT, HISTORY = "checkpoint.npz", "history.csv"
# From a run, its folder and its epochs so far to the reason why it should end here, "" for going on.
StopRule = Callable[[RunConfig, Path, Sequence[Mapping[str, float]]], str]
# Batches of the training set that re-estimate batch-norm statistics under averaged weights.
RECALIBRATION_BATCHES = 8


class RunFailed(RuntimeError):
    """A run cannot go on, and would fail again: its loss is no number any more."""


class RunStopped(RuntimeError):
    """A rule ended a run early: others are better."""


def model_of(folder: Path, epoch: int) -> Path:
    """Return where a run keeps the network of an epoch (from 1) that was the best when it ended."""
    return folder / f"model-{epoch}.keras"


def metadata_for(config: RunConfig, table: FaceTable, network: keras.Model) -> models.ModelMetadata:
    """Return what the file of a run's network says beside the weights; ``table`` holds its training faces."""
    layer = models.MODELS.resolve(config.model)[0].load().gradcam_layer
    return models.ModelMetadata(
        label_set=table.label_set,
        face_size=table.image_shape[0],
        gradcam_layer=layer if any(layer == part.name for part in network.layers) else None,
        model=config.model,
        dataset=config.dataset,
        prior=tuple(table.targets.mean(axis=0, dtype=np.float64).tolist()),
    )


class EndOfEpoch(keras.callbacks.Callback):
    """Watch the loss; after each epoch validate, keep the best network, and write history and checkpoint.

    The networks of two epochs lie side by side until the checkpoint says which is the best: a kill between any two
    writes leaves the one that the last checkpoint names.

    Args:
        config: the run.
        folder: the run's folder.
        source: the training batches.
        validation: faces that choose the epoch.
        plateau: schedule that follows the validation scores, or ``None``.
        progress: updated in place.
        bar: progress bar, one tick a step.
        stop: asked after each epoch; raises ``RunStopped`` with its reason.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        source: BatchSource,
        validation: FaceTable,
        plateau: Plateau | None,
        progress: Progress,
        bar: tqdm,
        stop: StopRule | None = None,
    ):
        super().__init__()
        self.config, self.folder = config, folder
        self.source, self.validation, self.plateau = source, validation, plateau
        self.progress, self.bar, self.stop = progress, bar, stop
        self.started = self.first_step = self.rate = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock, and note the rate of the epoch's first step."""
        self.started = time.perf_counter()
        self.first_step = 0.0
        self.model.begin_epoch(epoch + 1)
        self.rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop the run when the loss is not finite."""
        if not self.first_step:
            self.first_step = time.perf_counter() - self.started
        self.bar.update()
        if not math.isfinite(logs["loss"]):
            raise RunFailed(f"loss is {logs['loss']} in epoch {self.progress.epoch + 1}, step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Validate, keep the best network, let the plateau schedule react, and write history and checkpoint."""
        trained = time.perf_counter() - self.started
        objective, optimizer, progress = self.model, self.model.optimizer, self.progress
        scores = self._validate(objective.network, optimizer, epoch)
        progress.history.append(
            {
                "epoch": epoch + 1,
                "learning_rate": self.rate,
                "loss": float(logs["loss"]),
                "accuracy": float(logs["accuracy"]),
                **{name: float(logs[name]) for name in objective.parts},
                "val_loss": scores["nll"],
                "val_accuracy": scores["accuracy"],
                "seconds": time.perf_counter() - self.started,
                "images_per_second": self._speed(trained),
            }
        )
        progress.epoch = epoch + 1
        if self.plateau is not None:
            watched = scores["nll"] if self.plateau.mode == "min" else scores["accuracy"]
            optimizer.learning_rate = self.config.learning_rate * self.plateau.observe(watched)
            progress.schedule_state = self.plateau.get_state()
        with atomic.atomic_write(self.folder / HISTORY) as part:
            pd.DataFrame(progress.history).to_csv(part, index=False)
        objective.write(self.folder, self.source.table)
        save_state(self.folder / CHECKPOINT, objective, optimizer, progress)
        for path in self.folder.glob("model-*.keras"):
            if path != model_of(self.folder, progress.best_epoch):
                path.unlink()
        self.bar.set_postfix_str(f"val {scores['accuracy']:.3f}")
        self.ask()

    def ask(self) -> None:
        """Raise ``RunStopped`` when the rule says so; also due before a continued run's first step."""
        if self.stop and self.progress.history:
            reason = self.stop(self.config, self.folder, self.progress.history)
            if reason:
                raise RunStopped(reason)

    def _validate(self, network: keras.Model, optimizer: keras.optimizers.Optimizer, epoch: int) -> dict[str, Any]:
        with (
            compute.as_built(network),
            averaging.averaged_weights(network, optimizer),
            self._batch_norm(network, optimizer, epoch),
        ):
            logits = evaluation.logits(network, self.validation.images, crop=self.config.crop)
            if not np.isfinite(logits).all():
                raise RunFailed(f"validation logits are not finite after epoch {epoch + 1}")
            scores = evaluation.scores(logits, self.validation)
            best = max((row["val_accuracy"] for row in self.progress.history), default=-1.0)
            if scores["accuracy"] > best or self.config.keep == "last":
                self.progress.best_epoch = epoch + 1
                facts = metadata_for(self.config, self.source.table, network)
                models.save_model(network, model_of(self.folder, epoch + 1), facts)
        return scores

    def _batch_norm(self, network: keras.Model, optimizer: keras.optimizers.Optimizer, epoch: int) -> Any:
        batches = (self.source.batch(epoch, step)[0] for step in range(self.source.steps))
        return averaging.recalibrated_batch_norm(network, optimizer, islice(batches, RECALIBRATION_BATCHES))

    def _speed(self, seconds: float) -> float:
        """Return different images a second; the first step of a process is left out, for it traces and compiles."""
        steps, size = self.source.steps_per_epoch, min(self.source.batch_size, len(self.source.table))
        if steps == 1:
            return size / seconds
        return (steps - 1) / self.source.repeats * size / (seconds - self.first_step)
