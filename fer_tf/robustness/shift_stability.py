"""Copy a network so that small shifts change its predictions less.

The copy averages the predictions of a grid of crops, every other one mirrored; its convolutions of stride 2 may get a
low-pass filter inside their kernels (arXiv 1904.11486). Nothing is trained.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fer_tf import evaluation, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import resized
from fer_tf.metrics import calibration
from fer_tf.models import antialias, composites
from fer_tf.training.averaging import estimate_batch_norm

if TYPE_CHECKING:
    import keras

# Enough: statistics of 2,048 faces differ from those of all by less than a hundredth of a deviation.
_FACES, _BATCH = 4096, 256
GRID = 2


def stabilize(
    network: "keras.Model",
    train: FaceTable,
    validation: FaceTable,
    side: int = GRID,
    filters: bool = False,
    seed: int = 0,
) -> "keras.Model":
    """Copy a network so that it averages crops, with filters in its strided convolutions.

    Args:
        network: A network with metadata.
        train: Faces for the batch-norm statistics; up to 4,096 of them are drawn.
        validation: Faces for the temperature.
        side: Crops a side of the grid; 1 keeps the center alone.
        filters: Put low-pass filters into convolutions of stride 2.
        seed: Seed of faces, crops and mirrors for the statistics.

    Returns:
        The copy, with metadata.

    Raises:
        UserError: The network has nothing to filter or sees the whole face, or the faces have other channels or
            classes.

    Example:
        >>> from fer_tf import datasets, models
        >>> faces = datasets.get("synthetic_ferplus(faces=60)")
        >>> network = models.load_model("default")
        >>> stable = stabilize(network, faces.select("train"), faces.select("validation"))
        >>> network.input_shape, stable.input_shape  # the copy takes its crops out of the whole face
        ((None, 44, 44, 1), (None, 48, 48, 1))
    """
    check_options(side, filters)
    metadata = models.metadata_of(network)
    if metadata.label_set.classes != validation.label_set.classes:
        names = ", ".join(metadata.label_set.classes)
        raise UserError(
            f"The network predicts {names}; the labels of the faces are {', '.join(validation.label_set.classes)}."
        )
    copy = network
    if filters:
        copy = antialias(network)
        estimate_batch_norm(copy, _crops(train, network.input_shape[1:], metadata.face_size, seed))
    if side > 1:
        copy = composites.average_crops(copy, composites.crop_grid(side))
    found = evaluation.logits(copy, resized(validation.images, metadata.face_size))
    temperature = calibration.fit_temperature(found, validation.targets)
    copy.metadata = dataclasses.replace(copy.metadata, temperature=temperature)
    return copy


def check_options(side: int, filters: bool) -> None:
    """Raise a ``UserError`` if a grid of ``side`` crops a side, with or without filters, changes nothing."""
    if side < 1 or (side == 1 and not filters):
        raise UserError(f"A grid of {side} without a filter changes nothing. Expected 2 or more, or a filter.")


def _crops(table: FaceTable, shape: tuple[int, int, int], face_size: int, seed: int) -> Iterator[np.ndarray]:
    """Yield batches of random crops of faces, half of them mirrored, float32 (B, \\*shape)."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(table))[:_FACES]
    if table.image_shape[2] != shape[2]:
        raise UserError(f"Faces have {table.image_shape[2]} channels, the network takes {shape[2]}.")

    for start in range(0, len(chosen), _BATCH):
        faces = resized(table.images[chosen[start : start + _BATCH]], face_size)
        places = rng.integers(0, (face_size - shape[0] + 1, face_size - shape[1] + 1), (len(faces), 2))
        cut = [f[y : y + shape[0], x : x + shape[1]] for f, (y, x) in zip(faces, places, strict=True)]
        yield np.stack([c[:, ::-1] if rng.random() < 0.5 else c for c in cut]).astype(np.float32)
