"""Search among a study's runs and their settings with Optuna, on any executor, and go on where it was left."""

import functools
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.sweeps.space import Choice, Range, configured
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    import optuna

    from fer_tf.sweeps.runner import Executor, Job, Result

MISSING = "--search optuna needs Optuna: pip install 'fer-tf[search]'."
JOURNAL, TABLE, OWNER = "optuna.journal", "trials.csv", "search.json"


class Search:
    """A search of the highest validation accuracy, kept in a journal or a database.

    A trial's draws depend on the seed, its number and what the trials before it reached, so that a search that was
    interrupted goes on, on one worker, as if it had not been. Its trials that were at work then come first.

    Several hosts may share a database; each has its own ``out``, and goes on only with trials that it began itself.

    Args:
        name: of the study.
        runs: what trials start from.
        space: what they vary (``fer_tf.sweeps.space.space_of``).
        trials: how many there should be, over all hosts.
        out: the study's folder, which this process must have to itself (``atomic.folder_lock``).
        storage: URL of a database; a journal in ``out`` when left out.
        seed: of the draws.

    Raises:
        UserError: Optuna is not installed, or the database cannot be used.
    """

    def __init__(
        self,
        name: str,
        runs: Sequence[RunConfig],
        space: Mapping[str, Choice | Range],
        trials: int,
        out: Path,
        storage: str | None = None,
        seed: int = 0,
    ):
        self.runs, self.space, self.trials, self.out, self.seed = list(runs), space, trials, Path(out), seed
        self.owner, self.alone = _owner(self.out), storage is None
        # Other runs or another space are another search in the same storage.
        self.study = _open(f"{name}-{_digest(runs, space, seed)}", self.out, storage)
        self.numbers: dict[RunConfig, int] = {}

    def jobs(self) -> "Iterator[Job]":
        """Yield trials to run, those first that this folder has begun and not ended; draw each when it is asked for."""
        import optuna

        # In a journal of one's own, a trial without an owner was being drawn when the process was killed.
        nobody = self.owner if self.alone else None
        for trial in self._trials((optuna.trial.TrialState.RUNNING,)):
            if trial.user_attrs.get("owner", nobody) == self.owner:
                yield self._drawn(optuna.trial.Trial(self.study, trial._trial_id))
        while (trial := self._begun()) is not None:
            yield self._drawn(trial)

    def tell(self, result: "Result") -> None:
        """Record how a trial ended.

        What would fail again counts as bad, as does a run that was stopped early. Other failures, such as a full disk
        or a lost worker, leave the trial open: the next start tries it again.
        """
        import optuna
        from optuna.trial import TrialState

        from fer_tf.training.callbacks import HISTORY
        from fer_tf.training.run import FAILURE

        number = self.numbers[result.config]
        final = result.stopped or (result.folder / FAILURE).is_file()
        if not result.metrics and not final:
            return
        if (result.folder / HISTORY).is_file() and not (result.folder / FAILURE).is_file():
            trial = optuna.trial.Trial(self.study, self._trials()[number]._trial_id)
            for row in pd.read_csv(result.folder / HISTORY).to_dict("records"):
                trial.report(row["val_accuracy"], int(row["epoch"]))
        if result.metrics:
            self.study.tell(number, result.metrics["val_accuracy"])
        else:
            self.study.tell(number, state=TrialState.PRUNED)

    def table(self) -> pd.DataFrame:
        """Return a row a trial of all hosts: number, state, validation accuracy and what was drawn."""
        rows = [
            {"trial": t.number, "state": t.state.name.lower(), "val_accuracy": t.value, **t.params}
            for t in self._trials()
            if "owner" in t.user_attrs
        ]
        return pd.DataFrame(rows, columns=["trial", "state", "val_accuracy", *self.space])

    def _trials(self, states: tuple | None = None) -> "list[optuna.trial.FrozenTrial]":
        return self.study.get_trials(deepcopy=False, states=states)

    def job(self, number: int, values: Mapping[str, Any]) -> "Job":
        """Return the run of a trial."""
        from fer_tf.sweeps.runner import Job, run_folder

        run = f" {values['run']}" if "run" in values else ""
        config = configured(self.runs, values, f"{number:03d}{run}")
        self.numbers[config] = number
        return Job(config, run_folder(config, self.out), f"{number + 1}/{self.trials} {config.name}")

    def _begun(self) -> "optuna.Trial | None":
        """Begin a trial, unless there are enough."""
        import optuna

        if self._count() >= self.trials:
            return None
        trial = self.study.ask()
        if self._count(trial.number) < self.trials:
            return trial
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)  # another host was faster
        return None

    def _drawn(self, trial: "optuna.Trial") -> "Job":
        import optuna

        seed = hashlib.blake2b(f"{self.seed}/{trial.number}".encode(), digest_size=4).digest()
        self.study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(seed))
        for name, dimension in self.space.items():
            if isinstance(dimension, Choice):
                trial.suggest_categorical(name, dimension.values)
            else:
                trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
        trial.set_user_attr("owner", self.owner)
        return self.job(trial.number, trial.params)

    def _count(self, below: int | None = None) -> int:
        """Return the trials that count: ``FAIL`` is what this class gives those that never ran."""
        from optuna.trial import TrialState

        real = [t for t in self._trials() if t.state != TrialState.FAIL]
        return sum(below is None or t.number < below for t in real)


