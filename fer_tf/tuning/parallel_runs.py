"""Train several runs at once, in processes of this machine or on a Ray cluster."""

import contextlib
import functools
import multiprocessing
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.progress import bar
from fer_tf.training import processor
from fer_tf.training.callbacks import StopRule
from fer_tf.tuning.runner import Job, Local, Result, TableCache, result_of

if TYPE_CHECKING:
    from ray import ObjectRef

# Environment variables in which a worker must agree with the process that gives it work.
PASSED_ON = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")
# Seconds after which room is looked for again: hosts come and go.
LOOK_AGAIN = 5.0
# Nothing goes through Ray's object store; this is the smallest that it takes.
STORE_BYTES = 80 * 2**20
# How many more processes of this machine a run gets whose process died (killed, out of memory).
RETRIES = 2


class _Parallel:
    """Run jobs while there is room; give a run that lost its worker to another one.

    Sub-classes have ``room()``, how many runs can be done at once now; ``_start(job)``, which returns a hashable task;
    ``_wait(tasks)``, which returns those that have ended; ``_result(task, job, attempt)``, which returns the run's
    result, or ``None`` when it should have another worker.
    """

    alone = False  # whether a run has the terminal for itself

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield results as runs end; take a job whenever there is room.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or no host has what a run asks for.
        """
        self._connect()
        due, running = iter(jobs), {}
        try:
            with contextlib.nullcontext() if self.alone else bar(description="ended", unit="run") as ticks:
                while True:
                    while len(running) < max(1, self.room()) and (job := next(due, None)) is not None:
                        running[self._start(job)] = job, 1
                    if not running:
                        return
                    if ticks is not None:
                        ticks.set_postfix_str(f"{len(running)} at work")
                    for task in self._wait(list(running)):
                        job, attempt = running.pop(task)
                        result = self._result(task, job, attempt)
                        if result is None:
                            running[self._start(job)] = job, attempt + 1
                            continue
                        if ticks is not None:
                            ticks.update()
                        yield result
        finally:
            self._end(running)

    def _connect(self) -> None:
        """Prepare to start runs."""

    def _end(self, tasks: Iterable[Any]) -> None:
        """End the tasks that are still at work."""


@dataclass(frozen=True, eq=False)
class _Started:
    process: SpawnProcess
    answer: Connection


class Processes(_Parallel):
    """Execute several runs at once, each in a process of its own.

    Folders and results are those of one run after the other. One at once is for runs with XLA, which keeps all that it
    compiled for as long as its process lives.

    A run whose process died is given another one, which goes on after its last whole epoch. When this process ends,
    however it ends, its runs do.

    Args:
        count: how many runs at once.
        stop: rule that ends bad runs early.
        processes: how many compute a run's batches beside its own.

    Example:
        >>> Processes(2).room()
        2
    """

    def __init__(self, count: int, stop: StopRule | None = None, processes: int = 0):
        self.count, self.stop, self.processes, self.alone = count, stop, processes, count == 1

    def room(self) -> int:
        """Return how many runs can be done at once."""
        return self.count

    def _start(self, job: Job) -> _Started:
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        given = (sender, Local(stop=self.stop, processes=self.processes), job)
        process = context.Process(target=_work_in_process, args=given, daemon=True)
        threads = dict.fromkeys(
            ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"),
            str(max(1, processor.cores() // self.count)),
        )
        # A run would take a graphics card's whole memory, and the bars of several would write over each other.
        shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TQDM_DISABLE": "1"}
        with _environment({**threads, **shared} if self.count > 1 else {}):
            process.start()
        sender.close()
        return _Started(process, receiver)

    def _wait(self, tasks: Sequence[_Started]) -> list[_Started]:
        by_sentinel = {task.process.sentinel: task for task in tasks}
        return [by_sentinel[sentinel] for sentinel in wait(list(by_sentinel))]

    def _result(self, task: _Started, job: Job, attempt: int) -> Result | None:
        task.process.join()
        try:
            return Result(job.config, job.folder, *task.answer.recv())
        except EOFError:
            code = task.process.exitcode
        if attempt > RETRIES:
            reason = f"its process died {attempt} times, at last with exit code {code}"
            return Result(job.config, job.folder, None, reason)
        sys.stderr.write(f"again: {job.config.name}: its process died with exit code {code}\n")
        return None

    def _end(self, tasks: Iterable[_Started]) -> None:
        for task in tasks:
            task.process.kill()
            task.process.join()


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


def _work_in_process(answer: Connection, executor: Local, job: Job) -> None:
    """Do a run in this process; send its metrics, its reason, and whether it was stopped early."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this process ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = executor.do(job)
    answer.send((result.metrics, result.reason, result.stopped))


