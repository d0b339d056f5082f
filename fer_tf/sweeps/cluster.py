"""Run studies on a Ray cluster: an executor beside the local one, with the same folders and results."""

import functools
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.progress import bar

if TYPE_CHECKING:
    from fer_tf.sweeps.halving import Halving
    from fer_tf.sweeps.runner import Job, Result, TableCache

MISSING = "--executor ray needs Ray: pip install 'fer-tf[cluster]'."
# What a worker must agree in with the process that gives it work, beside packages and files.
PASSED_ON = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")
# Seconds after which room is looked for again: hosts come and go.
LOOK_AGAIN = 5.0
# Nothing goes through Ray's object store; this is the smallest that it takes.
STORE_BYTES = 80 * 2**20


class Ray:
    """An executor that runs jobs on a Ray cluster, as many at once as it has room for.

    It joins the cluster for its first job, and is to be closed at the end.

    A run whose worker died (killed, out of memory, host lost) is given to another one, which goes on after its last
    whole epoch. Workers write into the runs' folders, so all hosts must see the study's folder at the same path.

    Args:
        address: of a running cluster, ``auto`` for the one on this machine; ``None`` starts a cluster of this machine
            alone, which listens on loopback only and ends with this process.
        cpus: CPU cores a run, which are also TensorFlow's threads.
        gpus: graphics cards a run; a part of one lets runs share it.
        retries: how many workers more than one a run may lose.
        stop: rule that ends bad runs early.
        execute: what a worker does; ``fer_tf.training.run.execute`` when left out.
    """

    def __init__(
        self,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        retries: int = 2,
        stop: "Halving | None" = None,
        execute: Callable[..., dict[str, Any]] | None = None,
    ):
        self.needs = {"CPU": cpus, "GPU": gpus}
        self.address, self.retries, self.stop, self.execute = address, retries, stop, execute
        self.joined = False

    def join(self) -> None:
        """Connect to the cluster, or start one.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or no host has what a run asks for.
        """
        if not self.joined:
            connect(self.address)
            self.joined = True
        if not self.room():
            wanted = " and ".join(f"{amount:g} {name}" for name, amount in self.needs.items() if amount)
            raise UserError(f"No host of the cluster has {wanted} for a run. Ask for less by --cpus-per-run.")

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self.joined:
            import ray

            ray.shutdown()
            self.joined = False

    def __enter__(self) -> "Ray":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def room(self) -> int:
        """Return how many runs the hosts that are there now can do at once."""
        import ray

        wanted = {name: amount for name, amount in self.needs.items() if amount}
        hosts = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(min(int(host.get(name, 0) / amount + 1e-9) for name, amount in wanted.items()) for host in hosts)

    def __call__(self, jobs: "Iterable[Job]") -> "Iterator[Result]":
        """Yield results as runs end; take a job whenever there is room."""
        self.join()
        import ray

        due, running = iter(jobs), {}
        try:
            with bar(description="ended", unit="run") as ticks:
                while self._fill(running, due):
                    ticks.set_postfix_str(f"{len(running)} at work")
                    for reference in ray.wait(list(running), timeout=LOOK_AGAIN)[0]:
                        job, attempt = running.pop(reference)
                        result = self._ended(job, reference, attempt)
                        if result is None:
                            running[self._start(job)] = (job, attempt + 1)
                        else:
                            ticks.update()
                            yield result
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _fill(self, running: "dict[Any, tuple[Job, int]]", due: "Iterator[Job]") -> bool:
        """Start jobs while there is room; return whether any are at work."""
        while len(running) < max(1, self.room()) and (job := next(due, None)) is not None:
            running[self._start(job)] = (job, 1)
        return bool(running)

    def _start(self, job: "Job") -> Any:
        import ray

        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        threads = {"TF_NUM_INTRAOP_THREADS": str(max(1, int(self.needs["CPU"]))), "TF_CPP_MIN_LOG_LEVEL": "3"}
        # TensorFlow takes a card's whole memory otherwise, and its neighbour on the card dies.
        shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if 0 < self.needs["GPU"] < 1 else {}
        # Retried here and not by Ray, which would try a run that needs too much memory for ever.
        remote = ray.remote(num_cpus=self.needs["CPU"], num_gpus=self.needs["GPU"], max_retries=0)(work)
        # Keras is imported by what a configuration is made of: first the worker's environment, then the run.
        run = (job.config.to_json(), str(job.folder.absolute()), job.description)
        return remote.remote(run, {**passed, **threads, **shared}, self.stop, self.execute)

    def _ended(self, job: "Job", reference: Any, attempt: int) -> "Result | None":
        """Return a run's result, or nothing when it should have another worker."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        from fer_tf.sweeps.runner import Result

        try:
            metrics, reason, stopped = ray.get(reference)
        except RayError as error:
            what = " ".join(str(error).split())
            if isinstance(error, RayTaskError):  # The worker lives: no package there, or another one.
                return Result(job.config, job.folder, None, f"on the cluster: {error.cause!r}"[:500])
            if attempt > self.retries:
                reason = f"lost its worker in attempt {attempt} of {self.retries + 1}: {what}"[:500]
                return Result(job.config, job.folder, None, reason)
            sys.stderr.write(f"again: {job.config.name}: lost its worker ({type(error).__name__})\n")
            return None
        return Result(job.config, job.folder, metrics, reason, stopped)


def work(
    run: tuple[dict[str, Any], str, str], environment: Mapping[str, str], stop: "Halving | None", execute: Any
) -> tuple[dict[str, Any] | None, str, bool]:
    """Do a run in a worker's process; return its metrics, its reason, and whether it was stopped early."""
    os.environ.update(environment)
    values, path, description = run
    folder = Path(path)
    out = folder.parents[1]
    # A folder that is made here is one that the study never sees.
    if not (out / ".lock").is_file():
        return None, f"{out} is not on host {os.uname().nodename}. Give a folder that all hosts share as --out.", False
    from fer_tf.sweeps import runner
    from fer_tf.training.config import RunConfig

    job = runner.Job(RunConfig.from_json(values), folder, description)
    result = runner.result_of(job, _tables(), stop, execute)
    return result.metrics, result.reason, result.stopped


@functools.cache
def _tables() -> "TableCache":
    """Return this worker's tables, which it keeps from run to run."""
    from fer_tf.sweeps.runner import TableCache

    return TableCache()


def connect(address: str | None) -> None:
    """Join a Ray cluster, or start one of this machine alone; ``ray.shutdown`` leaves it.

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
        raise UserError(MISSING) from None
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
