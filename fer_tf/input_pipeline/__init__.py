"""Feed batches of a face table to ``model.fit`` on every backend."""

from typing import Any

from fer_tf.input_pipeline.batches import BatchSource

__all__ = ["BatchSource", "open_reader"]


def open_reader(source: BatchSource, start_epoch: int = 0, epochs: int = 1, workers: int | None = None) -> Any:
    """Make the reader that suits the running Keras backend.

    Args:
        source: where the batches come from.
        start_epoch: the first epoch, from 0.
        epochs: how many epochs.
        workers: threads that compute batches; ``None``: as many as suit the source.

    Returns:
        A ``tf.data.Dataset`` on TensorFlow, an ``ArrayReader`` elsewhere. Both are passed to ``fit`` with
        ``steps_per_epoch=source.steps_per_epoch`` and ``shuffle=False``.

    Example:

    >>> from fer_tf.datasets import load_synthetic
    >>> source = BatchSource(load_synthetic(faces=60), batch_size=8, augment=["light"])
    >>> images, targets = next(iter(open_reader(source)))
    >>> tuple(images.shape), tuple(targets.shape)
    ((8, 48, 48, 1), (8, 7))
    """
    import keras

    from fer_tf.input_pipeline import feeding

    if keras.backend.backend() == "tensorflow":
        return feeding.as_dataset(source, start_epoch, epochs, workers)
    return feeding.ArrayReader(source, start_epoch, epochs, workers)
