"""Parse a study's command line, do its runs and write its report."""

import argparse
import fnmatch
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_tf import cli, tuning
from fer_tf.datasets import DATASETS
from fer_tf.errors import UserError, exit_on_user_error, printable
from fer_tf.io import atomic
from fer_tf.training import processor
from fer_tf.training.config import PRECISIONS, RunConfig

# Defaults under which some twenty runs on clear drawn faces end apart, within four minutes on two cores.
BUILT_IN = {
    "dataset": "synthetic(faces=6000, ambiguity=0.0, occlusion=0.0)", "model": "vgg(depth=1, head=(1024,))",
    "epochs": 7, "batch_size": 64,
}  # fmt: skip
# What --quick means; a flag that is given wins.
QUICK = {"epochs": 2, "limit": 512, "batch_size": 32}
TRIALS, QUICK_TRIALS = 20, 4
SPACE = "optimizer,rate,decay,schedule,augment"


@dataclass(frozen=True)
class Study:
    """A scripted experiment.

    Attributes:
        name: default output folder below ``runs/``.
        title: heading of its pages.
        description: the module's docstring; its lines are the ``--help`` text.
        configs: makes the runs from the parsed options, seed by seed.
        report: from the finished runs, at least one, to the study's own figures and tables: keywords of
            ``study_page.write``.
        add_arguments: adds the study's own flags.
        defaults: defaults of flags that differ from the shared ones.
        without: shared flags that the study does not take, such as ``--width``; ``defaults`` has what they stand for.
    """

    name: str
    title: str
    description: str
    configs: Callable[[argparse.Namespace], list[RunConfig]]
    report: Callable[["Sequence[tuning.runner.Result]", argparse.Namespace], dict[str, Any]] | None = None
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


