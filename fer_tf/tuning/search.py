"""Search runs and settings with Optuna; stop bad runs early."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

from fer_tf import augment, registry
from fer_tf.errors import UserError, unknown_name
from fer_tf.io import atomic
from fer_tf.training.callbacks import HISTORY
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS
from fer_tf.training.run import CONFIG, ENVIRONMENT, FAILURE, read_json, read_metrics
from fer_tf.tuning import recipes, runner, study_page
from fer_tf.tuning.runner import Executor, Job, Result

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

DATABASE, TABLE = "optuna.db", "trials.csv"
# A choice among all thirteen would need more runs than a search on a few cores has.
SEARCHED_OPTIMIZERS = ("nesterov", "adam", "adamw", "lion", "muon")


def space_of(names: Sequence[str], runs: Sequence[RunConfig]) -> "dict[str, BaseDistribution]":
    """Return Optuna's distributions of the settings to search, by name.

    Args:
        names: any of ``optimizer``; ``rate``, a factor on the run's learning rate, or on the usual rate of another
            optimizer; ``decay``, of the kind (coupled or decoupled) that belongs to the optimizer; ``schedule``;
            ``augment``, a preset that all runs can take; ``dropout``.
        runs: the configurations that trials start from. When there are several, ``run`` joins the space.

    Raises:
        UserError: an unknown name.

    Example:
        >>> space_of(["dropout"], [RunConfig(name="a")])
        {'dropout': FloatDistribution(high=0.6, log=False, low=0.0, step=None)}
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    presets = [preset for preset in augment.PRESETS if all(_takes(run, preset) for run in runs)]
    whole = {
        "optimizer": CategoricalDistribution(SEARCHED_OPTIMIZERS),
        "rate": FloatDistribution(0.1, 10.0, log=True),
        "decay": FloatDistribution(1e-6, 1e-2, log=True),
        "schedule": CategoricalDistribution(tuple(_schedules(runs[0].epochs))),
        "augment": CategoricalDistribution(presets),
        "dropout": FloatDistribution(0.0, 0.6),
    }
    for name in names:
        if name not in whole:
            raise unknown_name("dimension", name, whole)
    own = {"run": CategoricalDistribution([run.name for run in runs])} if len(runs) > 1 else {}
    return {**own, **{name: whole[name] for name in whole if name in names}}


def describe(distribution: "BaseDistribution") -> str:
    """Return a distribution's choices or bounds as text.

    Example:
        >>> describe(space_of(["rate"], [RunConfig(name="a")])["rate"])
        '0.1 to 10, by its logarithm'
    """
    if hasattr(distribution, "choices"):
        return ", ".join(distribution.choices)
    return f"{distribution.low:g} to {distribution.high:g}{', by its logarithm' if distribution.log else ''}"


def configured(runs: Sequence[RunConfig], values: Mapping[str, Any], name: str) -> RunConfig:
    """Return one of the runs, renamed and changed by the values that a search drew.

    Args:
        runs: the configurations that trials start from.
        values: by the names of ``space_of``; ``run`` chooses among ``runs``. Numbers are rounded to three digits.
        name: of the new run.

    Example:
        >>> configured([RunConfig(name="a", learning_rate=0.1)], {"rate": 0.5}, "trial 3").learning_rate
        0.05
    """
    run = {run.name: run for run in runs}[values["run"]] if "run" in values else runs[0]
    # Three digits are as good, and can be typed.
    rounded = {key: float(f"{value:.3g}") for key, value in values.items() if isinstance(value, float)}
    own = registry.parse(run.optimizer)[0]
    rule = values.get("optimizer", own)
    rate = run.learning_rate if rule == own else OPTIMIZERS[rule].facts["learning_rate"]
    rate = float(f"{rate * rounded.get('rate', 1.0):.3g}")
    changes = {"optimizer": run.optimizer if rule == own else rule, "learning_rate": rate}
    if "decay" in rounded:
        drawn = recipes.optimizer_settings(rule, str(rate), rounded["decay"])
        changes |= {kind: float(f"{drawn.get(kind, 0.0):.3g}") for kind in ("l2", "weight_decay")}
    if "schedule" in values:
        changes["schedule"] = _schedules(run.epochs)[values["schedule"]]
    if "augment" in values:
        changes["augment"] = (values["augment"],)
    if "dropout" in rounded:
        changes["dropout"] = rounded["dropout"]
    return replace(run, name=name, **changes)


