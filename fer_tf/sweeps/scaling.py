"""The flags with which a study searches, stops bad runs, and runs on a cluster."""

import argparse
import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    from fer_tf.sweeps.runner import Executor, Result, TableCache

TRIALS, QUICK_TRIALS = 20, 4
SPACE = "optimizer,rate,decay,schedule,augment"
# Flags that do nothing without another one.
NEED = {
    "search": ("trials", "storage"),
    "executor": ("address", "cpus_per_run", "gpus_per_run", "retries"),
}


def add_arguments(group: Callable[[str], Callable[..., None]], count: Callable, amount: Callable) -> None:
    """Add the flags; ``count`` and ``amount`` read positive whole and other numbers."""
    search = group("search and early stopping")
    search("--search", choices=("optuna",), help="search among the runs and their settings (TPE) in place of all runs")
    search("--trials", type=count, metavar="N", help=f"runs of the search (default {TRIALS}; --quick: {QUICK_TRIALS})")
    search("--space", default=SPACE, metavar="NAME,…",
           help="what it varies beside the run: of optimizer, rate, decay, schedule, augment, dropout "
           "(default %(default)s)")  # fmt: skip
    search("--storage", metavar="URL",
           help="database of a search on many hosts, each with another --out (default: a journal in it)")  # fmt: skip
    search("--stop-early", type=count, nargs="?", const=0, metavar="EPOCHS",
           help="after so many epochs (default: a ninth of --epochs), and thrice as many …, only the best third of "
           "the runs that came as far go on")  # fmt: skip
    where = group("where runs run")
    where("--executor", choices=("local", "ray"), default="local",
          help="local: one after the other in this process; ray: on a Ray cluster (default %(default)s)")  # fmt: skip
    where("--devices", type=count, default=1, metavar="N",
          help="graphics cards of this machine that share each batch of a run (default %(default)s)")  # fmt: skip
    where("--processes", type=count, default=0, metavar="N",
          help="processes that augment a run's faces: for many cores and a network that waits for faces (default: "
          "threads of this process)")  # fmt: skip
    where("--address", metavar="HOST:PORT", help="of a running cluster, or auto; without, this machine alone is one")
    where("--cpus-per-run", type=amount, metavar="N", help="CPU cores, and threads, of a run (default 1)")
    where("--gpus-per-run", type=amount, metavar="N", help="graphics cards of a run, or a part of one (default none)")
    where("--retries", type=int, metavar="N", help="workers that a run may lose and be given another (default 2)")


def check(options: argparse.Namespace) -> None:
    """Refuse flags that would do nothing, and what is not installed.

    Raises:
        UserError: a flag without the one it belongs to or beside one that excludes it, a search over seeds, or a
            missing extra.
    """
    asked = {"search": options.search, "executor": options.executor == "ray"}
    for what, package, room in (("search", "optuna", "search"), ("executor", "ray", "cluster")):
        if asked[what] and importlib.util.find_spec(package) is None:
            raise UserError(importlib.import_module(f"fer_tf.sweeps.{room}").MISSING)
    needed = {"search": "--search optuna", "executor": "--executor ray"}
    for what, flags in NEED.items():
        for flag in flags:
            if getattr(options, flag) is not None and not asked[what]:
                raise UserError(f"--{flag.replace('_', '-')} needs {needed[what]}.")
    if options.search and len(options.seeds) > 1:
        raise UserError("--search takes one seed. Repeat what it finds with several.")
    for flag, used in (("--devices", options.devices > 1), ("--processes", options.processes > 0)):
        if used and asked["executor"]:
            raise UserError(f"{flag} is for runs on this machine, --executor ray gives them away. Leave one out.")
    if options.retries is not None and options.retries < 0:
        raise UserError(f"--retries is {options.retries}. Expected 0 or more.")


@contextlib.contextmanager
def executor(options: argparse.Namespace, load: "TableCache") -> "Iterator[Executor]":
    """Give the executor that the flags ask for; close it at the end."""
    from fer_tf.sweeps.halving import Halving, first_rung

    stop = None
    if options.stop_early is not None:
        stop = Halving(options.stop_early or first_rung(options.epochs))
    if options.executor == "local":
        from fer_tf.sweeps.runner import Local

        yield Local(load, stop, options.devices, options.processes)
        return
    from fer_tf.sweeps.cluster import Ray

    wanted = {"cpus": options.cpus_per_run, "gpus": options.gpus_per_run, "retries": options.retries}
    given = {name: value for name, value in wanted.items() if value is not None}
    with Ray(options.address, **given, stop=stop) as ray:
        yield ray


def corners(options: argparse.Namespace, runs: Sequence[RunConfig]) -> list[RunConfig]:
    """Return a run for every choice and end of what is searched, to be checked before the search."""
    from fer_tf.sweeps import space

    return space.corners(runs, _space(options, runs))


def show(options: argparse.Namespace, runs: Sequence[RunConfig]) -> None:
    """Print what a search varies, a line a dimension."""
    if options.search:
        for name, dimension in _space(options, runs).items():
            print(f"searched: {name}: {dimension}")


def search(name: str, runs: Sequence[RunConfig], options: argparse.Namespace, executor: "Executor") -> "list[Result]":
    """Search from ``runs`` in ``options.out``; return the results."""
    from fer_tf.io import atomic
    from fer_tf.sweeps.search import Search, run_search

    trials = options.trials or (QUICK_TRIALS if options.quick else TRIALS)
    with atomic.folder_lock(options.out):
        found = Search(name, runs, _space(options, runs), trials, options.out, options.storage, options.seeds[0])
        return run_search(found, executor)


def search_report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Print the best trial; write the page and the winner of a search. The study's own report is of its own runs."""
    import pandas as pd

    from fer_tf.sweeps import study_page
    from fer_tf.sweeps.search import TABLE

    trials = pd.read_csv(out / TABLE)
    shown = trials.assign(val_accuracy=(100 * trials["val_accuracy"]).round(2))
    shown = shown.map(lambda value: f"{value:.3g}" if isinstance(value, float) and abs(value) < 10 else value)
    best = trials[trials["state"] == "complete"].nlargest(1, "val_accuracy").index
    for row in shown.loc[best].to_dict("records"):
        values = ", ".join(f"{name}={row[name]}" for name in trials.columns[3:])
        print(f"best of {len(trials)} trials: {row['trial']:03d} with {row['val_accuracy']} %: {values}")
    title = f"Search of {len(trials)} trials"
    return [*study_page.write(results, out, title, lambda _: [], [("Trials", shown)]), out / TABLE]


def _space(options: argparse.Namespace, runs: Sequence[RunConfig]) -> dict[str, Any]:
    from fer_tf.sweeps.space import space_of

    return space_of([name.strip() for name in options.space.split(",") if name.strip()], runs)
