"""Feed the faces of a table to ``model.fit`` as a ``tf.data.Dataset``."""

from typing import TYPE_CHECKING

import numpy as np

from fer_tf import augment as augmentation
from fer_tf.facetable import FaceTable

if TYPE_CHECKING:
    import tensorflow as tf

# Faces that shuffling holds in memory at once, beside the table itself.
_SHUFFLED = 10_000


def as_tf_dataset(
    faces: FaceTable, batch_size: int = 128, shuffle: bool = False, augment: str | None = None, seed: int = 0
) -> "tf.data.Dataset":
    """Create batches of (images, targets) for ``model.fit`` and ``model.evaluate``.

    Experiments use ``fer_tf.input_pipeline``, which also resumes in the middle of a training. This function is for
    training with Keras alone.

    Args:
        faces: N faces with images in memory, for instance ``faces.train``.
        batch_size: Number of faces in a batch.
        shuffle: Shuffle the faces anew in each epoch.
        augment: Augmentation call strings or presets, separated by ``;``, such as ``"flip(); affine(rotation=10)"``;
            ``None`` means no augmentation. See ``fer_tf.augment``.
        seed: Seed of the order and of the augmentation.

    Returns:
        A dataset of pairs: float32 images of shape (batch, H, W, channels), from 0 to 255, and float32 targets of
        shape (batch, classes), whose rows sum to 1.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_synthetic(faces=30)
        >>> batches = datasets.as_tf_dataset(faces.train, batch_size=8, shuffle=True, augment="flip()")
        >>> images, targets = next(iter(batches))
        >>> images.shape, targets.shape
        (TensorShape([8, 48, 48, 1]), TensorShape([8, 7]))
    """
    import tensorflow as tf

    rows = tf.data.Dataset.range(len(faces))
    if shuffle:
        rows = rows.shuffle(min(len(faces), _SHUFFLED), seed=seed)
    calls = [call.strip() for call in (augment or "").split(";") if call.strip()]
    pipeline, rng = augmentation.get(calls), np.random.default_rng(seed)

    def read(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return pipeline(faces.images[index], faces.targets[index], rng)

    def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, targets = tf.numpy_function(read, [index], (tf.float32, tf.float32))
        return (
            tf.ensure_shape(images, (None, None, None, faces.image_shape[2])),
            tf.ensure_shape(targets, (None, len(faces.label_set))),
        )

    return rows.batch(batch_size).map(batch).prefetch(tf.data.AUTOTUNE)