def _end_with_parent() -> None:
    """End this process when the one that started it ends, be it killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


@dataclass
class Ray(_Parallel):
    """Execute runs on a Ray cluster, as many at once as it has room for.

    The cluster is joined, or started, for the first job, and left when the process ends. A run whose worker died
    (killed, out of memory, host lost) is given to another one, which continues after the run's last whole epoch.
    Workers write into the runs' folders, so all hosts must see the study's folder at the same path.

    Args:
        address: of a running cluster, ``auto`` for the one on this machine; ``None`` starts a cluster of this machine
            alone, which listens on loopback only and ends with this process.
        cpus: CPU cores of a run, which are also TensorFlow's threads.
        gpus: graphics cards of a run; several runs share a card when it is a part of one.
        retries: how many times a run that lost its worker is given another.
        stop: rule that ends bad runs early.
        execute: what a worker does; ``fer_tf.training.run.execute`` when left out.

    Example:
        >>> executor = Ray(cpus=2, retries=1)  # for run_all(configs, out, executor=executor)
        >>> executor.needs
        {'CPU': 2}
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 2
    stop: StopRule | None = None
    execute: Callable[..., dict[str, Any]] | None = None

    @property
    def needs(self) -> dict[str, float]:
        """What a run takes of its host, by Ray's names."""
        return {name: amount for name, amount in {"CPU": self.cpus, "GPU": self.gpus}.items() if amount}

    def room(self) -> int:
        """Return how many runs the hosts that are there now can do at once."""
        import ray

        hosts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(min(int(host.get(name, 0) / amount + 1e-9) for name, amount in self.needs.items()) for host in hosts)

    def _connect(self) -> None:
        connect(self.address)
        if not self.room():
            wanted = " and ".join(f"{amount:g} {name}" for name, amount in self.needs.items())
            raise UserError(f"No host of the cluster has {wanted} for a run. Ask for less by --cpus-per-run.")

    def _start(self, job: Job) -> "ObjectRef":
        import ray

        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {"TF_NUM_INTRAOP_THREADS": str(max(1, int(self.cpus))), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if 0 < self.gpus < 1:
            # TensorFlow takes a card's whole memory otherwise, and its neighbor on the card dies.
            environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        # Retried here and not by Ray, which would try a run that needs too much memory for ever.
        remote = ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0, runtime_env={"env_vars": environment}
        )(_work_on_cluster)
        return remote.remote(replace(job, folder=job.folder.absolute()), self.stop, self.execute)

    def _wait(self, tasks: "Sequence[ObjectRef]") -> "list[ObjectRef]":
        import ray

        return ray.wait(tasks, timeout=LOOK_AGAIN)[0]

    def _result(self, task: "ObjectRef", job: Job, attempt: int) -> Result | None:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return replace(ray.get(task), folder=job.folder)
        except RayTaskError as error:  # The worker lives: no package there, or another one.
            reason = f"on the cluster: {error.cause!r}"
        except RayError as error:
            if attempt <= self.retries:
                sys.stderr.write(f"again: {job.config.name}: lost its worker ({type(error).__name__})\n")
                return None
            reason = f"lost its worker in attempt {attempt} of {attempt}: {' '.join(str(error).split())}"
        return Result(job.config, job.folder, None, reason[:500])


def _work_on_cluster(job: Job, stop: StopRule | None, execute: Callable[..., dict[str, Any]] | None) -> Result:
    """Do a run in a worker's process."""
    out = job.folder.parents[1]
    # A folder that is made here is one that the study never sees.
    if not (out / ".lock").is_file():
        reason = f"{out} is not on host {os.uname().nodename}. Give a folder that all hosts share as --out."
        return Result(job.config, job.folder, None, reason)
    return result_of(job, _tables(), stop, execute)


@functools.cache
def _tables() -> TableCache:
    """Return this worker's tables, which it keeps from run to run."""
    return TableCache()


def connect(address: str | None) -> None:
    """Join a Ray cluster, or start one of this machine alone, unless this process is in one already.

    Args:
        address: as that of ``Ray``.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """
    if "ray" not in sys.modules:
        _set_up(address)
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray: pip install 'fer-tf[cluster]'.") from None
    if ray.is_initialized():
        return
    own = {"include_dashboard": False, "object_store_memory": STORE_BYTES} if address is None else {"address": address}
    try:
        ray.init(**own, log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # Ray's and Python's of many kinds, for a slow start a bare one.
        place = f"No Ray cluster at {address}" if address else "Ray did not start"
        raise UserError(f"{place}: {' '.join(str(error).split())[:300]}") from None


def _set_up(address: str | None) -> None:
    """Set what Ray reads when it is imported, where the user has not."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    known = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    known = known or (Path.home() / ".ray" / "auth_token").is_file()
    if address is None and not known:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # Ray would leave one at home
    if address is None or known:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if address is None:
        # Under Linux this means: no cluster beyond this machine. All its servers then listen on 127.0.0.1 only.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
