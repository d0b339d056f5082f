"""Train the runs of a study on a Ray cluster, one run a Ray task."""

import functools
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.progress import bar
from fer_tf.training.callbacks import StopRule
from fer_tf.tuning.runner import Job, Result, TableCache, result_of

if TYPE_CHECKING:
    from ray import ObjectRef

# Environment variables in which a worker must agree with the process that gives it work.
PASSED_ON = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")
# Seconds after which room is looked for again: hosts come and go.
LOOK_AGAIN = 5.0
# Nothing goes through Ray's object store; this is the smallest that it takes.
STORE_BYTES = 80 * 2**20


@dataclass
class Ray:
    """Execute jobs on a Ray cluster, as many at once as it has room for.

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

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield results as runs end; take a job whenever there is room.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or no host has what a run asks for.
        """
        connect(self.address)
        import ray

        if not self.room():
            wanted = " and ".join(f"{amount:g} {name}" for name, amount in self.needs.items())
            raise UserError(f"No host of the cluster has {wanted} for a run. Ask for less by --cpus-per-run.")
        due, running = iter(jobs), {}
        with bar(description="ended", unit="run") as ticks:
            while True:
                while len(running) < max(1, self.room()) and (job := next(due, None)) is not None:
                    running[self._start(job)] = job, 1
                if not running:
                    return
                ticks.set_postfix_str(f"{len(running)} at work")
                for task in ray.wait(list(running), timeout=LOOK_AGAIN)[0]:
                    job, attempt = running.pop(task)
                    result = self._ended(job, task, attempt)
                    if result is None:
                        running[self._start(job)] = job, attempt + 1
                    else:
                        ticks.update()
                        yield result

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
        )(_work)
        return remote.remote(replace(job, folder=job.folder.absolute()), self.stop, self.execute)

    def _ended(self, job: Job, task: "ObjectRef", attempt: int) -> Result | None:
        """Return a run's result, or nothing when it should have another worker."""
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


def _work(job: Job, stop: StopRule | None, execute: Callable[..., dict[str, Any]] | None) -> Result:
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
