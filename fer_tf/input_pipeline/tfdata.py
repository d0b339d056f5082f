"""Feed batches to TensorFlow as a ``tf.data.Dataset``."""

from typing import TYPE_CHECKING

import numpy as np

from fer_tf.input_pipeline.batches import BatchSource

if TYPE_CHECKING:
    import tensorflow as tf


def as_dataset(
    source: BatchSource, start_epoch: int = 0, epochs: int = 1, workers: int | None = None
) -> "tf.data.Dataset":
    """Make a dataset of whole epochs, one after the other.

    Args:
        source: where the batches come from.
        start_epoch: the first epoch, from 0; a resumed run passes the epoch it goes on from.
        epochs: how many epochs.
        workers: threads that compute batches; ``None``: as many as suit the source. The stream does not depend on it.

    Returns:
        ``epochs * source.steps_per_epoch`` pairs of float32 images (B, h, w, C) and targets (B, classes), or a dict of
        targets and the source's columns; static in all but an incomplete last batch. For
        ``model.fit(dataset, steps_per_epoch=source.steps_per_epoch, …)``.
    """
    import tensorflow as tf

    steps, repeats = source.steps, source.repeats
    whole = source.drop_remainder or len(source.table) % source.batch_size == 0
    batch = source.batch_size if whole else None
    labels = source.label_shapes
    dtypes = (tf.float32, *(tf.as_dtype(dtype) for _, dtype in labels.values()))
    shapes = ((batch, *source.image_shape), *((batch, *shape) for shape, _ in labels.values()))

    def compute(number: np.ndarray) -> tuple[np.ndarray, ...]:
        images, given = source.batch(*divmod(int(number), steps))
        return (images, *given.values()) if source.columns else (images, given)

    def read(number: "tf.Tensor") -> tuple[tf.Tensor, tf.Tensor | dict[str, tf.Tensor]]:
        # A stateful function would be run one at a time under op determinism; ours is a pure one.
        parts = tf.numpy_function(compute, [number], dtypes, stateful=False)
        images, *given = (tf.ensure_shape(part, shape) for part, shape in zip(parts, shapes, strict=True))
        return images, (dict(zip(labels, given, strict=True)) if source.columns else given[0])

    numbers = tf.data.Dataset.range(start_epoch * steps, (start_epoch + epochs) * steps)
    dataset = numbers.map(read, num_parallel_calls=workers or source.workers, deterministic=True)
    if repeats > 1:
        dataset = dataset.flat_map(lambda *pair: tf.data.Dataset.from_tensors(pair).repeat(repeats))
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(epochs * steps * repeats))
    return dataset.prefetch(2)
