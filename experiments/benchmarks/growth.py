"""How the cost of our own jobs grows with images, image size, batch, classes and workers."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import reading, training
from benchmarks.worker import Work

# What is not varied; a job is called "AXIS VALUE".
USUAL = {
    "predict": {"images": 64, "image size": 48},
    "training": {"images": 512, "image size": 48, "batch": 32, "classes": 7},
    "input": {"images": 4096, "image size": 48, "batch": 64, "classes": 7},
}
NETWORK = "vgg(width=0.0625)"


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


def _predict(wanted: dict[str, int]) -> Callable[[], Any]:
    import tensorflow as tf

    import fer_tf

    # LiteRT takes as many threads as TensorFlow was told to.
    tf.config.threading.set_intra_op_parallelism_threads(wanted["workers"])
    faces = training.random_faces(wanted["images"], wanted["image size"], 2).images
    return lambda: len(fer_tf.predict(faces).labels)


def _input(wanted: dict[str, int]) -> Callable[[], Any]:
    from fer_tf.input_pipeline import BatchSource

    side, batch = wanted["image size"], wanted["batch"]
    # The time starts when the first batch is there.
    table = training.random_faces(wanted["images"] + batch, side, wanted["classes"])
    source = BatchSource(table, batch, ["study"], crop=side * 5 // 6)
    return lambda: {"seconds": reading.epoch_seconds(source, 0, wanted["workers"])}


def _training(wanted: dict[str, int]) -> Callable[[], Any]:
    side, batch = wanted["image size"], wanted["batch"]
    table = training.random_faces(batch, side, wanted["classes"])
    network = training.objective({"network": NETWORK, "precision": "float32"}, table, side)
    data, steps = training.repeated(*training.batch_of(table, batch, side)), wanted["images"] // batch
    return lambda: {"seconds": training.seconds(network, data, steps)}
