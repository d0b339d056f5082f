"""Train several runs at once, each in a process of its own."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from fer_tf.progress import bar
from fer_tf.training import processor
from fer_tf.training.callbacks import StopRule
from fer_tf.tuning.runner import Job, Local, Result

# How many more processes a run gets whose process died (killed, out of memory).
RETRIES = 2


@dataclass(frozen=True)
class _Started:
    job: Job
    attempt: int
    process: SpawnProcess
    answer: Connection


class AtOnce:
    """An executor that does several runs at once, with the folders and results of one after the other.

    One at once is for runs with XLA, which keeps all that it compiled for as long as its process lives.

    A run whose process died is given another one, which goes on after its last whole epoch. When this process ends,
    however it ends, its runs do.

    Args:
        count: how many runs at once.
        stop: rule that ends bad runs early.
        processes: how many compute a run's batches beside its own.

    Example:

    >>> AtOnce(2).threads >= 1
    True
    """

    def __init__(self, count: int, stop: StopRule | None = None, processes: int = 0):
        self.count, self.stop, self.processes = count, stop, processes
        self.threads = max(1, processor.cores() // count)

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield results as runs end; take a job whenever there is room."""
        due, running = iter(jobs), {}
        try:
            with bar(description="ended", unit="run") if self.count > 1 else contextlib.nullcontext() as ticks:
                while self._fill(running, due):
                    if ticks is not None:
                        ticks.set_postfix_str(f"{len(running)} at work")
                    for sentinel in wait(list(running)):
                        ended = running.pop(sentinel)
                        result = self._result(ended)
                        if result is None:
                            self._start(running, ended.job, ended.attempt + 1)
                        else:
                            if ticks is not None:
                                ticks.update()
                            yield result
        finally:
            for started in running.values():
                started.process.kill()
                started.process.join()

    def _fill(self, running: dict[int, _Started], due: Iterator[Job]) -> bool:
        """Start runs while there is room; return whether any are at work."""
        while len(running) < self.count and (job := next(due, None)) is not None:
            self._start(running, job, 1)
        return bool(running)

    def _start(self, running: dict[int, _Started], job: Job, attempt: int) -> None:
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        given = (sender, Local(stop=self.stop, processes=self.processes), job)
        process = context.Process(target=_work, args=given, daemon=True)
        threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
        # A run would take a graphics card's whole memory, and the bars of several would write over each other.
        shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TQDM_DISABLE": "1"}
        values = {**dict.fromkeys(threads, str(self.threads)), **shared} if self.count > 1 else {}
        with _environment(values):
            process.start()
        sender.close()
        running[process.sentinel] = _Started(job, attempt, process, receiver)

    def _result(self, ended: _Started) -> Result | None:
        """Return a run's result, or nothing when it should have another process."""
        job = ended.job
        ended.process.join()
        try:
            return Result(job.config, job.folder, *ended.answer.recv())
        except EOFError:
            code = ended.process.exitcode
        if ended.attempt > RETRIES:
            reason = f"its process died {ended.attempt} times, at last with exit code {code}"
            return Result(job.config, job.folder, None, reason)
        sys.stderr.write(f"again: {job.config.name}: its process died with exit code {code}\n")
        return None


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Give processes that start inside these environment variables."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _work(answer: Connection, executor: Local, job: Job) -> None:
    """Do a run in this process; send its metrics, its reason, and whether it was stopped early."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = executor.do(job)
    answer.send((result.metrics, result.reason, result.stopped))


def _end_with_parent() -> None:
    """End this process when the one that started it ends, be it killed."""
    multiprocessing.parent_process().join()
    os._exit(1)
