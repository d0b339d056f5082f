"""The array reader: a batch source's stream for any Keras backend."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from fer_tf.input_pipeline.batches import BatchSource, Labels


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