def corners(runs: Sequence[RunConfig], space: "Mapping[str, BaseDistribution]") -> list[RunConfig]:
    """Return the first run with each choice and each bound of the space, to check them before a search."""
    ends = {key: getattr(d, "choices", None) or (d.low, d.high) for key, d in space.items() if key != "run"}
    return [configured(runs[:1], {key: value}, f"{key}={value}") for key, values in ends.items() for value in values]


def _schedules(epochs: int) -> dict[str, str]:
    return {registry.parse(text)[0]: text for text in recipes.schedules(epochs)}


def _takes(run: RunConfig, preset: str) -> bool:
    try:
        augment.check_columns((preset,), run.columns)
    except UserError:
        return False
    return True


class Search:
    """Search for the highest validation accuracy with Optuna's TPE sampler.

    What a trial draws depends on the seed, its number and the results before it. An interrupted search that is
    started again on one worker therefore draws the same as one that was never interrupted. Several hosts may share a
    database, each with an ``out`` of its own: a host continues only the trials whose run folders are in its ``out``.

    Args:
        name: of the study.
        runs: the configurations that trials start from.
        space: what they vary (``space_of``).
        trials: how many there should be, over all hosts (hosts that begin the last one together do one more).
        out: the study's folder. No other process may use it meanwhile (``atomic.folder_lock``).
        storage: URL of a database; ``None`` for an SQLite file in ``out``.
        seed: of the draws.

    Raises:
        UserError: Optuna is not installed, or the database cannot be used.

    Example:
        >>> import tempfile
        >>> from fer_tf.tuning import space_of
        >>> runs = [RunConfig(name="base")]
        >>> with tempfile.TemporaryDirectory() as out:
        ...     search = Search("demo", runs, space_of(["rate"], runs), trials=2, out=out)
        ...     [job.description for job in search.jobs()]
        ['1/2 000', '2/2 001']
    """

    def __init__(
        self,
        name: str,
        runs: Sequence[RunConfig],
        space: "Mapping[str, BaseDistribution]",
        trials: int,
        out: Path,
        storage: str | None = None,
        seed: int = 0,
    ):
        self.runs, self.space, self.trials, self.out, self.seed = list(runs), space, trials, Path(out), seed
        self.shared = storage is not None
        self.out.mkdir(parents=True, exist_ok=True)
        file = quote(str(self.out.absolute() / DATABASE))
        # Other runs or another space are another search in the same storage.
        self.study = _open(f"{name}-{_digest(runs, space, seed)}", storage or f"sqlite:///file:{file}?uri=true")
        self.numbers: dict[RunConfig, int] = {}

    def begun(self) -> list[Job]:
        """Return the runs of the trials that were begun in this folder, ended or not."""
        trials = self.study.get_trials(deepcopy=False)
        if self.shared:
            trials = [t for t in trials if self._is_drawn(t) and self._job(t).folder.is_dir()]
        return [self._drawn(trial) for trial in trials]

    def jobs(self) -> Iterator[Job]:
        """Yield the runs of the trials begun in this folder, then new ones. A new trial is drawn when asked for."""
        yield from self.begun()
        while len(self.study.get_trials(deepcopy=False)) < self.trials:
            yield self._drawn(self.study.ask())

    def tell(self, result: Result) -> None:
        """Record how a trial ended, unless that is known.

        A run that would fail again is recorded as pruned, as is one that was stopped early. After other failures, such
        as a full disk or a lost worker, the trial stays open, and the next start tries it again.
        """
        from optuna.trial import Trial, TrialState

        trial = self.study.get_trials(deepcopy=False)[self.numbers[result.config]]
        failed = (result.folder / FAILURE).is_file()
        if trial.state.is_finished() or not (result.metrics or result.stopped or failed):
            return
        if (result.folder / HISTORY).is_file() and not failed:
            unfinished = Trial(self.study, trial._trial_id)
            for row in pd.read_csv(result.folder / HISTORY).to_dict("records"):
                unfinished.report(row["val_accuracy"], int(row["epoch"]))
        value, state = (result.metrics["val_accuracy"], None) if result.metrics else (None, TrialState.PRUNED)
        self.study.tell(trial.number, value, state)

    def table(self) -> pd.DataFrame:
        """Return a row for each trial of all hosts: number, state, validation accuracy and what was drawn."""
        rows = [
            {"trial": t.number, "state": t.state.name.lower(), "val_accuracy": t.value, **t.params}
            for t in self.study.get_trials(deepcopy=False)
        ]
        return pd.DataFrame(rows, columns=["trial", "state", "val_accuracy", *self.space])

    def _is_drawn(self, trial: "optuna.trial.BaseTrial") -> bool:
        return trial.params.keys() == self.space.keys()

    def _drawn(self, trial: "optuna.trial.BaseTrial") -> Job:
        """Draw a trial's values where a kill came before that, and make the run's folder, which says whose it is."""
        import optuna

        if not self._is_drawn(trial):
            seed = hashlib.blake2b(f"{self.seed}/{trial.number}".encode(), digest_size=4).digest()
            self.study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(seed))
            trial = optuna.trial.Trial(self.study, trial._trial_id)
            for name, dimension in self.space.items():
                if isinstance(dimension, optuna.distributions.CategoricalDistribution):
                    trial.suggest_categorical(name, dimension.choices)
                else:
                    trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
        job = self._job(trial)
        job.folder.mkdir(parents=True, exist_ok=True)
        return job

    def _job(self, trial: "optuna.trial.BaseTrial") -> Job:
        name = f"{trial.number:03d} {trial.params.get('run', '')}".rstrip()
        config = configured(self.runs, trial.params, name)
        self.numbers[config] = trial.number
        return Job(config, runner.run_folder(config, self.out), f"{trial.number + 1}/{self.trials} {name}")


