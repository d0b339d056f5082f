"""Run a list of configurations, keep their results, and rank them."""

import functools
import hashlib
import statistics
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training.callbacks import RunStopped, StopRule
from fer_tf.training.config import RunConfig
from fer_tf.training.parts import Tables, build_objective, build_parts, load_tables
from fer_tf.training.run import FAILURE, METRICS, MODEL, PREDICTIONS, STOPPED, execute, read_json, read_metrics

if TYPE_CHECKING:
    import keras

FILE = "results.csv"
# Seconds that a run waits for another process in its folder: what a lost cluster left behind ends within that.
PATIENCE = 180.0
# Each of these says how a run ended; the last is of what was not foreseen, and the next start tries again.
ENDED = (METRICS, FAILURE, STOPPED, "traceback.txt")
COLUMNS = (
    "run", "model", "optimizer", "schedule", "seed", "epochs", "best_epoch", "val_accuracy", "test_accuracy",
    "test_macro_f1", "seconds", "images_per_second", "status", "reason", "folder",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """How one run ended.

    Attributes:
        config: the run.
        folder: where its files are.
        metrics: contents of its ``metrics.json``, or ``None`` when it failed or was stopped.
        reason: one line on why it failed or was stopped, ``""`` when neither.
        stopped: a rule ended it early.
    """

    config: RunConfig
    folder: Path
    metrics: dict[str, Any] | None
    reason: str = ""
    stopped: bool = False

    @property
    def status(self) -> str:
        """``done``, ``stopped`` or ``failed``."""
        return "done" if self.metrics else "stopped" if self.stopped else "failed"


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
        stored = {c: read_metrics(folders[c]) for c in configs}
        ended = {c: Result(c, folders[c], metrics) for c, metrics in stored.items() if metrics}
        jobs = [Job(c, folders[c], f"{i}/{len(chosen)} {c.name}") for i, c in enumerate(chosen, start=1)]
        for result in (executor or Local(load))(jobs):
            ended[result.config] = result
            keep([ended[c] for c in configs if c in ended], result, out)
    return [ended[c] for c in configs if c in ended]


def check_runs(configs: Sequence[RunConfig], load: Callable[[RunConfig], Tables], devices: int = 1) -> None:
    """Raise before the first run what would end any of them: paths, crops, values, networks."""
    # Those of one dataset together: the cache holds one.
    for config in sorted(configs, key=lambda c: (c.dataset, c.cover or "", c.label_noise, c.seed)):
        build_parts(config, load(config), devices)
    for config in {(c.model, c.objective, c.start): c for c in configs}.values():
        build_objective(config, load(config))


def finished(config: RunConfig, out: Path) -> Path | None:
    """Return the absolute path of a run's network, or ``None`` while it is not there."""
    folder = run_folder(config, out).absolute()
    return folder / MODEL if read_metrics(folder) else None


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
        write_results(ended, Path(out) / FILE)
    except OSError as error:  # A full disk: the runs' own folders have what the next start needs.
        sys.stderr.write(f"could not write {Path(out) / FILE}: {error}\n")


def row(result: Result) -> dict[str, Any]:
    """Return one run's row of ``results.csv``; a failed or stopped run has its reason and no scores."""
    config, metrics = result.config, result.metrics
    values = {
        "run": config.name,
        "model": config.model,
        "optimizer": config.optimizer,
        "schedule": config.schedule,
        "seed": config.seed,
        "epochs": config.epochs,
        "status": result.status,
        "reason": result.reason,
        "folder": result.folder.name,
    }
    if metrics:
        values |= {
            "best_epoch": metrics["best_epoch"],
            "val_accuracy": metrics["val_accuracy"],
            "test_accuracy": metrics["test"]["accuracy"],
            "test_macro_f1": metrics["test"]["macro_f1"],
            "seconds": round(metrics["seconds"], 2),
            "images_per_second": round(metrics["images_per_second"], 1),
        }
    return values


def frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return the table of a study, in the order of the runs."""
    table = pd.DataFrame([row(r) for r in results], columns=list(COLUMNS))
    return table.astype({"best_epoch": "Int64"})


def write_results(results: Sequence[Result], path: Path) -> None:
    """Write ``results.csv`` atomically."""
    with atomic.atomic_write(path) as part:
        frame(results).to_csv(part, index=False)


def scored_once(result: Result, file: str, faces: str, score: "Callable[[keras.Model], dict[str, Any]]") -> dict:
    """Score a run's network once, and keep the scores in the run's folder.

    Args:
        result: a finished run.
        file: name of the JSON file in its folder.
        faces: digest of the faces that the scores are of. Other faces, or another network, are scored again.
        score: from the network to numbers that JSON can hold.
    """
    model = result.folder / MODEL
    of = faces + hashlib.blake2b(model.read_bytes(), digest_size=8).hexdigest()
    known = read_json(result.folder / file)
    if known is None or known.get("of") != of:
        known = {"of": of, **score(models.load_model(model))}
        atomic.write_json(result.folder / file, known)
    return known


def setting_name(config: RunConfig) -> str:
    """Return the name of a run without the seed that a study of several seeds adds.

    Example:
        >>> setting_name(RunConfig(name="adam-constant-seed1", seed=1))
        'adam-constant'
    """
    return config.name.removesuffix(f"-seed{config.seed}")


@dataclass(frozen=True)
class Setting:
    """The finished runs of one setting, which differ in their seed.

    Attributes:
        name: what the runs are called, without a seed.
        runs: one a seed, the best on validation first.
    """

    name: str
    runs: tuple[Result, ...]

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """The runs' rows of ``results.csv``."""
        return frame(self.runs)

    @property
    def val_accuracy(self) -> float:
        """Mean over the seeds, in 0..1."""
        return statistics.fmean(r.metrics["val_accuracy"] for r in self.runs)

    def right(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Read the runs' predictions of the test faces.

        Returns:
            The ids (N,) of the faces, and bool (S, N), whether each run's most probable class is that of the target.
            ``None`` for runs of an older version, whose files have no targets.
        """
        rows = []
        for run in self.runs:
            with np.load(run.folder / PREDICTIONS) as file:
                if "targets" not in file:
                    return None
                ids = file["ids"]
                rows.append(file["logits"].argmax(axis=1) == file["targets"].argmax(axis=1))
        return ids, np.array(rows)


def ranked(results: Sequence[Result]) -> list[Setting]:
    """Return the settings that have finished runs, best mean validation accuracy first (the order given on ties)."""
    by_name = defaultdict(list)
    for result in results:
        if result.metrics:
            by_name[setting_name(result.config)].append(result)
    settings = [
        Setting(name, tuple(sorted(runs, key=lambda r: -r.metrics["val_accuracy"]))) for name, runs in by_name.items()
    ]
    return sorted(settings, key=lambda s: -s.val_accuracy)


def leading(runs: Sequence[RunConfig], out: Path, count: int, seed: int) -> list[RunConfig]:
    """Repeat the runs that lead on validation with another seed, as soon as every run has ended.

    Args:
        runs: a run a setting.
        out: the study's folder.
        count: how many lead.
        seed: what the repeated runs have; it joins their names.

    Returns:
        At most ``count`` configurations, the best first; none while a run has not ended.
    """
    folders = [run_folder(config, out) for config in runs]
    if not all(any((folder / name).is_file() for name in ENDED) for folder in folders):
        return []
    scores = [(config, read_metrics(folder)) for config, folder in zip(runs, folders, strict=True)]
    finished = sorted((pair for pair in scores if pair[1]), key=lambda pair: -pair[1]["val_accuracy"])
    return [replace(config, seed=seed, name=f"{config.name}-seed{seed}") for config, _ in finished[:count]]
