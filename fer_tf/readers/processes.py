"""Batches computed by processes: augmentation is many short calls of NumPy, for which threads wait on Python's lock.

Each process runs this module, gets the pickled source through its standard input, and then numbers of batches; it
answers with pickled batches through its standard output, and ends when its input does. Nothing is forked from a process
that has threads, nothing imports the user's script again, and no shared memory is left behind.
"""

import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fer_tf.readers.batches import BatchSource, Labels

_REQUEST = struct.Struct("<qq")  # epoch, step
_LENGTH = struct.Struct("<q")
_PIPE_BYTES = 2**20


class ProcessSource:
    """A batch source whose batches other processes compute, the same bytes; for the rest it is the given one.

    Args:
        source: where the batches come from.
        processes: how many compute them.
    """

    def __init__(self, source: BatchSource, processes: int):
        self._source, self._idle = source, queue.SimpleQueue()
        self._processes = [_start() for _ in range(processes)]
        try:
            given = pickle.dumps(source, protocol=5)
            for worker in self._processes:
                worker.stdin.write(given)
                self._idle.put(worker)
        except BaseException:
            self.close()
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def workers(self) -> int:
        """Threads that suit it: one to ask each process."""
        return len(self._processes)

    def batch(self, epoch: int, step: int) -> tuple[Any, Labels]:
        """Have one batch computed, see ``BatchSource.batch``.

        Raises:
            RuntimeError: the process that computed it is dead.
            Exception: what the source raised.
        """
        worker = self._idle.get()
        try:
            worker.stdin.write(_REQUEST.pack(epoch, step))
            worker.stdin.flush()
            answer = _receive(worker.stdout)
        except (EOFError, BrokenPipeError):
            code = worker.wait()
            raise RuntimeError(f"A process that computes batches died (exit code {code}): out of memory?") from None
        finally:
            self._idle.put(worker)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the processes."""
        for worker in self._processes:
            worker.kill()
        for worker in self._processes:
            worker.wait()
            # What a thread still writes goes nowhere.
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
            worker.stdout.close()


@contextlib.contextmanager
def computed_by(processes: int, source: BatchSource) -> Iterator[BatchSource | ProcessSource]:
    """Give a source whose batches ``processes`` processes compute while the block lasts; with 0 the source itself."""
    if not processes:
        yield source
        return
    started = ProcessSource(source, processes)
    try:
        yield started
    finally:
        started.close()


def _start() -> subprocess.Popen:
    # Its arithmetic is element by element: more threads than processes would only be in each other's way.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)}
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    command = [sys.executable, "-m", "fer_tf.readers.processes"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    # A whole batch fits in: Linux only, and refused to users who hold many.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(worker.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return worker


def _send(answer: Any, to: BinaryIO) -> None:
    """Write an object: lengths, its pickle, and the bytes of its arrays as they are."""
    arrays: list[pickle.PickleBuffer] = []
    try:
        head = pickle.dumps(answer, protocol=5, buffer_callback=arrays.append)
    except Exception:  # an error of a library that holds what cannot be pickled
        head, arrays = pickle.dumps(RuntimeError(repr(answer)), protocol=5), []
    parts = [head, *(array.raw() for array in arrays)]
    lengths = [len(parts), *(len(part) for part in parts)]
    to.write(b"".join(map(_LENGTH.pack, lengths)))
    for part in parts:
        to.write(part)
    to.flush()


def _receive(source: BinaryIO) -> Any:
    """Read what ``_send`` wrote; raise ``EOFError`` where it ends before."""
    (count,) = _LENGTH.unpack(_exactly(source, _LENGTH.size))
    lengths = [_LENGTH.unpack(_exactly(source, _LENGTH.size))[0] for _ in range(count)]
    head, *arrays = (_exactly(source, length) for length in lengths)
    return pickle.loads(head, buffers=arrays)


def _exactly(source: BinaryIO, length: int) -> bytearray:
    found = bytearray(length)
    if source.readinto(found) != length:
        raise EOFError
    return found


def _work() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    source = pickle.load(requests)
    while len(request := requests.read(_REQUEST.size)) == _REQUEST.size:
        try:
            answer = source.batch(*_REQUEST.unpack(request))
        except Exception as error:
            answer = error
        _send(answer, answers)


if __name__ == "__main__":
    _work()
