"""Compute logits, test-time augmentation, latency and all scores of a network."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf.datasets.ferplus_votes import EMOTIONS, vote_shares
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable, ImagesOnDisk
from fer_tf.labels import LabelSet
from fer_tf.metrics import calibration, distribution
from fer_tf.metrics.distribution import log_softmax, softmax
from fer_tf.models import logits_of

if TYPE_CHECKING:
    import keras

VIEWS = ("center", "flip", "ten_crop")


def crop_offsets(image: tuple[int, int], crop: tuple[int, int], view: str) -> list[tuple[int, int]]:
    """Return the top left corners of the crops of a view.

    ``"ten_crop"`` has five crops: top left, top right, bottom left, bottom right and center, in torchvision's order;
    only one where the crop is the whole image. The other views have the center.

    Args:
        image: (H, W) in pixels.
        crop: (h, w) in pixels, at most (H, W).
        view: one of ``VIEWS``.

    Returns:
        A list of (top, left) in pixels.

    Raises:
        UserError: an unknown view, or a crop that is larger than the image.

    Example:
        >>> crop_offsets((48, 48), (40, 40), "ten_crop")
        [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
    """
    if view not in VIEWS:
        raise UserError(f"Unknown view {view!r}. Available: {', '.join(VIEWS)}.")
    down, right = image[0] - crop[0], image[1] - crop[1]
    if down < 0 or right < 0:
        raise UserError(f"Images of {image[0]}×{image[1]} are smaller than the crop of {crop[0]}×{crop[1]}.")
    center = (round(down / 2), round(right / 2))
    if view == "ten_crop" and (down or right):
        return [(0, 0), (0, right), (down, 0), (down, right), center]
    return [center]


def mirrored_pairs(images: np.ndarray, crop: tuple[int, int], view: str) -> Iterator[list[np.ndarray]]:
    """Yield the crops of a batch, each with the same crop of the mirrored images.

    Args:
        images: (N, H, W, C).
        crop: (h, w) in pixels.
        view: ``"center"`` yields one crop without a mirror image; ``"flip"`` one pair; ``"ten_crop"`` five pairs: the
            first members, then the second members, are torchvision's ten crops in order.

    Yields:
        A list of one or two float32 arrays (N, h, w, C).

    Example:
        >>> [len(pair) for pair in mirrored_pairs(np.zeros((2, 48, 48, 1)), (40, 40), "flip")]
        [2]
    """
    sides = [images] if view == "center" else [images, images[:, :, ::-1]]
    for top, left in crop_offsets(images.shape[1:3], crop, view):
        yield [np.ascontiguousarray(s[:, top : top + crop[0], left : left + crop[1]], np.float32) for s in sides]


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


def distribution_scores(logits: np.ndarray, table: FaceTable) -> dict[str, Any]:
    """Score logits against the label distributions of a table.

    Args:
        logits: float (N, C).
        table: N faces whose targets are distributions.

    Returns:
        A dict that JSON can hold: ``faces``; the means of the six distribution measures (``fer_tf.metrics``);
        ``entropy_correlation`` of the predictions and the raw votes where the table has those of FER+, else the
        targets (``None`` where all entropies are equal); ``named``, the share of faces whose predicted class has a
        target above 0.

    Raises:
        UserError: shapes that differ.

    Example:
        >>> import numpy as np
        >>> from fer_tf import datasets, evaluation
        >>> table = datasets.load_synthetic_ferplus(faces=9, mode="probability").test
        >>> logits = np.log(np.maximum(table.targets, 1e-9))
        >>> evaluation.distribution_scores(logits, table)["named"]
        1.0
    """
    probabilities = softmax(logits)
    has_votes = table.votes is not None and table.targets.shape[1] == EMOTIONS
    votes = vote_shares(table.votes) if has_votes else table.targets
    correlation = distribution.entropy_correlation(votes, probabilities)
    named = table.targets[np.arange(len(table)), probabilities.argmax(axis=1)] > 0
    return {
        "faces": len(table),
        **distribution.distribution_means(table.targets, probabilities),
        "entropy_correlation": None if np.isnan(correlation) else correlation,
        "named": float(named.mean()),
    }


def measure_latency(network: "keras.Model", repeats: int = 50, batch: int = 1) -> float:
    """Measure the median time of one compiled forward pass.

    It runs on as many threads as the backend was started with.

    Args:
        network: any model with a fixed input shape.
        repeats: number of timed calls, after three that are not timed.
        batch: number of faces in a call.

    Returns:
        Milliseconds.

    Example:
        >>> import keras
        >>> from fer_tf import evaluation
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> 0 < evaluation.measure_latency(network, repeats=3) < 1000
        True
    """
    call = _compiled(network)
    images = np.zeros((batch, *network.input_shape[1:]), np.float32)
    seconds = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        call(images)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[3:])


def _compiled(network: "keras.Model") -> Callable[[np.ndarray], Any]:
    """Return a function that waits for the result of the network."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda x: network(x, training=False), autograph=False)
    if backend == "jax":
        import jax

        # As functions of the image alone: the weights become constants, as in an exported network.
        compiled = jax.jit(lambda x: network(x, training=False))
        return lambda x: jax.block_until_ready(compiled(x))
    return lambda x: network(x, training=False)


def scores(
    logits: np.ndarray, table_or_targets: FaceTable | np.ndarray, label_set: LabelSet | None = None
) -> dict[str, Any]:
    """Score logits against the targets of the faces.

    Args:
        logits: float (N, C).
        table_or_targets: a ``FaceTable``, or targets (N, C) with rows that sum to 1.
        label_set: names of the C classes; needed with targets, a table has its own.

    Returns:
        A dict that JSON can hold: ``faces``; ``accuracy``, ``macro_f1``, ``balanced_accuracy`` of the most probable
        class; ``nll`` (nats), ``ece``, ``brier``; means of the six distribution measures; ``classes``; ``recall`` by
        class (``None`` for a class that no face has); ``precision`` by class (``None`` for one that is never
        predicted); ``confusion``, a row for each true class.

    Raises:
        UserError: shapes that differ, or logits that are not finite.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> from fer_tf.labels import LabelSet
        >>> logits = np.array([[2.0, 0.0], [1.0, 0.0]])
        >>> evaluation.scores(logits, np.eye(2), LabelSet("two", ("happy", "sad")))["accuracy"]
        0.5
    """
    if isinstance(table_or_targets, FaceTable):
        targets, label_set = table_or_targets.targets, table_or_targets.label_set
    elif label_set is None:
        raise UserError("Targets without a table need a label_set.")
    else:
        targets = np.asarray(table_or_targets)
    logits = np.asarray(logits)
    if logits.shape != targets.shape or logits.shape[1:] != (len(label_set),):
        raise UserError(f"Logits {logits.shape} and targets {targets.shape} must both be (N, {len(label_set)}).")
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise UserError(f"Logits of row {bad[0]} are not finite: {logits[bad[0]].tolist()}.")
    return {**_confidence(targets, logits), **_classes(targets.argmax(axis=1), logits.argmax(axis=1), label_set)}


def _confidence(targets: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return the scores of probabilities."""
    log_probabilities = log_softmax(logits)
    probabilities = np.exp(log_probabilities)
    return {
        "nll": calibration.negative_log_likelihood(targets, log_probabilities),
        "ece": calibration.expected_calibration_error(targets, probabilities),
        "brier": calibration.brier_score(targets, probabilities),
        **distribution.distribution_means(targets, probabilities),
    }


def _classes(labels: np.ndarray, predicted: np.ndarray, label_set: LabelSet) -> dict[str, Any]:
    """Return the scores of the most probable class."""
    confusion = calibration.confusion_matrix(labels, predicted, len(label_set))
    recall = calibration.recall(confusion)
    return {
        "faces": len(labels),
        "accuracy": float((labels == predicted).mean()),
        "macro_f1": float(np.nanmean(calibration.f1(confusion))),
        "balanced_accuracy": float(np.nanmean(recall)),
        "classes": list(label_set.classes),
        "recall": _by_class(label_set, recall),
        "precision": _by_class(label_set, calibration.precision(confusion)),
        "confusion": confusion.tolist(),
    }


def _by_class(label_set: LabelSet, values: np.ndarray) -> dict[str, float | None]:
    return {name: None if np.isnan(v) else v for name, v in zip(label_set.classes, values.tolist(), strict=True)}
