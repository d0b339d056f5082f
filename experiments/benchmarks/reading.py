"""Read an epoch of augmented faces, from 48×48 pixels in memory to batches of 64."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import training
from benchmarks.worker import Work

BATCH, SIDE, CROP, CLASSES = 64, 48, 40, 7


def epoch_seconds(source: Any, epoch: int, workers: int | None = None) -> float:
    """Return the seconds from an epoch's first batch to its last."""
    from fer_tf.input_pipeline import open_reader

    return seconds_of(iter(open_reader(source, epoch, 1, workers)), source.steps - 1)


def seconds_of(stream: Iterator[Any], batches: int) -> float:
    """Return the seconds of ``batches`` batches after a first one."""
    next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return time.perf_counter() - start


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``epoch``: our reader, as training uses it, by a thread or a process a core."""
    from fer_tf.input_pipeline import BatchSource
    from fer_tf.input_pipeline.batches import ProcessSource

    table = training.random_faces((settings["batches"] + 1) * BATCH, SIDE, CLASSES)
    source = BatchSource(table, BATCH, ["study"], crop=CROP)
    read = ProcessSource(source, settings["cores"]) if settings["by"] == "processes" else source
    numbers = iter(range(10**9))
    return {"epoch": lambda: {"seconds": epoch_seconds(read, next(numbers))}}


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``epoch`` by ``settings["reader"]``."""
    count, rng = (settings["batches"] + 1) * BATCH, np.random.default_rng(0)
    images = rng.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, count)]
    new_epoch = {"keras": _image_data_generator, "torch": _data_loader}[settings["reader"]](images, labels, settings)

    return {"epoch": lambda: {"seconds": seconds_of(new_epoch(), settings["batches"])}}


def _image_data_generator(images: Any, labels: Any, settings: dict[str, Any]) -> Any:
    """Return what starts an epoch of Keras' generator, without the crop and the erasing, which it does not have."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    shifts = {"rotation_range": 10, "width_shift_range": 0.2, "height_shift_range": 0.2, "zoom_range": 0.1}
    flow = ImageDataGenerator(**shifts, horizontal_flip=True).flow(images[..., None], labels, batch_size=BATCH)
    return lambda: (next(flow) for _ in range(settings["batches"] + 1))


class Faces:
    """Augment uint8 faces (N, 48, 48) with one-hot labels (N, C) as the study does, by Pillow as torchvision does."""

    def __init__(self, images: Any, labels: Any):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import torch
        from PIL import Image, ImageOps

        def box(size: int, area: float, ratio: float) -> tuple[int, int, int, int]:
            """Place a rectangle at random: left, top, right, bottom."""
            width, height = (min(size, round((area * r) ** 0.5 * size)) for r in (ratio, 1 / ratio))
            left, top = random.randint(0, size - width), random.randint(0, size - height)
            return left, top, left + width, top + height

        bilinear = Image.Resampling.BILINEAR
        cut = box(SIDE, random.uniform(0.8, 1.2), random.uniform(3 / 4, 4 / 3))
        face = Image.fromarray(self.images[index]).resize((SIDE, SIDE), bilinear, box=cut)
        if random.random() < 0.5:
            x, y = (round(random.uniform(-0.2, 0.2) * SIDE) for _ in range(2))
            face = face.transform(face.size, Image.Transform.AFFINE, (1, 0, -x, 0, 1, -y))
        if random.random() < 0.5:
            face = ImageOps.mirror(face)
        if random.random() < 0.5:
            face = face.rotate(random.uniform(-10, 10), bilinear)
        left, top = random.randint(0, SIDE - CROP), random.randint(0, SIDE - CROP)
        face = face.crop((left, top, left + CROP, top + CROP))
        pixels = torch.frombuffer(bytearray(face.tobytes()), dtype=torch.uint8).view(1, CROP, CROP).float() / 255
        if random.random() < 0.5:
            left, top, right, bottom = box(CROP, random.uniform(0.02, 0.33), 1 / random.uniform(0.3, 3.3))
            pixels[:, top:bottom, left:right] = 0
        return pixels, torch.from_numpy(self.labels[index])


def _data_loader(images: Any, labels: Any, settings: dict[str, Any]) -> Any:
    """Return what starts an epoch of PyTorch's loader, with a process for each core."""
    import torch

    torch.set_num_threads(settings["cores"])
    workers = {"num_workers": settings["cores"], "persistent_workers": True}
    loader = torch.utils.data.DataLoader(Faces(images, labels), BATCH, shuffle=True, drop_last=True, **workers)
    return lambda: iter(loader)
