"""Feed batches to Keras: as arrays for any backend, or as a ``tf.data.Dataset``."""

import contextlib
import functools
import os
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fer_tf.input_pipeline.batches import BatchSource, Labels

if TYPE_CHECKING:
    import tensorflow as tf


class ArrayReader(keras.utils.PyDataset):
    """Whole epochs of a batch source, one after the other, computed ahead by threads of its own.

    Keras' own enqueuer is left off: with several workers it loses the batch that ``fit`` looks at before training.

    A shuffled source gives a reader without end, for ``fit(reader, steps_per_epoch=source.steps_per_epoch,
    shuffle=False)``: from a finite one ``fit`` draws batches in an order of its own unless told not to, which would mix
    epochs. An unshuffled source gives a finite reader, for ``evaluate`` and ``predict``.

    Args:
        source: where the batches come from.
        start_epoch: the first epoch, from 0; a resumed run passes the epoch it goes on from.
        epochs: how many epochs are wanted; nothing is computed ahead beyond them.
        workers: threads; ``None``: as many as suit the source. The stream does not depend on it.
    """

    def __init__(self, source: BatchSource, start_epoch: int = 0, epochs: int = 1, workers: int | None = None):
        super().__init__(workers=1)
        self.source, self.start_epoch, self.epochs = source, start_epoch, epochs
        self._threads = workers or source.workers
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: dict[int, Future] = {}

    @property
    def num_batches(self) -> int | None:
        """Batches in all, or ``None`` (no end) for a shuffled source."""
        return None if self.source.shuffle else self._total

    @property
    def _total(self) -> int:
        return self.epochs * self.source.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray, Labels]:
        """Return batch ``index`` of the stream, counted from the start of ``start_epoch``, repeats included."""
        number = index // self.source.repeats
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "batches")
        last = self._total // self.source.repeats - 1
        wanted = range(number, max(number, min(number + self._threads + 1, last)) + 1)
        self._ahead = {n: self._ahead.get(n) or self._pool.submit(self._compute, n) for n in wanted}
        return self._ahead[number].result()

    def _compute(self, number: int) -> tuple[np.ndarray, Labels]:
        epoch, step = divmod(number, self.source.steps)
        return self.source.batch(self.start_epoch + epoch, step)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None, "_ahead": {}}

    def close(self) -> None:
        """Stop the threads; the next batch starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._ahead = None, {}


@functools.cache
def _lower_priority(thread: int) -> None:
    """Let the threads that compute the training step go first: a batch has the whole step's time to be ready."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + 10))


def _give_way() -> None:
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        _lower_priority(threading.get_native_id())


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
        _give_way()
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
