"""Compute the logits of many faces in batches, with test-time augmentation."""

from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import UserError
from fer_tf.evaluation.tta import mirrored_pairs
from fer_tf.facetable import ImagesOnDisk
from fer_tf.models import logits_of

if TYPE_CHECKING:
    import keras


def logits(
    network: "keras.Model",
    images: np.ndarray | ImagesOnDisk,
    batch_size: int = 256,
    view: str = "center",
    crop: int | tuple[int, int] | None = None,
) -> np.ndarray:
    """Compute the logits of a network for every face.

    Args:
        network: a model from pixels to logits (N, C), or to a dict with ``"logits"``.
        images: pixels in 0 to 255, uint8 or float (N, H, W, channels); those on disk are read batch by batch.
        batch_size: most faces in one forward pass.
        view: test-time augmentation: ``"center"`` (the central crop), ``"flip"`` (and its mirror image) or
            ``"ten_crop"`` (four corners and center, and their mirror images).
        crop: size of the crops in pixels, one number or (h, w); ``None`` means the input size of the network.

    Returns:
        float32 (N, C), the mean of the logits of all crops. An image and its mirror image have the same ten-crop
        logits.

    Raises:
        UserError: an unknown view, no images, or images that do not fit the network.

    Example:
        >>> import keras, numpy as np
        >>> from fer_tf import evaluation
        >>> network = keras.Sequential([keras.Input((40, 40, 1)), keras.layers.Flatten(), keras.layers.Dense(7)])
        >>> evaluation.logits(network, np.zeros((3, 48, 48, 1), "uint8"), view="flip").shape
        (3, 7)
    """
    images = images if isinstance(images, ImagesOnDisk) else np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise UserError(f"images must be (N, H, W, channels) with N > 0, got {images.shape}.")
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, got {batch_size}.")
    expected = network.input_shape[1:]
    if expected[2] not in (None, images.shape[3]):
        raise UserError(f"Images have {images.shape[3]} channels, the network takes {expected[2]}.")
    size = _crop_size(crop, expected[:2], images.shape[1:3])
    # Batches of one size, the last filled up: another size would be compiled anew (seconds on JAX).
    batches = -(-len(images) // batch_size)
    step = -(-len(images) // batches)
    filled = (_filled(images[i : i + step], step) for i in range(0, len(images), step))
    return np.concatenate([_mean_over_views(network, batch, view, size) for batch in filled])[: len(images)]


def _crop_size(
    crop: int | tuple[int, int] | None, expected: tuple[int | None, int | None], image: tuple[int, int]
) -> tuple[int, int]:
    """Return the crop (h, w): ``crop``, else the input size of the network, else the whole image."""
    if crop is None:
        return tuple(e or i for e, i in zip(expected, image, strict=True))
    size = (crop, crop) if isinstance(crop, int) else tuple(crop)
    if any(e not in (None, s) for e, s in zip(expected, size, strict=True)):
        raise UserError(f"The crop {size[0]}×{size[1]} does not fit the network's input {expected[0]}×{expected[1]}.")
    return size


def _filled(batch: np.ndarray, size: int) -> np.ndarray:
    """Append zeros to a batch until it has ``size`` images."""
    return np.pad(batch, [(0, size - len(batch))] + [(0, 0)] * 3)


def _mean_over_views(network: "keras.Model", batch: np.ndarray, view: str, crop: tuple[int, int]) -> np.ndarray:
    """Average logits (n, C) over the crops of a batch."""
    # Cut, because a network in training on several devices (TensorFlow) answers once for each, with all rows.
    # Summed pair by pair, so that an image and its mirror image add the same numbers in the same order.
    sums = [
        (len(pair), sum(np.asarray(logits_of(network.predict_on_batch(x)), np.float32)[: len(x)] for x in pair))
        for pair in mirrored_pairs(batch, crop, view)
    ]
    return (sum(s for _, s in sums) / np.float32(sum(n for n, _ in sums))).astype(np.float32)
