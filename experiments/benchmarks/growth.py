"""Time our own jobs by number and size of images, batch, classes and cores."""

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
    """Return the jobs of a task, by axis and value; workers is this process's own number of cores."""
    task, cores = settings["task"], settings["cores"]
    make = functools.cache({"predict": _predict, "training": _training, "input": _input}[task])

    def job(axis: str, value: int) -> Callable[[], Any]:
        wanted = {**USUAL[task], "workers": cores, axis: value}
        return lambda: make(**{name.replace(" ", "_"): number for name, number in wanted.items()})()

    return {f"{axis} {value}": job(axis, value) for axis, values in settings["values"].items() for value in values}


def _predict(images: int, image_size: int, workers: int) -> Callable[[], Any]:
    import tensorflow as tf

    import fer_tf

    # LiteRT takes as many threads as TensorFlow was told to.
    tf.config.threading.set_intra_op_parallelism_threads(workers)
    faces = training.random_faces(images, image_size, 2).images
    return lambda: len(fer_tf.predict(faces).labels)


def _input(images: int, image_size: int, batch: int, classes: int, workers: int) -> Callable[[], Any]:
    from fer_tf.input_pipeline import BatchSource

    # The time starts when the first batch is there.
    table = training.random_faces(images + batch, image_size, classes)
    source = BatchSource(table, batch, ["study"], crop=image_size * 5 // 6)
    return lambda: {"seconds": reading.epoch_seconds(source, 0, workers)}


def _training(images: int, image_size: int, batch: int, classes: int, workers: int) -> Callable[[], Any]:
    table = training.random_faces(batch, image_size, classes)
    network = training.objective({"network": NETWORK, "precision": "float32"}, table, image_size)
    data = training.repeated(*training.batch_of(table, batch, image_size))
    return lambda: {"seconds": training.seconds(network, data, images // batch)}
