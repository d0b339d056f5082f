"""The command line that all studies share."""

import argparse
import fnmatch
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import registry
from fer_tf.datasets import DATASETS
from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.io import atomic
from fer_tf.training import processor
from fer_tf.training.config import PRECISIONS, RunConfig
from fer_tf.tuning import flags, space

if TYPE_CHECKING:
    from fer_tf.tuning.runner import Executor, Result, TableCache

# Defaults under which some twenty runs on clear drawn faces end apart, within four minutes on two cores.
BUILT_IN = {
    "dataset": "synthetic(faces=6000, ambiguity=0.0, occlusion=0.0)", "model": "vgg(depth=1, head=(1024,))",
    "epochs": 7, "batch_size": 64,
}  # fmt: skip
# What --quick means; a flag that is given wins.
QUICK = {"epochs": 2, "limit": 512, "batch_size": 32}


@dataclass(frozen=True)
class Study:
    """A scripted experiment.

    Attributes:
        name: default output folder below ``runs/``.
        description: the module's docstring; its lines are the ``--help`` text.
        configs: makes the runs from the parsed options, seed by seed.
        report: writes figures and pages from the results into the output folder; returns the files written. A title
            stands for a report without figures and tables of its own.
        add_arguments: adds the study's own flags.
        defaults: defaults of flags that differ from the shared ones.
        without: shared flags that the study does not take, such as ``--width``; ``defaults`` has what they stand for.
    """

    name: str
    description: str
    configs: Callable[[argparse.Namespace], list[RunConfig]]
    report: Callable[["Sequence[Result]", Path, argparse.Namespace], list[Path]] | str
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
    flags.add_arguments(group, _positive(int), _positive(float))
    study.add_arguments(p)
    p.set_defaults(**study.defaults)


def main(study: Study, arguments: Sequence[str] | None = None) -> None:
    """Run a study from the command line and end the process.

    A study whose later runs need the networks of earlier ones has ``configs`` give the runs that can start, and is
    asked again after them, until it gives no new ones.

    Exit codes: 0 when every run ended well, 1 when some failed (the others are complete), 2 for a user's mistake,
    130 when interrupted (the same command continues).
    """
    options = _parse(study, arguments)
    # TensorFlow's notes on the graphics card that is not there, and on a new network being a new function.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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


def run(study: Study, options: argparse.Namespace) -> int:
    """Do all runs of a study, write its report, and return the exit code."""
    flags.check(options)
    everything = study.configs(options)
    configs = [c for c in everything if _wanted(c.name, options.only)]
    if not configs:
        names = ", ".join(c.name for c in everything)
        raise UserError(f"No run matches {', '.join(options.only)}. Available: {names}.")
    if options.list:
        _show(configs)
        for name, varied in flags.searched(options, configs).items() if options.search else ():
            print(f"searched: {name}: {space.describe(varied)}")
        return 0
    import keras

    from fer_tf.tuning import study_page
    from fer_tf.tuning.runner import TableCache

    if options.jit and keras.backend.backend() == "tensorflow" and processor.uses_onednn():
        sys.stderr.write("--jit: TensorFlow uses oneDNN here, and XLA does not: steps are faster without --jit.\n")
    load = TableCache()
    executor = flags.executor(options, load)
    if options.search:
        results, written = _search(study, options, configs, load, executor)
    else:
        results = _all_runs(study, options, everything, load, executor)
        title = study.report
        written = (
            study_page.write(results, options.out, title)
            if isinstance(title, str)
            else study.report(results, options.out, options)
        )
    print(study_page.Ranking.of(results).text())
    for path in written:
        print(f"wrote {path}")
    failed = [r for r in results if r.status == "failed"]
    if failed:
        sys.stderr.write(
            f"{len(failed)} of {len(results)} runs failed; {options.out / 'results.csv'} has the reasons\n"
        )
    return 1 if failed else 0


def _all_runs(
    study: Study, options: argparse.Namespace, everything: Sequence[RunConfig], load: "TableCache", executor: "Executor"
) -> "list[Result]":
    from fer_tf.tuning.runner import run_all

    checked, results = set(), []
    while configs := [c for c in everything if _wanted(c.name, options.only) and c.name not in checked]:
        _check(configs, load, options.devices)
        _tell_skipped(load(configs[0])["train"].skipped, options.out)
        checked |= {c.name for c in configs}
        results = run_all(everything, options.out, load, checked, executor)
        everything = study.configs(options)
    return results


def _search(
    study: Study, options: argparse.Namespace, configs: Sequence[RunConfig], load: "TableCache", executor: "Executor"
) -> "tuple[list[Result], list[Path]]":
    from fer_tf.tuning import search

    varied, out = flags.searched(options, configs), options.out
    _check([*configs, *space.corners(configs, varied)], load, options.devices)
    _tell_skipped(load(configs[0])["train"].skipped, out)
    trials = options.trials or (flags.QUICK_TRIALS if options.quick else flags.TRIALS)
    with atomic.folder_lock(out):
        found = search.Search(study.name, configs, varied, trials, out, options.storage, options.seeds[0])
        results = search.run_search(found, executor)
    return results, search.report(results, out, options)


