"""Training steps of the study's VGG: fed from memory, Nesterov momentum, cross-entropy, ours and PyTorch's."""

import math
import time
from pathlib import Path
from typing import Any

from benchmarks.worker import Work

BATCH, CROP, CLASSES = 64, 40, 7
FILTERS, HIDDEN = (64, 128, 256, 512), (4096, 4096)


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``steps`` (``settings["steps"]`` of them after one that compiles) and ``profile``."""
    import keras
    from bench_input import StepTimer, faces

    from fer_tf import models
    from fer_tf.readers import BatchSource
    from fer_tf.training import optimizers

    network = models.get(f"vgg(width={settings['width']})", num_classes=CLASSES, input_shape=(CROP, CROP, 1))
    network.compile(
        optimizers.get("nesterov", 0.01),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=settings["jit"],
    )
    table = faces((settings["steps"] + 1) * BATCH)
    images, targets = BatchSource(table, len(table), crop=CROP, shuffle=False).batch(0, 0)
    parameters = sum(math.prod(v.shape) for v in network.trainable_variables)

    def steps() -> dict[str, Any]:
        timer = StepTimer(settings["steps"])
        network.fit(images, targets, batch_size=BATCH, callbacks=[timer], epochs=1, verbose=0)
        return {"seconds": timer.marks[1] - timer.marks[0], "same": parameters}

    def profile() -> dict[str, float]:
        from benchmarks import profiles

        return profiles.of_keras(network, images[:BATCH], targets[:BATCH])

    return {"steps": steps, "profile": profile}


def torch_vgg(width: float) -> Any:
    """Return ``fer_tf.models.vgg`` in PyTorch, from pixels in 0 to 1 to logits."""
    from torch import nn

    layers, channels = [], 1
    for filters in (round(width * f) for f in FILTERS):
        for _ in range(2):
            convolution = nn.Conv2d(channels, filters, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    units = channels * (CROP // 2 ** len(FILTERS)) ** 2
    for hidden in (round(width * h) for h in HIDDEN):
        layers += [nn.Linear(units, hidden), nn.ReLU(inplace=True), nn.Dropout(0.2)]
        units = hidden
    return nn.Sequential(*layers, nn.Linear(units, CLASSES))


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the jobs of ``ours`` in PyTorch."""
    import torch

    torch.set_num_threads(settings["cores"])
    torch.manual_seed(0)
    network = torch_vgg(settings["width"]).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    loss_of = torch.nn.CrossEntropyLoss()
    count = (settings["steps"] + 1) * BATCH
    images = torch.randint(0, 256, (count, 1, CROP, CROP)).float()
    targets = torch.nn.functional.one_hot(torch.randint(0, CLASSES, (count,)), CLASSES).float()
    parameters = sum(p.numel() for p in network.parameters())

    def step(start: int) -> Any:
        part = slice(start, start + BATCH)
        optimizer.zero_grad()
        loss = loss_of(network(images[part] / 255), targets[part])
        loss.backward()
        optimizer.step()
        return loss.detach()

    def steps() -> dict[str, Any]:
        total, order = step(0), range(BATCH, count, BATCH)
        start = time.perf_counter()
        for first in order:
            total = total + step(first)
        float(total)
        return {"seconds": time.perf_counter() - start, "same": parameters}

    def profile() -> dict[str, float]:
        from benchmarks import profiles

        return profiles.of_torch(lambda: step(0))

    return {"steps": steps, "profile": profile}
