"""Add and check the flags of searches, early stopping and clusters."""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from fer_tf import tuning
from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig
from fer_tf.tuning.space import space_of

TRIALS, QUICK_TRIALS = 20, 4
SPACE = "optimizer,rate,decay,schedule,augment"


def add_arguments(group: Callable[[str], Callable[..., None]], count: Callable, amount: Callable) -> None:
    """Add the flags; ``count`` and ``amount`` read positive whole and other numbers."""
    search = group("search and early stopping")
    search("--search", choices=("optuna",), help="search among the runs and their settings (TPE) in place of all runs")
    search("--trials", type=count, metavar="N", help=f"runs of the search (default {TRIALS}; --quick: {QUICK_TRIALS})")
    search("--space", default=SPACE, metavar="NAME,…",
           help="what it varies beside the run: of optimizer, rate, decay, schedule, augment, dropout "
           "(default %(default)s)")  # fmt: skip
    search("--storage", metavar="URL",
           help="database of a search on many hosts, each with another --out (default: a file in it)")  # fmt: skip
    search("--stop-early", type=count, nargs="?", const=0, metavar="EPOCHS",
           help="after so many epochs (default: a ninth of --epochs), and thrice as many …, only the best third of "
           "the runs that came as far go on")  # fmt: skip
    where = group("where runs run")
    where("--executor", choices=("local", "ray"), default="local",
          help="local: one after the other in this process; ray: on a Ray cluster (default %(default)s)")  # fmt: skip
    where("--runs-at-once", type=count, default=1, metavar="N",
          help="runs that train at the same time in processes of their own, each with its share of the cores: for "
          "narrow networks; two runs of one thread make 3,908 faces a second of vgg(width=0.125) together, one of two "
          "threads 2,425 (2 cores of an AMD EPYC, Zen 4; default %(default)s: one with all cores)")  # fmt: skip
    where("--devices", type=count, default=1, metavar="N",
          help="graphics cards of this machine that share each batch of a run (default %(default)s)")  # fmt: skip
    where("--processes", type=int, default=0, metavar="N",
          help="processes that augment a run's faces: for many cores and a network that waits for faces (default "
          "%(default)s: threads of this process)")  # fmt: skip
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
    on_ray = options.executor == "ray"
    for flag, asked, name, extra, needing in (
        ("--search optuna", options.search, "Optuna", "search", ("trials", "storage")),
        ("--stop-early", options.stop_early is not None, "Optuna", "search", ()),
        ("--executor ray", on_ray, "Ray", "cluster", ("address", "cpus_per_run", "gpus_per_run", "retries")),
    ):
        if asked and importlib.util.find_spec(name.lower()) is None:
            raise UserError(f"{flag} needs {name}: pip install 'fer-tf[{extra}]'.")
        useless = [other for other in needing if getattr(options, other) is not None and not asked]
        if useless:
            raise UserError(f"--{useless[0].replace('_', '-')} needs {flag}.")
    if options.search and len(options.seeds) > 1:
        raise UserError("--search takes one seed. Repeat what it finds with several.")
    local = {
        "--devices": options.devices > 1, "--processes": options.processes > 0,
        "--runs-at-once": options.runs_at_once > 1,
    }  # fmt: skip
    for flag, used in local.items():
        if used and on_ray:
            raise UserError(f"{flag} is for runs on this machine, --executor ray gives them away. Leave one out.")
    if options.devices > 1 and options.runs_at_once > 1:
        raise UserError("--devices gives a run several graphics cards, --runs-at-once shares them. Leave one out.")
    for flag, number in (("--retries", options.retries), ("--processes", options.processes)):
        if number is not None and number < 0:
            raise UserError(f"{flag} is {number}. Expected 0 or more.")


def executor(options: argparse.Namespace, load: Callable) -> Callable:
    """Return the executor that the flags ask for; ``load`` gives the tables of runs in this process."""
    from fer_tf.tuning.at_once import AtOnce
    from fer_tf.tuning.runner import Local

    stop = None
    if options.stop_early is not None:
        # The second comparison is then at a third of the epochs.
        stop = tuning.Halving(options.stop_early or max(1, options.epochs // 9))
    # A process with XLA grows by all that it compiles, 30 MB a run and more: each run has one of its own.
    if options.executor == "local" and (options.runs_at_once > 1 or (options.jit and options.devices == 1)):
        return AtOnce(options.runs_at_once, stop, options.processes)
    if options.executor == "local":
        return Local(load, stop, options.devices, options.processes)
    wanted = {"cpus": options.cpus_per_run, "gpus": options.gpus_per_run, "retries": options.retries}
    given = {name: value for name, value in wanted.items() if value is not None}
    return tuning.Ray(options.address, **given, stop=stop)


def searched(options: argparse.Namespace, runs: Sequence[RunConfig]) -> dict[str, Any]:
    """Return the space that ``--space`` names.

    Example:
        >>> list(searched(argparse.Namespace(space="dropout, rate"), [RunConfig(name="a")]))
        ['rate', 'dropout']
    """
    return space_of([name.strip() for name in options.space.split(",") if name.strip()], runs)
