"""Run a list of configurations and keep their results."""

import functools
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training.callbacks import RunStopped, StopRule
from fer_tf.training.config import RunConfig
from fer_tf.training.parts import Tables, load_tables
from fer_tf.training.run import METRICS, execute, read_json
from fer_tf.tuning import results
from fer_tf.tuning.results import Result

# Seconds that a run waits for another process in its folder: what a lost cluster left behind ends within that.
PATIENCE = 180.0


@dataclass(frozen=True)
class Job:
    """A run that is due, its folder, and what its progress bar says."""

    config: RunConfig
    folder: Path
    description: str


# Takes a job whenever it has room for one, and gives results in the order in which they end.
Executor = Callable[[Iterable[Job]], Iterator[Result]]


class TableCache:
    """Keep the tables of the last dataset: the runs of a study share theirs."""

    def __init__(self):
        self._key: tuple = ()
        self._tables: Tables | None = None

    def __call__(self, config: RunConfig) -> Tables:
        """Return the tables of a configuration, read anew only when they are not those of the last call."""
        noise = (config.label_noise, config.seed if config.label_noise else 0)
        key = (
            config.dataset, config.data, config.skip_bad, config.limit, config.image_size, config.landmarks,
            config.cover, noise,
        )  # fmt: skip
        if key != self._key:
            self._tables = load_tables(config)
            self._key = key
        return self._tables


class Local:
    """An executor that runs one job after the other in this process.

    Args:
        load: gives the tables of a configuration.
        stop: rule that ends bad runs early.
        devices: how many share each batch of a run.
        processes: how many compute a run's batches beside this one.
    """

    def __init__(
        self,
        load: Callable[[RunConfig], Tables] = load_tables,
        stop: StopRule | None = None,
        devices: int = 1,
        processes: int = 0,
    ):
        self.load, self.stop, self.devices, self.processes = load, stop, devices, processes

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield the result of each job before the next is taken."""
        yield from map(self.do, jobs)

    def do(self, job: Job) -> Result:
        """Do one job."""
        shared = self.devices > 1 or self.processes
        carry_out = functools.partial(execute, devices=self.devices, processes=self.processes) if shared else None
        return result_of(job, self.load, self.stop, carry_out)


def run_folder(config: RunConfig, out: Path) -> Path:
    """Return the folder of a run within a study's."""
    return Path(out) / "runs" / config.folder()


def run_all(
    configs: Sequence[RunConfig],
    out: Path,
    load: Callable[[RunConfig], Tables] = load_tables,
    selected: Collection[str] | None = None,
    executor: Executor | None = None,
) -> list[Result]:
    """Execute configurations; after each, rewrite ``results.csv``.

    Whatever ends one run (no finite loss, a full disk, unreadable data, too little memory) is recorded, and the others
    go on; the traceback of what was not foreseen is in the run's folder.

    Args:
        configs: runs that differ in name or settings.
        out: study folder; each run has a folder below ``out/runs``.
        load: gives the tables of a configuration.
        selected: names of the runs to execute, ``None`` for all. The others are in the results if they are finished.
        executor: where they run; in this process, one after the other, when left out.

    Returns:
        The results that there are, in the order of ``configs``.

    Raises:
        UserError: two equal configurations, ``out`` is no folder, or another process is at work in it.
    """
    folders = {config: run_folder(config, out) for config in configs}
    if len(set(folders.values())) != len(configs):
        raise UserError("Two runs of the study have the same name and settings.")
    chosen = [c for c in configs if selected is None or c.name in selected]
    with atomic.folder_lock(Path(out)):
        stored = {c: read_json(folders[c] / METRICS) for c in configs}
        ended = {c: Result(c, folders[c], metrics) for c, metrics in stored.items() if metrics}
        jobs = [Job(c, folders[c], f"{i}/{len(chosen)} {c.name}") for i, c in enumerate(chosen, start=1)]
        for result in (executor or Local(load))(jobs):
            ended[result.config] = result
            keep([ended[c] for c in configs if c in ended], result, out)
    return [ended[c] for c in configs if c in ended]


def result_of(
    job: Job,
    load: Callable[[RunConfig], Tables],
    stop: StopRule | None = None,
    carry_out: Callable[..., dict[str, Any]] | None = None,
) -> Result:
    """Execute a run, alone in its folder, and return how it ended, whatever ended it.

    Args:
        job: the run.
        load: gives the tables of a configuration.
        stop: rule that ends bad runs early.
        carry_out: stands in for ``execute``.
    """
    config, folder = job.config, job.folder
    try:
        # Beside the runs, whose folders hold what explains them and nothing else.
        with atomic.folder_lock(folder.parents[1] / ".locks" / folder.name, PATIENCE):
            metrics = (carry_out or execute)(config, folder, load, job.description, stop)
            return Result(config, folder, metrics)
    except RunStopped as end:
        return Result(config, folder, None, str(end), stopped=True)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        try:
            atomic.write_text(folder / "traceback.txt", traceback.format_exc())
        except OSError as full:
            sys.stderr.write(f"could not write {folder / 'traceback.txt'}: {full}\n")
        return Result(config, folder, None, reason)


def keep(ended: Sequence[Result], last: Result, out: Path) -> None:
    """Rewrite ``results.csv`` after a run, and say on stderr why it has no result."""
    if last.reason:
        sys.stderr.write(f"{last.status}: {last.config.name}: {last.reason}\n")
    try:
        results.write(ended, Path(out) / results.FILE)
    except OSError as error:  # A full disk: the runs' own folders have what the next start needs.
        sys.stderr.write(f"could not write {Path(out) / results.FILE}: {error}\n")