def _show(configs: Sequence[RunConfig]) -> None:
    """Print a line a run: its name, and in which settings it differs from the first; for that one, all of these."""
    rows = [c.to_json() for c in configs]
    differing = [k for k in rows[0] if k != "name" and any(row[k] != rows[0][k] for row in rows)]
    longest = max(len(c.name) for c in configs)
    for row in rows:
        shown = [k for k in differing if row is rows[0] or row[k] != rows[0][k]]
        cells = [f"{k}={row[k]:g}" if isinstance(row[k], float) else f"{k}={row[k]}" for k in shown]
        print(f"{row['name']:{longest}}  {', '.join(cells)}".rstrip())


def _check(configs: Sequence[RunConfig], load: "TableCache", devices: int) -> None:
    """Fail before the first run for what would end any of them: paths, crops, values, networks."""
    from fer_tf.training.parts import build_objective, build_parts

    # Those of one dataset together: the cache holds one.
    for config in sorted(configs, key=lambda c: (c.dataset, c.cover or "", c.label_noise, c.seed)):
        build_parts(config, load(config), devices)
    for config in {(c.model, c.objective, c.start): c for c in configs}.values():
        build_objective(config, load(config))


def _tell_skipped(skipped: Sequence[str], out: Path) -> None:
    if skipped:
        atomic.write_text(out / "skipped.txt", "\n".join(skipped) + "\n")
        sys.stderr.write(f"left out {len(skipped)} unreadable rows, listed in {out / 'skipped.txt'}\n")


def shared_settings(options: argparse.Namespace) -> dict:
    """Return what the shared flags fix, as keywords of ``RunConfig``."""
    return {
        "dataset": options.dataset,
        "data": str(Path(options.data).absolute()) if options.data else None,
        "skip_bad": options.skip_bad,
        "limit": options.limit,
        "image_size": options.size,
        "crop": options.crop or None,
        "loss": options.loss or _usual_loss(options.dataset),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "view": options.view,
        "jit_compile": options.jit,
        "precision": options.precision,
    }


def runs(options: argparse.Namespace, variants: Mapping[str, Mapping[str, Any]], **settings: Any) -> list[RunConfig]:
    """Return a run for each variant, seed by seed.

    Args:
        options: of the study; the shared flags.
        variants: what differs, by name of the run: keywords of ``RunConfig``.
        settings: further keywords, the same for all. They win over the shared flags, and variants win over both.
    """
    shared = {**shared_settings(options), **settings}
    return over_seeds([RunConfig(name=name, **{**shared, **own}) for name, own in variants.items()], options.seeds)


def add_learning_rate(group: Callable[..., Any], default: float, rule: str = "AdamW") -> None:
    """Add ``--learning-rate`` to a group's ``add_argument``."""
    group("--learning-rate", type=float, default=default, help=f"of {rule} (default %(default)s)")


def adamw(options: argparse.Namespace) -> dict[str, Any]:
    """Return the usual recipe as keywords of ``RunConfig``: AdamW, up to one epoch of warm-up and one cosine."""
    warmup = f"warmup_cosine(warmup={min(1, options.epochs / 10):g})"
    rate = {"optimizer": "adamw", "learning_rate": options.learning_rate, "weight_decay": 0.05}
    return {**rate, "schedule": warmup, "augment": ("light",)}


def sized(model: str, width: float) -> str:
    """Return a model's call string with ``width`` set, unless it sets its own."""
    name, keywords = registry.parse(model)
    return registry.render(name, {"width": width, **keywords})


def finished(config: RunConfig, out: Path) -> Path | None:
    """Return the absolute path of a run's network, or nothing while it is not there."""
    from fer_tf.training.run import METRICS, MODEL
    from fer_tf.tuning.runner import run_folder

    folder = run_folder(config, out).absolute()
    return folder / MODEL if (folder / METRICS).is_file() else None


def augmentations(text: str) -> tuple[str, ...]:
    """Split ``--augment``: a preset's name, or call strings separated by ``;``."""
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _usual_loss(dataset: str) -> str:
    # FER+'s multi-target mode is a way to read votes and a loss for them; under another loss it is another method.
    _, keywords = registry.parse(dataset)
    return "multi_target" if keywords.get("mode") == "multi_target" else "cross_entropy"


def over_seeds(configs: Sequence[RunConfig], seeds: Sequence[int]) -> list[RunConfig]:
    """Repeat configurations for every seed; the seed joins the name when there are several."""
    return [
        replace(c, seed=seed, name=f"{c.name}-seed{seed}" if len(seeds) > 1 else c.name)
        for seed in seeds
        for c in configs
    ]


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
