"""Measure memory and speed of training from shards.

  python experiments/stream_shards.py                  10 GB of shards, 1.1 million faces of 96 pixels
  python experiments/stream_shards.py --quick          50 MB, less than a minute
  python experiments/stream_shards.py --out DIR --keep the shards stay, and a second look takes them

Writes shards of random faces, reads every face once in the shuffled order of an epoch, trains a small network, and
prints the process's peak resident memory after each part. Exit code 1 when the peak is over --limit (2 GB), or not all
faces were read. Expected: 0.52 GB after reading 10 GB, 1.45 GB after training. The pixels are the same in every shard;
its file and its ids are its own. Figures: experiments/results/stream_shards.md.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.worker import peak_mb

from fer_tf import cli, datasets
from fer_tf.datasets.shards import INDEX, STATUSES, shard_name
from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.faces.face_files import NewFace
from fer_tf.facetable import FaceTable
from fer_tf.input_pipeline.batches import BatchSource
from fer_tf.io import atomic
from fer_tf.labels import FER2013
from fer_tf.progress import bar, counted
from fer_tf.shards.plan import Record, ShardOptions, write_shard

SIDE, IMAGES, BATCH = 96, 4096, 128


def parser() -> argparse.ArgumentParser:
    """Create the argument parser."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gigabytes", type=float, default=10.0, help="of shards (default %(default)s)")
    p.add_argument("--steps", type=int, default=300, help="of training; 0 for reading alone (default %(default)s)")
    p.add_argument("--limit", type=float, default=2.0, metavar="GB", help="of memory (default %(default)s)")
    p.add_argument("--out", type=Path, help="folder of the shards (default: a temporary one)")
    p.add_argument("--keep", action="store_true", help="leave the shards there; a later look takes them")
    p.add_argument("--quick", action="store_true", help="50 MB and 20 steps")
    return p


def run(options: argparse.Namespace) -> int:
    """Generate, read, train; return the exit code."""
    if options.keep and not options.out:
        raise UserError("--keep needs --out.")
    if not options.gigabytes > 0 or options.steps < 0:
        raise UserError("--gigabytes must be above 0, and --steps 0 or more.")
    gigabytes, steps = (0.05, min(20, options.steps)) if options.quick else (options.gigabytes, options.steps)
    out = options.out or Path(tempfile.mkdtemp(prefix="shards-"))
    if (out / INDEX).exists():
        return measure(out, steps, options.limit)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no shards. Give a new folder.")
    if shutil.disk_usage(out).free < 1.05e9 * gigabytes + 1e9:
        raise UserError(f"{out} has no room for {gigabytes:g} GB. Give another folder, or fewer --gigabytes.")
    try:
        generate(out, max(1, round(gigabytes * 1e9 / (IMAGES * SIDE * SIDE))))
        return measure(out, steps, options.limit)
    finally:
        if not options.keep:
            shutil.rmtree(out)


def generate(out: Path, shards: int) -> None:
    """Write shards of random faces into an empty folder."""
    rng = np.random.default_rng(0)
    faces = (NewFace(rng.integers(0, 256, (SIDE, SIDE, 1), np.uint8)) for _ in range(IMAGES))
    records = (Record(name, "whole", face=face) for name, face in zip(_names(0), faces, strict=True))
    first = write_shard(out, 0, records, "generated")
    columns = dict(np.load(out / f"{shard_name(0)}.npz"))
    with bar(shards - 1, "Generating", "shard") as progress:
        for number in range(1, shards):
            shutil.copyfile(out / f"{shard_name(0)}.tfrecord", out / f"{shard_name(number)}.tfrecord")
            places = np.random.default_rng(number).integers(0, 2**64, IMAGES, np.uint64)
            columns |= {"ids": np.array(_names(number)), "places": places}
            np.savez(out / f"{shard_name(number)}.npz", **columns)
            progress.update()
    index = {
        "settings": ShardOptions(size=SIDE, faces="whole").settings(), "images": IMAGES * shards,
        "statuses": {**dict.fromkeys(STATUSES, 0), "whole": IMAGES * shards},
        "shards": [{**first, "name": shard_name(number)} for number in range(shards)],
    }  # fmt: skip
    atomic.write_json(out / INDEX, index)


def _names(shard: int) -> list[str]:
    return [f"{FER2013.classes[i % 7]}/{shard:05d}-{i:06d}.jpg" for i in range(IMAGES)]


def measure(out: Path, steps: int, limit: float) -> int:
    """Print seconds and peak memory of each part; return the exit code."""
    files = list(out.glob("*.tfrecord"))
    print(f"shards    {sum(path.stat().st_size for path in files) / 1e9:6.2f} GB in {len(files)} files")

    def timed(part: str, work: Callable[[], Any], count: Callable[[Any], int]) -> tuple[Any, float]:
        start, busy = time.perf_counter(), time.process_time()
        found = work()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        faces, peak = count(found), peak_mb() * 2**20 / 1e9
        speed = f"{faces / seconds:9,.0f} faces/s, {busy / faces * 1e6:7.1f} µs of a core a face" if faces else ""
        print(f"{part:9s} {faces:9,d} faces {seconds:7.1f} s  peak {peak:5.2f} GB  {speed}", flush=True)
        return found, peak

    timed("imports", lambda: 0, int)
    table, _ = timed("opened", lambda: datasets.get("shards", out), len)
    seen, peak = timed("read", lambda: read_all(table), int)
    if steps:
        _, peak = timed("trained", lambda: train(table, steps), int)
    if seen < len(table) or peak > limit:
        print(f"error: {'faces were missed' if seen < len(table) else 'the peak is over the limit'}", file=sys.stderr)
        return 1
    return 0


def read_all(table: FaceTable) -> int:
    """Read every batch of an epoch; return how many different faces there were."""
    source, seen = BatchSource(table, BATCH, seed=0, drop_remainder=False), np.zeros(len(table), bool)
    for step in counted(range(source.steps), "Reading", "batch"):
        images, _ = source.batch(0, step)
        seen[source.indices(0, step)] = images.shape[1:] == (SIDE, SIDE, 1)
    return int(seen.sum())


def train(table: FaceTable, steps: int) -> int:
    """Train a small network through the reader that runs use; return the number of faces."""
    import keras
    from keras import layers

    from fer_tf.input_pipeline import open_reader

    source = BatchSource(table.select("train"), BATCH, ["flip()"], seed=0)
    steps, pixels = min(steps, source.steps), keras.Input((SIDE, SIDE, 1))
    x = layers.Conv2D(8, 5, 4, activation="relu")(layers.Rescaling(1 / 255)(pixels))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, 2, activation="relu")(x))
    network = keras.Model(pixels, layers.Dense(source.num_classes, "softmax")(x))
    network.compile("sgd", "categorical_crossentropy")
    network.fit(open_reader(source), steps_per_epoch=steps, shuffle=False, verbose=0)
    return steps * BATCH


if __name__ == "__main__":
    cli.prepare_environment(training=True)
    exit_on_user_error(run, parser().parse_args())
