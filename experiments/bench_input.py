"""Is the input pipeline ever the bottleneck?

  python experiments/bench_input.py             full-width VGG, 1.5 to 3 minutes on 2 quiet cores
  python experiments/bench_input.py --quick     a narrow one, about 2 minutes; its share needs a quiet machine

Measures (a) faces a second of the bare pipeline with the study's augmentation, threshold 5,000, and (b) how fast
training is when it is fed by that pipeline, as a share of the same training fed from memory without augmentation,
threshold 0.95. The two kinds of training alternate within one run, because other work on the machine comes and goes;
the share is the median over the pairs. Exit code 1 when a threshold is missed.

Measured on 2 quiet cores of an AMD EPYC (Zen 4, TensorFlow 2.21): (a) 32,062 faces a second, (b) median 0.996 over 3
pairs of 0.992 to 1.053 at 78 images a second. A narrow network is no judge of the share on a busy machine: its pairs
ranged from 0.68 to 1.85.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from fer_tf import models
from fer_tf.errors import exit_on_user_error
from fer_tf.facetable import FaceTable
from fer_tf.io.atomic import write_json
from fer_tf.labels import FER2013, one_hot
from fer_tf.readers import BatchSource, open_reader

SIDE, CROP, BATCH = 48, 40, 64
FACES_A_SECOND, SHARE = 5_000, 0.95


def faces(count: int) -> FaceTable:
    """Random pixels: they cost what faces cost."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, SIDE, SIDE, 1), dtype=np.uint8)
    ids, split = np.arange(count).astype(str), np.full(count, "train")
    return FaceTable(one_hot(rng.integers(0, 7, count), 7), FER2013, split, ids, images=images)


def epoch_seconds(source: BatchSource, epoch: int, workers: int | None = None) -> float:
    """Return the seconds from an epoch's first batch to its last."""
    stream = iter(open_reader(source, epoch, 1, workers))
    next(stream)
    start = time.perf_counter()
    for _ in range(source.steps - 1):
        next(stream)
    return time.perf_counter() - start


def pipeline_speed(batches: int = 200, repeats: int = 3) -> float:
    """Return the best faces a second of ``repeats`` readings."""
    source = BatchSource(faces(batches * BATCH), BATCH, ["study"], crop=CROP)
    return (batches - 1) * BATCH / min(epoch_seconds(source, epoch) for epoch in range(repeats))


class StepTimer(keras.callbacks.Callback):
    """Times the steps after the first one, which compiles and fills the queues."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps, self.marks = steps, []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch in (0, self.steps):
            float(logs["loss"])  # waits for backends that run ahead
            self.marks.append(time.perf_counter())

    @property
    def images_per_second(self) -> float:
        return self.steps * BATCH / (self.marks[1] - self.marks[0])


def training_speeds(width: float, steps: int, rounds: int) -> list[tuple[float, float]]:
    """Return (memory, pipeline) images a second of each round; the first round is not counted."""
    model = models.get(f"vgg(width={width})", num_classes=7, input_shape=(CROP, CROP, 1))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.CategoricalCrossentropy(from_logits=True))
    table = faces((steps + 1) * BATCH)
    source = BatchSource(table, BATCH, ["study"], crop=CROP)
    images, targets = BatchSource(table, len(table), crop=CROP, shuffle=False).batch(0, 0)

    def timed(fit: Callable[..., Any]) -> float:
        timer = StepTimer(steps)
        fit(callbacks=[timer], epochs=1, verbose=0)
        return timer.images_per_second

    def from_memory(**keywords: Any) -> None:
        model.fit(images, targets, batch_size=BATCH, **keywords)

    def from_pipeline(**keywords: Any) -> None:
        model.fit(open_reader(source), steps_per_epoch=source.steps_per_epoch, shuffle=False, **keywords)

    speeds = []
    for number in range(rounds + 1):
        # The order changes from round to round, so that a machine that slows down hurts both alike.
        kinds = [from_memory, from_pipeline][:: 1 if number % 2 else -1]
        measured = {kind: timed(kind) for kind in kinds}
        speeds.append((measured[from_memory], measured[from_pipeline]))
    return speeds[1:]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a narrow network, for a first look")
    parser.add_argument("--width", type=float, help="width of the VGG (default 1, quick 0.125)")
    parser.add_argument("--steps", type=int, help="timed steps a round (default 3, quick 15)")
    parser.add_argument("--rounds", type=int, default=8, help="pairs of trainings (default 8)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args(arguments)
    width = options.width or (0.125 if options.quick else 1.0)
    speed = pipeline_speed()
    rounds = training_speeds(width, options.steps or (15 if options.quick else 3), options.rounds)
    share = median(pipeline / memory for memory, pipeline in rounds)
    print(f"bare pipeline        {speed:9,.0f} faces/s   wanted {FACES_A_SECOND:,}")
    print(f"\nVGG of width {width:g}\nround   memory img/s   pipeline img/s   share")
    for number, (memory, pipeline) in enumerate(rounds, start=1):
        print(f"{number:5}{memory:15.1f}{pipeline:17.1f}{pipeline / memory:8.3f}")
    print(f"median share         {share:9.3f}           wanted {SHARE}")
    if options.out:
        figures = {"backend": keras.backend.backend(), "cores": os.cpu_count(), "width": width, "rounds": rounds}
        write_json(options.out, {"faces_per_second": speed, "share": share, **figures})
    return int(speed < FACES_A_SECOND or share < SHARE)


if __name__ == "__main__":
    exit_on_user_error(main)