def run_search(search: Search, executor: Executor) -> list[Result]:
    """Run trials until there are enough, and return the results of this folder in the order of the trials.

    Trials of earlier starts go through the executor again, which finds those that ended. After each trial the study is
    told and ``results.csv`` is rewritten; at the end ``trials.csv`` is.

    Args:
        search: what is searched, and where.
        executor: takes runs and yields their results: ``fer_tf.tuning.runner.Local``, ``Ray``, or any
            other function.

    Example:
        >>> import tempfile
        >>> from fer_tf.tuning import space_of
        >>> runs = [RunConfig(name="base")]
        >>> def executor(jobs):  # trains nothing
        ...     for job in jobs:
        ...         yield Result(job.config, job.folder, None, "stopped by hand", stopped=True)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     results = run_search(Search("demo", runs, space_of(["rate"], runs), trials=3, out=out), executor)
        >>> [result.status for result in results]
        ['stopped', 'stopped', 'stopped']
    """
    kept = [(job, read_metrics(job.folder)) for job in search.begun()]
    ended = {search.numbers[job.config]: Result(job.config, job.folder, metrics) for job, metrics in kept if metrics}
    for result in executor(search.jobs()):
        search.tell(result)
        ended[search.numbers[result.config]] = result
        runner.keep([ended[number] for number in sorted(ended)], result, search.out)
    with atomic.atomic_write(search.out / TABLE) as part:
        search.table().to_csv(part, index=False)
    return [ended[number] for number in sorted(ended)]


def report(results: Sequence[Result], out: Path) -> list[Path]:
    """Print the best trial; write the page and the winner of a search. The study's own report is of its own runs."""
    trials = pd.read_csv(out / TABLE)
    shown = trials.assign(val_accuracy=(100 * trials["val_accuracy"]).round(2))
    shown = shown.map(lambda value: f"{value:.3g}" if isinstance(value, float) and abs(value) < 10 else value)
    best = trials[trials["state"] == "complete"].nlargest(1, "val_accuracy").index
    for row in shown.loc[best].to_dict("records"):
        values = ", ".join(f"{name}={row[name]}" for name in trials.columns[3:])
        print(f"best of {len(trials)} trials: {row['trial']:03d} with {row['val_accuracy']} %: {values}")
    title = f"Search of {len(trials)} trials"
    return [*study_page.write(results, out, title, tables=[("Trials", shown)]), out / TABLE]


