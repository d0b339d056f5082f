"""Compute batches in other processes: augmentation is many short NumPy calls, for which threads wait on Python's lock.

Images come back through memory that both sides share, requests and labels through a pipe to each process. A pool of
``concurrent.futures`` takes twice as long for a batch of small faces, for its threads wait on that lock, too.

The processes are spawned, not forked from a process that has threads. As everywhere with spawned processes, a script
that starts a run on the top level of its module needs ``if __name__ == "__main__":`` around it.
"""

import contextlib
import math
import multiprocessing
import pickle
import queue
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from fer_tf.input_pipeline.batches import BatchSource, Labels

__all__ = ["ProcessSource", "computed_by"]


class _Worker(NamedTuple):
    process: multiprocessing.Process
    pipe: Connection
    memory: Any


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
    >>> source = BatchSource(load_synthetic(faces=60), batch_size=8)
    >>> with computed_by(2, source) as batches:
    ...     batches.workers, batches.image_shape
    (2, (48, 48, 1))
    """

    def __init__(self, source: BatchSource, processes: int):
        self._source, self.workers = source, processes
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        # Pickled here, so that a source that cannot be sent is told before any process starts.
        given = pickle.dumps(source, protocol=pickle.HIGHEST_PROTOCOL)
        size = source.batch_size * math.prod(source.image_shape)
        self._workers = [_start(given, size) for _ in range(processes)]
        for worker in self._workers:
            self._idle.put(worker)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, epoch: int, step: int) -> tuple[Any, Labels]:
        """Have one batch computed, see ``BatchSource.batch``.

        Raises:
            RuntimeError: the process that computed it is dead.
            Exception: what the source raised.
        """
        worker = self._idle.get()
        try:
            worker.pipe.send((epoch, step))
            answer = worker.pipe.recv()
            if isinstance(answer, Exception):
                raise answer
            shape, labels = answer
            return _images(worker.memory, shape).copy(), labels
        except (EOFError, ConnectionError):
            worker.process.join()
            code = worker.process.exitcode
            raise RuntimeError(f"A process that computes batches died (exit code {code}): out of memory?") from None
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


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


def _start(given: bytes, size: int) -> _Worker:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    memory = spawn.RawArray("f", size)
    process = spawn.Process(target=_work, args=(given, there, memory), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here, memory)


def _work(given: bytes, pipe: Connection, memory: Any) -> None:
    """Answer requests until there are no more: the asking process closed the pipe, or is dead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    source = pickle.loads(given)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            epoch, step = pipe.recv()
            try:
                images, labels = source.batch(epoch, step)
                _images(memory, images.shape)[:] = images
                pipe.send((images.shape, labels))
            except Exception as error:
                pipe.send(_sendable(error))


def _images(memory: Any, shape: tuple[int, ...]) -> np.ndarray:
    """View the begin of shared memory as float32 images of a shape."""
    return np.frombuffer(memory, np.float32, math.prod(shape)).reshape(shape)


def _sendable(error: Exception) -> Exception:
    """Return the error, or where a library's own cannot be pickled, one that tells it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error))
    return error
