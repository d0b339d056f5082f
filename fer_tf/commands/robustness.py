"""Implement ``fer-tf robustness``."""

import argparse
import fnmatch
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_tf import datasets
from fer_tf.datasets.landmarks import with_landmarks
from fer_tf.errors import UserError, printable
from fer_tf.facetable import FaceTable
from fer_tf.robustness import benchmark, report
from fer_tf.robustness.corruptions import CORRUPTIONS

DESCRIPTION = """Measure how corrupted and slightly shifted faces change the predictions of a network.

Measures the errors under every corruption at five severities, against those of a reference network, and prediction
flips: how often the most probable class changes under shifts of 1 and 2 pixels and under JPEG. Writes report.html,
errors.csv, corruptions.csv, flips.csv, figures and robustness.json. The page and worst.png show faces of the dataset.

Masks need landmarks: of the dataset, of a file that fer-tf landmarks wrote, or "canonical", five points where FER2013's
faces have them in the median. A face without them is left out of that row, and the page says so."""

EXAMPLES = """examples:
  fer-tf robustness default
  fer-tf robustness default --dataset fer2013 --data DIR --landmarks canonical
  fer-tf robustness runs/zoo/winner.keras --reference default --dataset rafdb --data DIR --view flip
  fer-tf robustness default --dataset fer2013 --data DIR --split validation --only flips
  fer-tf robustness default --only "*_noise" --only jpeg --reference none

exit codes: 0 done, 2 a mistake in the command, 130 interrupted"""

_FLIPS, _CANONICAL = "flips", "canonical"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a shipped network or the path of a .keras file")
    add("--reference", metavar="MODEL", help="network that errors are divided by, robustness.json of an earlier run on "
        "the same faces, or none (default: the shipped fer2013, stored for FER2013's test faces)")  # fmt: skip
    add("--view", default="center", help="how faces are shown to MODEL, see evaluation (default %(default)s)")
    add("--seed", type=int, default=0, help="of the corruptions (default %(default)s)")
    add("--only", action="append", metavar="PATTERN",
        help=f"only what matches: {', '.join(CORRUPTIONS)}, {_FLIPS}; repeatable")  # fmt: skip
    add("--out", type=Path, default=Path("runs/robustness"), metavar="DIR", help="default %(default)s")
    data = parser.add_argument_group("faces").add_argument
    data("--dataset", default="synthetic", metavar="NAME", help="name or call string (default %(default)s)")
    data("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    data("--split", default="test", help="train, validation or test (default %(default)s)")
    data("--limit", type=int, metavar="N", help="use at most N faces, evenly spaced")
    data("--skip-bad", action="store_true", help="leave out unreadable rows")
    data("--landmarks", metavar="FILE", help="table of landmarks, or canonical; for masks")


def run(options: argparse.Namespace) -> None:
    """Run the benchmark and write its report."""
    chosen = [name for name in (*CORRUPTIONS, _FLIPS) if _wanted(name, options.only)]
    if not chosen:
        raise UserError(f"Nothing matches {', '.join(options.only)}. Available: {', '.join(CORRUPTIONS)}, {_FLIPS}.")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} is negative. Expected 0 or more.")
    table = _faces(options)
    plan = benchmark.BenchmarkPlan(
        options.model, tuple(name for name in chosen if name != _FLIPS), _FLIPS in chosen, options.reference,
        options.view, options.seed, options.landmarks == _CANONICAL, f"{options.dataset}, {options.split}",
    )  # fmt: skip
    result = benchmark.run_benchmark(table, plan)
    written = report.write_report(result, options.out)
    for line in (*result.skipped, *report.summary_lines(result), *(f"wrote {printable(path)}" for path in written)):
        print(line)


def _wanted(name: str, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _faces(options: argparse.Namespace) -> FaceTable:
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit} leaves nothing. Expected at least 1.")
    table = datasets.get(options.dataset, options.data, options.skip_bad).select(options.split)
    if table.images is None:
        raise UserError("This dataset leaves its pictures on disk. Give it a size=, so that they are read.")
    if options.landmarks and options.landmarks != _CANONICAL:
        table = with_landmarks(table, options.landmarks)
    if options.limit and options.limit < len(table):
        table = table.take(np.linspace(0, len(table), options.limit, endpoint=False).astype(int))
    return table
