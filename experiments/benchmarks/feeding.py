"""Take training steps fed by the input pipeline and, as the other side, from memory."""

from pathlib import Path
from typing import Any

from benchmarks import training
from benchmarks.worker import Work

AUGMENTATIONS = {"study": ["study"], "randaugment": ["light", "randaugment()"], "mixup": ["light", "mixup()"]}


def ours(folder: Path, settings: dict[str, Any], piped: bool = True) -> Work:
    """Return the steps with each of ``AUGMENTATIONS``."""
    from fer_tf.input_pipeline import BatchSource, open_reader

    table = training.random_faces((settings["steps"] + 1) * settings["batch"], 48, training.CLASSES)
    network = training.objective(settings, table)

    def job(calls: list[str]) -> dict[str, float]:
        source = BatchSource(table, settings["batch"], calls, crop=training.CROP)
        data = open_reader(source) if piped else training.repeated(*source.batch(0, 0))
        return {"seconds": training.seconds(network, data, settings["steps"])}

    return {name: lambda calls=calls: job(calls) for name, calls in AUGMENTATIONS.items()}


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the same steps, fed with one batch again and again."""
    return ours(folder, settings, piped=False)