def parser(study: Study) -> argparse.ArgumentParser:
    """Create the argument parser of a study's script."""
    p = argparse.ArgumentParser(description=study.description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(p, study)
    return p


def add_arguments(p: argparse.ArgumentParser, study: Study) -> None:
    """Add the flags that all studies share, then the study's own."""

    def group(title: str) -> Callable[..., None]:
        add = p.add_argument_group(title).add_argument
        return lambda flag, **keywords: None if flag in study.without else add(flag, **keywords)

    data = group("data")
    names = f"{', '.join(DATASETS)}, or a call string such as \"ferplus(mode='probability')\""
    data("--dataset", default="synthetic", metavar="NAME", help=names)
    data("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    data("--skip-bad", action="store_true", help="leave out unreadable rows and say which")
    data("--limit", type=_positive(int), metavar="N", help="use at most N faces of each split")
    data("--crop", type=_crop, default=40, metavar="PX",
         help="side of the square the network sees; 0 for the whole picture (default %(default)s)")  # fmt: skip
    run = group("runs")
    run("--epochs", type=_positive(int), default=6, help="default %(default)s")
    run("--model", default="vgg", help="call string of the network (default %(default)s)")
    run("--width", type=_positive(float), default=0.125,
        help="multiplies the network's channels; 1 is the published size (default %(default)s)")  # fmt: skip
    run("--size", type=_positive(int), metavar="PX", help="bring faces to this side first (default: as they are)")
    run("--loss", metavar="NAME", help="call string (default cross_entropy; multi_target for FER+'s mode of that name)")
    run("--batch-size", type=_positive(int), default=128, help="default %(default)s")
    run("--seeds", type=_seeds, default=(0,), metavar="N,N,…", help="one run a seed (default 0)")
    run("--view", default="center", help="how test faces are shown: center, flip or ten_crop (default %(default)s)")
    run("--precision", choices=PRECISIONS, default="auto",
        help="what training computes in; auto: bfloat16 on graphics cards and on processors that have it (avx512_bf16, "
        "amx_bf16), except for networks with depthwise convolutions, which are slower so; weights, evaluation and "
        "files are float32 (default %(default)s)")  # fmt: skip
    run("--jit", action="store_true",
        help="compile with XLA: for graphics cards and JAX. On processors where TensorFlow uses oneDNN it is slower: "
        "466 faces a second against 861 (resnet10 at width 0.5, float32, 2 cores of an AMD EPYC, Zen 4)")  # fmt: skip
    what = group("what to do")
    what("--only", action="append", metavar="PATTERN", help="only runs whose name matches, e.g. 'adam*'; repeatable")
    what("--quick", action="store_true", help="a look in two minutes: 512 faces, two epochs, batches of 32")
    what("--list", action="store_true", help="show the runs and stop")
    what("--out", type=Path, default=Path("runs") / study.name, metavar="DIR", help="default %(default)s")
    _add_search_and_executor(group)
    study.add_arguments(p)
    p.set_defaults(**study.defaults)


def _add_search_and_executor(group: Callable[[str], Callable[..., None]]) -> None:
    count, amount = _positive(int), _positive(float)
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


def main(study: Study, arguments: Sequence[str] | None = None) -> None:
    """Run a study from the command line and end the process.

    A study whose later runs need the networks of earlier ones has ``configs`` give the runs that can start, and is
    asked again after them, until it gives no new ones.

    Exit codes: 0 when every run ended well, 1 when some failed (the others are complete), 2 for a user's mistake,
    130 when interrupted (the same command continues).
    """
    options = _parse(study, arguments)
    # Without TensorFlow's notes on the graphics card that is not there, and on a new network being a new function.
    cli.prepare_environment(training=True)
    # This process would take a whole graphics card, and leave none of it to runs in processes of their own.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    exit_on_user_error(run, study, options)


def _parse(study: Study, arguments: Sequence[str] | None) -> argparse.Namespace:
    p = parser(study)
    options = p.parse_args(arguments)
    if options.quick:
        p.set_defaults(**QUICK, out=Path("runs") / f"{study.name}_quick")
        options = p.parse_args(arguments)
    return options


def _check_flags(options: argparse.Namespace) -> None:
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


def run(study: Study, options: argparse.Namespace) -> int:
    """Do all runs of a study, write its report, and return the exit code."""
    _check_flags(options)
    everything = study.configs(options)
    configs = [c for c in everything if _wanted(c.name, options.only)]
    if not configs:
        names = ", ".join(c.name for c in everything)
        raise UserError(f"No run matches {', '.join(options.only)}. Available: {names}.")
    if options.list:
        _show(configs)
        for name, varied in _space(options, configs).items() if options.search else ():
            print(f"searched: {name}: {tuning.search.describe(varied)}")
        return 0
    import keras

    if options.jit and keras.backend.backend() == "tensorflow" and processor.uses_onednn():
        sys.stderr.write("--jit: TensorFlow uses oneDNN here, and XLA does not: steps are faster without --jit.\n")
    load = tuning.runner.TableCache()
    if options.search:
        results, written = _search(study, options, configs, load)
    else:
        results = _all_runs(study, options, everything, load)
        finished = [r for r in results if r.metrics]
        parts = study.report(finished, options) if study.report and finished else {}
        written = tuning.study_page.write(results, options.out, study.title, **parts)
    print(tuning.study_page.Ranking.of(results).text())
    for path in written:
        print(f"wrote {printable(path)}")
    failed = [r for r in results if r.status == "failed"]
    if failed:
        sys.stderr.write(
            f"{len(failed)} of {len(results)} runs failed; {options.out / 'results.csv'} has the reasons\n"
        )
    return 1 if failed else 0


def _all_runs(
    study: Study, options: argparse.Namespace, everything: Sequence[RunConfig], load: "tuning.runner.TableCache"
) -> "list[tuning.runner.Result]":
    checked, results, executor = set(), [], make_executor(options, load)
    while configs := [c for c in everything if _wanted(c.name, options.only) and c.name not in checked]:
        tuning.runner.check_runs(configs, load, options.devices)
        _tell_skipped(load(configs[0])["train"].skipped, options.out)
        checked |= {c.name for c in configs}
        results = tuning.runner.run_all(everything, options.out, load, checked, executor)
        everything = study.configs(options)
    return results


def _search(
    study: Study, options: argparse.Namespace, configs: Sequence[RunConfig], load: "tuning.runner.TableCache"
) -> "tuple[list[tuning.runner.Result], list[Path]]":
    varied, out = _space(options, configs), options.out
    tuning.runner.check_runs([*configs, *tuning.search.corners(configs, varied)], load, options.devices)
    _tell_skipped(load(configs[0])["train"].skipped, out)
    trials = options.trials or (QUICK_TRIALS if options.quick else TRIALS)
    with atomic.folder_lock(out):
        found = tuning.Search(study.name, configs, varied, trials, out, options.storage, options.seeds[0])
        results = tuning.run_search(found, make_executor(options, load))
    return results, tuning.search.report(results, out)


def make_executor(options: argparse.Namespace, load: "tuning.runner.TableCache") -> "tuning.runner.Executor":
    """Return the executor that the flags ask for.

    Args:
        options: of the study.
        load: gives the tables of runs in this process.
    """
    stop = None
    if options.stop_early is not None:
        # The second comparison is then at a third of the epochs.
        stop = tuning.Halving(options.stop_early or max(1, options.epochs // 9))
    # A process with XLA grows by all that it compiles, 30 MB a run and more: each run has one of its own.
    if options.executor == "local" and (options.runs_at_once > 1 or (options.jit and options.devices == 1)):
        return tuning.Processes(options.runs_at_once, stop, options.processes)
    if options.executor == "local":
        return tuning.runner.Local(load, stop, options.devices, options.processes)
    wanted = {"cpus": options.cpus_per_run, "gpus": options.gpus_per_run, "retries": options.retries}
    given = {name: value for name, value in wanted.items() if value is not None}
    return tuning.Ray(options.address, **given, stop=stop)


def _space(options: argparse.Namespace, configs: Sequence[RunConfig]) -> dict[str, Any]:
    return tuning.space_of([name.strip() for name in options.space.split(",") if name.strip()], configs)


def _show(configs: Sequence[RunConfig]) -> None:
    """Print a line a run: its name, and in which settings it differs from the first; for that one, all of these."""
    rows = [c.to_json() for c in configs]
    differing = [k for k in rows[0] if k != "name" and any(row[k] != rows[0][k] for row in rows)]
    longest = max(len(c.name) for c in configs)
    for row in rows:
        shown = [k for k in differing if row is rows[0] or row[k] != rows[0][k]]
        cells = [f"{k}={row[k]:g}" if isinstance(row[k], float) else f"{k}={row[k]}" for k in shown]
        print(f"{row['name']:{longest}}  {', '.join(cells)}".rstrip())


def _tell_skipped(skipped: Sequence[str], out: Path) -> None:
    if skipped:
        atomic.write_text(out / "skipped.txt", "\n".join(skipped) + "\n")
        sys.stderr.write(f"left out {len(skipped)} unreadable rows, listed in {out / 'skipped.txt'}\n")


def _wanted(name: str, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _positive(kind: type) -> Callable[[str], int | float]:
    def read(text: str) -> int | float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return read


def _crop(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0; 0 means the whole picture")
    return value


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 0,1,2") from None
