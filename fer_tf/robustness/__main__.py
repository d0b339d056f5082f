"""Measure how a network bears corrupted faces, and whether it changes its mind when a face moves by a pixel.

Every corruption at five severities, its error against that of a reference network, and drift: how often the most
probable class changes under shifts of 1 and 2 pixels and under JPEG. Writes report.html, errors.csv, corruptions.csv,
drift.csv, figures and robustness.json. The page and worst.png show faces of the dataset.

Masks need landmarks: of the dataset, of a file that python -m fer_tf.faces landmarks wrote, or "canonical", five points
where FER2013's faces have them in the median. A face without them is left out of that row, and the page says so.

examples:
  python -m fer_tf.robustness default
  python -m fer_tf.robustness default --dataset fer2013 --data DIR --landmarks canonical
  python -m fer_tf.robustness runs/zoo/winner.keras --reference default --dataset rafdb --data DIR --view flip
  python -m fer_tf.robustness default --dataset fer2013 --data DIR --split validation --only drift
  python -m fer_tf.robustness default --only "*_noise" --only jpeg --reference none

exit codes: 0 done, 2 a mistake in the command, 130 interrupted"""

import argparse
import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.robustness import CORRUPTIONS

if TYPE_CHECKING:
    from fer_tf.facetable import FaceTable

DRIFT, CANONICAL = "drift", "canonical"


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says and end the process."""
    options = parser().parse_args(arguments)
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    exit_on_user_error(run, options)


def parser() -> argparse.ArgumentParser:
    """Make the argument parser."""
    p = argparse.ArgumentParser(prog="python -m fer_tf.robustness", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add = p.add_argument
    add("model", metavar="MODEL", help="a shipped network or the path of a .keras file")
    add("--reference", metavar="MODEL", help="network that errors are divided by, robustness.json of an earlier run on "
        "the same faces, or none (default: the shipped fer2013, stored for FER2013's test faces)")  # fmt: skip
    add("--view", default="center", help="how faces are shown to MODEL, see evaluation (default %(default)s)")
    add("--seed", type=int, default=0, help="of the corruptions (default %(default)s)")
    add("--only", action="append", metavar="PATTERN",
        help=f"only what matches: {', '.join(CORRUPTIONS)}, {DRIFT}; repeatable")  # fmt: skip
    add("--out", type=Path, default=Path("runs/robustness"), metavar="DIR", help="default %(default)s")
    data = p.add_argument_group("faces").add_argument
    data("--dataset", default="synthetic", metavar="NAME", help="name or call string (default %(default)s)")
    data("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    data("--split", default="test", help="train, validation or test (default %(default)s)")
    data("--limit", type=int, metavar="N", help="use at most N faces, evenly spaced")
    data("--skip-bad", action="store_true", help="leave out unreadable rows")
    data("--landmarks", metavar="FILE", help="table of landmarks, or canonical; for masks")
    return p


def run(options: argparse.Namespace) -> None:
    """Do what the arguments say."""
    chosen = [name for name in (*CORRUPTIONS, DRIFT) if _wanted(name, options.only)]
    if not chosen:
        raise UserError(f"Nothing matches {', '.join(options.only)}. Available: {', '.join(CORRUPTIONS)}, {DRIFT}.")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} is negative. Expected 0 or more.")
    table = _faces(options)
    # Keras takes seconds to load: what is wrong with the faces is said before.
    from fer_tf.robustness import audit, report

    corruptions = tuple(name for name in chosen if name != DRIFT)
    wanted = audit.Plan(
        options.model, corruptions, DRIFT in chosen, options.reference, options.view, options.seed,
        options.landmarks == CANONICAL, f"{options.dataset}, {options.split}",
    )  # fmt: skip
    outcome = audit.measure(table, wanted)
    written = report.write(outcome, options.out)
    for line in (*outcome.skipped, *report.lines(outcome), *(f"wrote {path}" for path in written)):
        print(line)


def _wanted(name: str, patterns: Sequence[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _faces(options: argparse.Namespace) -> "FaceTable":
    import numpy as np

    from fer_tf import datasets
    from fer_tf.datasets.landmarks import with_landmarks

    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit} leaves nothing. Expected at least 1.")
    table = datasets.get(options.dataset, options.data, options.skip_bad).select(options.split)
    if table.images is None:
        raise UserError("This dataset leaves its pictures on disk. Give it a size=, so that they are read.")
    if options.landmarks and options.landmarks != CANONICAL:
        table = with_landmarks(table, options.landmarks)
    if options.limit and options.limit < len(table):
        table = table.take(np.linspace(0, len(table), options.limit, endpoint=False).astype(int))
    return table


if __name__ == "__main__":
    main()
