"""An epoch of augmented faces: the study's augmentation from 48×48 pixels in memory to batches of 64."""

import random
import time
from pathlib import Path
from typing import Any

from benchmarks import training
from benchmarks.worker import Work

BATCH, SIDE, CROP, CLASSES = 64, 48, 40, 7


def epoch_seconds(source: Any, epoch: int, workers: int | None = None) -> float:
    """Return the seconds from an epoch's first batch to its last."""
    from fer_tf.input_pipeline import open_reader

    stream = iter(open_reader(source, epoch, 1, workers))
    next(stream)
    start = time.perf_counter()
    for _ in range(source.steps - 1):
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
    import numpy as np

    count = (settings["batches"] + 1) * BATCH
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, count)]
    new_epoch = {"keras": _image_data_generator, "torch": _data_loader}[settings["reader"]](images, labels, settings)

    def epoch() -> dict[str, float]:
        batches = new_epoch()
        next(batches)
        start = time.perf_counter()
        for _ in range(settings["batches"]):
            next(batches)
        return {"seconds": time.perf_counter() - start}

    return {"epoch": epoch}


def _image_data_generator(images: Any, labels: Any, settings: dict[str, Any]) -> Any:
    """Return what starts an epoch of Keras' generator, without the crop and the erasing, which it does not have."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        rotation_range=10, width_shift_range=0.2, height_shift_range=0.2, zoom_range=0.1, horizontal_flip=True
    )
    flow = generator.flow(images[..., None], labels, batch_size=BATCH)
    return lambda: (next(flow) for _ in range(settings["batches"] + 1))


class Faces:
    """A map-style dataset that does the study's augmentation with Pillow, as torchvision's transforms do it."""

    def __init__(self, images: Any, labels: Any):
        """Hold uint8 (N, 48, 48) and one-hot labels (N, C)."""
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        import torch
        from PIL import Image, ImageOps

        face = Image.fromarray(self.images[index])
        area, shape = random.uniform(0.8, 1.2) * SIDE * SIDE, random.uniform(3 / 4, 4 / 3) ** 0.5
        width, height = min(SIDE, round(area**0.5 * shape)), min(SIDE, round(area**0.5 / shape))
        left, top = random.randint(0, SIDE - width), random.randint(0, SIDE - height)
        box = (left, top, left + width, top + height)
        face = face.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
        if random.random() < 0.5:
            x, y = (round(random.uniform(-0.2, 0.2) * SIDE) for _ in range(2))
            face = face.transform(face.size, Image.Transform.AFFINE, (1, 0, -x, 0, 1, -y))
        if random.random() < 0.5:
            face = ImageOps.mirror(face)
        if random.random() < 0.5:
            face = face.rotate(random.uniform(-10, 10), Image.Resampling.BILINEAR)
        left, top = random.randint(0, SIDE - CROP), random.randint(0, SIDE - CROP)
        face = face.crop((left, top, left + CROP, top + CROP))
        pixels = torch.frombuffer(bytearray(face.tobytes()), dtype=torch.uint8).view(1, CROP, CROP).float() / 255
        if random.random() < 0.5:
            side = (random.uniform(0.02, 0.33) * CROP * CROP) ** 0.5
            ratio = random.uniform(0.3, 3.3) ** 0.5
            height, width = min(CROP, round(side * ratio)), min(CROP, round(side / ratio))
            top, left = random.randint(0, CROP - height), random.randint(0, CROP - width)
            pixels[:, top : top + height, left : left + width] = 0
        return pixels, torch.from_numpy(self.labels[index])


def _data_loader(images: Any, labels: Any, settings: dict[str, Any]) -> Any:
    """Return what starts an epoch of PyTorch's loader, with a process for each core."""
    import torch

    torch.set_num_threads(settings["cores"])
    loader = torch.utils.data.DataLoader(
        Faces(images, labels), BATCH, shuffle=True, drop_last=True, num_workers=settings["cores"],
        persistent_workers=True,
    )  # fmt: skip
    return lambda: iter(loader)