def run_search(search: Search, executor: "Executor") -> "list[Result]":
    """Run trials until there are enough; after each, tell the study and rewrite ``results.csv`` and ``trials.csv``.

    Returns:
        The results in this folder, in the order of the trials; those of earlier starts too.
    """
    from fer_tf.sweeps import runner

    ended = {result.config: result for result in _earlier(search)}
    for result in executor(search.jobs()):
        search.tell(result)
        ended[result.config] = result
        runner.keep(_in_order(search, ended), result, search.out)
    with atomic.atomic_write(search.out / TABLE) as part:
        search.table().to_csv(part, index=False)
    return _in_order(search, ended)


def _in_order(search: Search, ended: "Mapping[RunConfig, Result]") -> "list[Result]":
    return sorted(ended.values(), key=lambda result: search.numbers[result.config])


def _earlier(search: Search) -> "Iterator[Result]":
    """Yield what this folder's ended trials left in it."""
    from optuna.trial import TrialState

    from fer_tf.sweeps.runner import Result
    from fer_tf.training.run import FAILURE, METRICS, STOPPED, read_json

    for trial in search._trials((TrialState.COMPLETE, TrialState.PRUNED)):
        if trial.user_attrs["owner"] != search.owner:
            continue
        job = search.job(trial.number, trial.params)
        metrics, stopped = read_json(job.folder / METRICS), read_json(job.folder / STOPPED)
        reason = (stopped or read_json(job.folder / FAILURE) or {}).get("reason", "")
        yield Result(job.config, job.folder, metrics, reason, stopped is not None)


def _owner(out: Path) -> str:
    """Return a name for a study's folder that no other has."""
    from fer_tf.training.run import read_json

    known = read_json(out / OWNER)
    if known is None:
        known = {"owner": uuid.uuid4().hex}
        atomic.write_json(out / OWNER, known)
    return known["owner"]


def _digest(runs: Sequence[RunConfig], space: Mapping[str, Choice | Range], seed: int) -> str:
    """Return eight hex digits that change with what is searched; the same on hosts that keep data elsewhere."""
    places = ("data", "start")
    settings = [{k: v for k, v in run.to_json().items() if k not in places} for run in runs]
    text = json.dumps([settings, {name: str(d) for name, d in space.items()}, seed], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _open(name: str, out: Path, storage: str | None) -> "optuna.Study":
    try:
        import optuna
    except ImportError:
        raise UserError(MISSING) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    make = functools.partial(
        optuna.create_study, study_name=name, direction="maximize", load_if_exists=True,
        # Runs are stopped early by fer_tf.sweeps.halving, with a search or without.
        pruner=optuna.pruners.NopPruner(),
    )  # fmt: skip
    if storage is None:
        _mend(out / JOURNAL)
        backend = optuna.storages.journal.JournalFileBackend(str(out / JOURNAL))
        return make(storage=optuna.storages.JournalStorage(backend))
    try:
        return make(storage=storage)
    except Exception as error:  # SQLAlchemy's, of its drivers and of what they import: hundreds of classes.
        what = " ".join(str(error).split())[:300]
        raise UserError(f"Cannot use the database {_without_password(storage)}: {what}") from None


def _mend(journal: Path) -> None:
    """Remove what a killed process left: half a line at the end (a full disk), and its lock."""
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink(missing_ok=True)
    if journal.is_file():
        content = journal.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            with journal.open("r+b") as file:
                file.truncate(len(whole))


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
