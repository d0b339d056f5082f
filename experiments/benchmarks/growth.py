"""How the cost of our own jobs grows with images, image size, batch, classes and workers."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import Work

# What is not varied; a job is called "AXIS VALUE".
USUAL = {
    "predict": {"images": 64, "image size": 48},
    "training": {"images": 512, "image size": 48, "batch": 32, "classes": 7},
    "input": {"images": 4096, "image size": 48, "batch": 64, "classes": 7},
}
WIDTH = 1 / 16


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the jobs of ``settings["task"]`` for ``settings["values"]``: axis → its values; workers is this process's
    own number of cores."""
    task = settings["task"]
    make = {"predict": _predict, "training": _training, "input": _input}[task]
    jobs = {}
    for axis, values in settings["values"].items():
        for value in values:
            wanted = {**USUAL[task], "workers": settings["cores"], axis: value}
            jobs[f"{axis} {value}"] = _when_asked(functools.partial(make, wanted))
    return jobs


def _when_asked(make: Callable[[], Callable[[], Any]]) -> Callable[[], Any]:
    """Return a job that is made when it is first asked for."""
    made = functools.cache(make)
    return lambda: made()()


def _faces(count: int, side: int, classes: int) -> Any:
    """Return a table of random pixels, which cost what faces cost."""
    import numpy as np

    from fer_tf.facetable import FaceTable
    from fer_tf.labels import LabelSet, one_hot

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    label_set = LabelSet("benchmark", tuple(f"class {i}" for i in range(classes)))
    targets = one_hot(rng.integers(0, classes, count), classes)
    return FaceTable(targets, label_set, np.full(count, "train"), np.arange(count).astype(str), images=images)


def _predict(wanted: dict[str, int]) -> Callable[[], Any]:
    import tensorflow as tf

    import fer_tf

    # LiteRT takes as many threads as TensorFlow was told to.
    tf.config.threading.set_intra_op_parallelism_threads(wanted["workers"])
    faces = _faces(wanted["images"], wanted["image size"], 2).images
    return lambda: len(fer_tf.predict(faces).labels)


def _input(wanted: dict[str, int]) -> Callable[[], Any]:
    from bench_input import epoch_seconds

    from fer_tf.readers import BatchSource

    side, batch = wanted["image size"], wanted["batch"]
    # The time starts when the first batch is there.
    table = _faces(wanted["images"] + batch, side, wanted["classes"])
    source = BatchSource(table, batch, ["study"], crop=side * 5 // 6)
    return lambda: {"seconds": epoch_seconds(source, 0, wanted["workers"])}


def _training(wanted: dict[str, int]) -> Callable[[], Any]:
    import keras
    from bench_input import StepTimer

    from fer_tf import models
    from fer_tf.training import optimizers

    side, batch = wanted["image size"], wanted["batch"]
    table = _faces(wanted["images"] + batch, side, wanted["classes"])
    network = models.get(f"vgg(width={WIDTH})", num_classes=wanted["classes"], input_shape=(side, side, 1))
    network.compile(
        optimizers.get("nesterov", 0.01), keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    images = table.images.astype("float32")

    def steps() -> dict[str, float]:
        timer = StepTimer(wanted["images"] // batch)
        network.fit(images, table.targets, batch_size=batch, callbacks=[timer], epochs=1, verbose=0)
        return {"seconds": timer.marks[1] - timer.marks[0]}

    return steps
