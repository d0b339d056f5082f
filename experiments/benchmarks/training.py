"""Take training steps as a run takes them, fed from memory, beside PyTorch."""

import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import Work

CROP, CLASSES, FILTERS = 44, 7, (64, 128, 256, 512)
# What the input pipeline does, where it feeds the steps; the other side is then fed from memory.
AUGMENTATIONS = {"study": ["study"], "randaugment": ["light", "randaugment()"], "mixup": ["light", "mixup()"]}


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``steps``, ``settings["steps"]`` of them after one that compiles, and where their time goes."""
    from benchmarks import profiles

    if settings.get("fed"):
        return _fed(settings, piped=True)
    table = random_faces(settings["batch"], 48, CLASSES)
    network = objective(settings, table)
    batch = batch_of(table, settings["batch"])
    parameters = sum(math.prod(v.shape) for v in network.trainable_variables)
    return {
        "steps": lambda: {"seconds": seconds(network, repeated(*batch), settings["steps"]), "same": parameters},
        "profile steps": lambda: profiles.of_keras(network, *batch),
    }


def _fed(settings: dict[str, Any], piped: bool) -> Work:
    """Return the steps with each of ``AUGMENTATIONS``, fed by the input pipeline or with one batch again and again."""
    from fer_tf.input_pipeline import BatchSource, open_reader

    table = random_faces((settings["steps"] + 1) * settings["batch"], 48, CLASSES)
    network = objective(settings, table)

    def job(calls: list[str]) -> dict[str, float]:
        source = BatchSource(table, settings["batch"], calls, crop=CROP)
        data = open_reader(source) if piped else repeated(*source.batch(0, 0))
        return {"seconds": seconds(network, data, settings["steps"])}

    return {name: lambda calls=calls: job(calls) for name, calls in AUGMENTATIONS.items()}


def random_faces(count: int, side: int, classes: int) -> Any:
    """Return a table of random pixels, which cost what faces cost."""
    from fer_tf.facetable import FaceTable
    from fer_tf.labels import LabelSet, one_hot

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    label_set = LabelSet("benchmark", tuple(f"class {i}" for i in range(classes)))
    targets = one_hot(rng.integers(0, classes, count), classes)
    return FaceTable(targets, label_set, np.full(count, "train"), np.arange(count).astype(str), images=images)


def batch_of(table: Any, size: int, crop: int = CROP) -> tuple[Any, Any]:
    """Return images and targets of the first faces, not augmented."""
    from fer_tf.input_pipeline import BatchSource

    return BatchSource(table, size, crop=crop, shuffle=False).batch(0, 0)


def objective(settings: dict[str, Any], table: Any, crop: int = CROP) -> Any:
    """Return a network inside its objective, compiled as a run compiles it."""
    import keras

    from fer_tf import models
    from fer_tf.training import compute, objectives, optimizers

    network = models.get(settings["network"], num_classes=len(table.label_set), input_shape=(crop, crop, 1))
    made = objectives.get("classification", network, table)
    made.speed_up(compute.resolve_precision(settings["precision"], settings["network"]))
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    made.compile(optimizers.get("nesterov", 0.01), loss, metrics=metrics, jit_compile=settings.get("jit", False))
    return made


def repeated(images: Any, targets: Any) -> Any:
    """Return one batch again and again, as ``fit`` takes it from memory most quickly."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensors((images, targets)).repeat()
    return (batch for batch in itertools.repeat((images, targets)))


def seconds(model: Any, data: Any, steps: int) -> float:
    """Return the seconds of ``steps`` training steps after a first one, which compiles and fills the queues."""
    import keras

    marks = []

    def mark(batch: int, logs: dict[str, Any]) -> None:
        if batch in (0, steps):
            float(logs["loss"])  # waits for backends that run ahead
            marks.append(time.perf_counter())

    timer = keras.callbacks.LambdaCallback(on_train_batch_end=mark)
    model.fit(data, steps_per_epoch=steps + 1, callbacks=[timer], shuffle=False, verbose=0)
    return marks[1] - marks[0]


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the jobs of ``ours`` in PyTorch: channels last, with the number of threads that it is fastest with."""
    if settings.get("fed"):
        return _fed(settings, piped=False)
    import torch

    from benchmarks import profiles

    torch.manual_seed(0)
    name, _, width = settings["network"].rstrip(")").partition("(width=")
    network = {"vgg": _torch_vgg, "resnet10": _torch_resnet10}[name]([round(float(width) * f) for f in FILTERS])
    network = network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    loss_of = torch.nn.CrossEntropyLoss()
    images = torch.randint(0, 256, (settings["batch"], 1, CROP, CROP)).float()
    targets = torch.nn.functional.one_hot(torch.randint(0, CLASSES, (settings["batch"],)), CLASSES).float()

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            loss = loss_of(network(images / 255), targets)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def steps(count: int) -> float:
        step()
        start = time.perf_counter()
        for _ in range(count):
            step()
        return time.perf_counter() - start

    def took(threads: int) -> float:
        torch.set_num_threads(threads)
        return min(steps(3), steps(3))

    cores, parameters = settings["cores"], sum(p.numel() for p in network.parameters())
    torch.set_num_threads(min({1, max(1, cores // 2), cores}, key=took))
    return {
        "steps": lambda: {"seconds": steps(settings["steps"]), "same": parameters},
        "profile steps": lambda: profiles.of_torch(step),
    }


def _torch_vgg(filters: list[int]) -> Any:
    """Return ``fer_tf.models.vgg`` in PyTorch, from pixels in 0 to 1 to logits."""
    from torch import nn

    layers, channels = [], 1
    for wide in filters:
        for _ in range(2):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
            channels = wide
        layers.append(nn.MaxPool2d(2))
    units, hidden = channels * (CROP // 2 ** len(filters)) ** 2, 8 * channels
    layers += [nn.Flatten(), nn.Linear(units, hidden), nn.ReLU(inplace=True), nn.Dropout(0.2)]
    layers += [nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(hidden, CLASSES))


def _torch_resnet10(filters: list[int]) -> Any:
    """Return ``fer_tf.models.ResNet10`` in PyTorch, from pixels in 0 to 1 to logits."""
    from torch import nn

    def convolved(channels: int, wide: int, kernel: int, stride: int) -> list[Any]:
        return [nn.Conv2d(channels, wide, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(wide)]

    class Block(nn.Module):
        def __init__(self, channels: int, wide: int):
            super().__init__()
            stride = 1 if channels == wide else 2
            way = [*convolved(channels, wide, 3, stride), nn.ReLU(inplace=True), *convolved(wide, wide, 3, 1)]
            self.way, self.relu = nn.Sequential(*way), nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential(*(convolved(channels, wide, 1, stride) if stride > 1 else ()))

        def forward(self, x: Any) -> Any:
            return self.relu(self.way(x) + self.shortcut(x))

    stem = [*convolved(1, filters[0], 5, 2), nn.ReLU(inplace=True)]
    blocks = [Block(*pair) for pair in zip(filters[:1] + filters, filters, strict=False)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(filters[-1], CLASSES)]
    return nn.Sequential(*stem, *blocks, *head)