def _digest(runs: Sequence[RunConfig], space: "Mapping[str, BaseDistribution]", seed: int) -> str:
    """Return eight hex digits that change with what is searched; the same on hosts that keep data elsewhere."""
    settings = [{k: v for k, v in run.to_json().items() if k not in ("data", "start")} for run in runs]
    text = json.dumps([settings, {name: str(d) for name, d in space.items()}, seed], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _open(name: str, storage: str) -> "optuna.Study":
    try:
        import optuna
    except ImportError:
        raise UserError("A search needs Optuna: pip install 'fer-tf[search]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Runs are stopped early by Halving, with a search or without.
    settings = {"direction": "maximize", "load_if_exists": True, "pruner": optuna.pruners.NopPruner()}
    try:
        return optuna.create_study(study_name=name, storage=storage, **settings)
    except Exception as error:  # SQLAlchemy's, of its drivers and of what they import: hundreds of classes.
        scheme, separator, rest = storage.partition("://")  # without the user's name and password
        what = " ".join(str(error).split())[:300]
        raise UserError(f"Cannot use the database {scheme}{separator}{rest.rpartition('@')[2]}: {what}") from None


@dataclass(frozen=True)
class Halving:
    """Stop a run that is not among the best of those that came as far.

    After ``first``, ``first·factor``, ``first·factor²`` … epochs, Optuna's ``SuccessiveHalvingPruner`` compares the
    run's best validation accuracy so far with that of the other runs in the same study folder: the best
    ``1/factor`` go on, at least one, ties included. No run waits for another. Only runs of the same length that are
    validated on the same faces are compared. All this is read from the runs' own folders, so the rule decides alike
    in one process, on many hosts that share the study folder, and after a restart.

    Args:
        first: epochs before the first comparison, from 1.
        factor: one run of so many goes on, from 2.

    Raises:
        UserError: a number out of range.

    Example:
        >>> [epoch for epoch in range(1, 30) if Halving(first=1, factor=3).compares(epoch)]
        [1, 3, 9, 27]

    References:
        Li et al., A System for Massively Parallel Hyperparameter Tuning, arXiv 1810.05934.
    """

    first: int
    factor: int = 3

    def __post_init__(self):
        if self.first < 1 or self.factor < 2:
            raise UserError(f"Rungs from {self.first} by {self.factor}. Expected from at least 1, by at least 2.")

    def __call__(self, config: RunConfig, folder: Path, history: Sequence[Mapping[str, float]]) -> str:
        """Return the reason to stop after the epochs of ``history``, or ``""`` to go on."""
        import optuna

        epoch = len(history)
        if epoch >= config.epochs or not self.compares(epoch):
            return ""
        kind, own = _kind(folder), _best(history, epoch)
        reached = [_read(path) for path in folder.parent.iterdir() if path != folder and _kind(path) == kind]
        others = [_best(rows, epoch) for rows in reached if len(rows) >= epoch]
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=epoch, reduction_factor=self.factor)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        for accuracy in (*others, own):
            trial = study.ask()
            trial.report(accuracy, epoch)
            pruned = trial.should_prune()
        better = sum(value > own for value in others)
        where = f"{better} of {len(others)} other runs were above {100 * own:.2f} % there"
        return f"stopped after epoch {epoch}: {where}" if pruned else ""

    def compares(self, epoch: int) -> bool:
        """Return whether runs are compared after so many epochs."""
        rung = self.first
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


def _kind(folder: Path) -> tuple | None:
    """Return what runs must share to be compared; ``None`` where there is no run."""
    config, environment = (read_json(folder / name) if folder.is_dir() else None for name in (CONFIG, ENVIRONMENT))
    return (config.get("epochs"), environment.get("validation_digest")) if config and environment else None


def _read(folder: Path) -> list[dict[str, str]]:
    if not (folder / HISTORY).is_file():
        return []
    with (folder / HISTORY).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _best(history: Sequence[Mapping[str, float | str]], epoch: int) -> float:
    return max(float(row["val_accuracy"]) for row in history[:epoch])
