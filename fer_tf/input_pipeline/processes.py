"""Compute batches in other processes, which do not wait for Python's lock.

The processes are spawned, not forked from a process that has threads. As everywhere with spawned processes, a script
that starts a run on the top level of its module needs ``if __name__ == "__main__":`` around it.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from fer_tf.input_pipeline.batches import PRIORITY, BatchSource, Labels

__all__ = ["ProcessSource", "computed_by"]

_held: list[BatchSource] = []  # in a process that computes batches: their source


class ProcessSource:
    """Wrap a batch source so that other processes compute its batches, byte for byte the same.

    Everything but ``batch``, ``workers`` and ``close`` is that of the wrapped source.

    Args:
        source: where the batches come from.
        processes: how many compute them.

    Attributes:
        workers: threads that suit it: one to ask each process.

    Example:

    >>> from fer_tf.datasets import load_synthetic
    >>> source = ProcessSource(BatchSource(load_synthetic(faces=60), batch_size=8), processes=2)
    >>> source.workers, source.image_shape
    (2, (48, 48, 1))
    >>> source.close()
    """

    def __init__(self, source: BatchSource, processes: int):
        self._source, self.workers = source, processes
        # Pickled here, so that a source that cannot be sent is told before any process starts.
        given = pickle.dumps(source, protocol=pickle.HIGHEST_PROTOCOL)
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, spawn, initializer=_begin, initargs=(given,))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, epoch: int, step: int) -> tuple[Any, Labels]:
        """Have one batch computed, see ``BatchSource.batch``.

        Raises:
            RuntimeError: a process that computes batches is dead.
            Exception: what the source raised.
        """
        try:
            return self._pool.submit(_compute, epoch, step).result()
        except BrokenProcessPool:
            raise RuntimeError("A process that computes batches died: out of memory?") from None

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def computed_by(processes: int, source: BatchSource) -> Iterator[BatchSource | ProcessSource]:
    """Give a source whose batches are computed by ``processes`` processes, or with 0 by threads of this one.

    Example:

    >>> from fer_tf.datasets import load_synthetic
    >>> source = BatchSource(load_synthetic(faces=60), batch_size=8)
    >>> with computed_by(0, source) as batches:
    ...     batches.batch(epoch=0, step=1)[0].shape
    (8, 48, 48, 1)
    """
    if not processes:
        yield source
        return
    with contextlib.closing(ProcessSource(source, processes)) as started:
        yield started


def _begin(given: bytes) -> None:
    """Make a new process ready for ``_compute``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    # The pool's processes hold its pipes open for each other, and would outlive a parent that was killed.
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(PRIORITY)
    _held.append(pickle.loads(given))


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _compute(epoch: int, step: int) -> tuple[Any, Labels]:
    return _held[0].batch(epoch, step)
