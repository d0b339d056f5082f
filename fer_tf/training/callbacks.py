"""What happens during a run besides gradient steps: validation, choice of the epoch, checkpoints, alarms."""

import math
import time
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from fer_tf import atomic, evaluation
from fer_tf.facetable import FaceTable
from fer_tf.readers.batches import BatchSource
from fer_tf.training import averaging, checkpoint
from fer_tf.training.config import RunConfig
from fer_tf.training.schedules import Plateau

# Batches of the training set that re-estimate batch-norm statistics under averaged weights.
RECALIBRATION_BATCHES = 16


class RunFailed(RuntimeError):
    """A run cannot go on, and would fail again: its loss is no number any more."""


class EndOfEpoch(keras.callbacks.Callback):
    """Watch the loss; after each epoch validate, keep the best network, and write the checkpoint.

    Args:
        config: the run.
        model_path: where the best network so far is kept.
        checkpoint_path: where the state after the last whole epoch is kept.
        source: the training batches.
        validation: faces that choose the epoch.
        plateau: schedule that follows the validation accuracy, or ``None``.
        progress: updated in place.
        bar: progress bar, one tick a step.
    """

    def __init__(
        self,
        config: RunConfig,
        model_path: Path,
        checkpoint_path: Path,
        source: BatchSource,
        validation: FaceTable,
        plateau: Plateau | None,
        progress: checkpoint.Progress,
        bar: tqdm,
    ):
        super().__init__()
        self.config, self.model_path, self.checkpoint_path = config, model_path, checkpoint_path
        self.source, self.validation, self.plateau = source, validation, plateau
        self.progress, self.bar = progress, bar
        self.started = 0.0
        self.first_step = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.first_step = 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop the run when the loss is not finite."""
        if not self.first_step:
            self.first_step = time.perf_counter() - self.started
        self.bar.update()
        if not math.isfinite(logs["loss"]):
            raise RunFailed(f"loss is {logs['loss']} in epoch {self.progress.epoch + 1}, step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Validate, keep the best network, let the plateau schedule react, and write the checkpoint."""
        seconds = time.perf_counter() - self.started
        network, optimizer = self.model.network, self.model.optimizer
        with averaging.averaged_weights(network, optimizer), self._batch_norm(network, optimizer, epoch):
            logits = evaluation.logits(network, self.validation.images, crop=self.config.crop)
            if not np.isfinite(logits).all():
                raise RunFailed(f"validation logits are not finite after epoch {epoch + 1}")
            scores = evaluation.scores(logits, self.validation.targets, self.validation.label_set)
            best = max((row["val_accuracy"] for row in self.progress.history), default=-1.0)
            if scores["accuracy"] > best:
                self.progress.best_epoch = epoch + 1
                with atomic.replacing(self.model_path) as part:
                    network.save(part)
        # The first step of a process traces and compiles, which is no property of the network's speed.
        steps = self.source.steps_per_epoch
        images = (steps - 1) * self.source.batch_size / self.source.repeats
        speed = images / (seconds - self.first_step) if steps > 1 else self.source.batch_size / seconds
        self.progress.history.append(
            {
                "epoch": epoch + 1,
                "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
                "loss": float(logs["loss"]),
                "accuracy": float(logs["accuracy"]),
                "val_loss": scores["nll"],
                "val_accuracy": scores["accuracy"],
                "seconds": time.perf_counter() - self.started,
                "images_per_second": speed,
            }
        )
        self.progress.epoch = epoch + 1
        if self.plateau is not None:
            optimizer.learning_rate = self.config.learning_rate * self.plateau.observe(scores["accuracy"])
            self.progress.schedule_state = self.plateau.get_state()
        checkpoint.save(self.checkpoint_path, network, optimizer, self.progress)
        self.bar.set_postfix_str(f"val {scores['accuracy']:.3f}")

    def _batch_norm(self, network: keras.Model, optimizer: keras.optimizers.Optimizer, epoch: int) -> Any:
        batches = (self.source.batch(epoch, step)[0] for step in range(self.source.steps))
        return averaging.recalibrated_batch_norm(network, optimizer, islice(batches, RECALIBRATION_BATCHES))
