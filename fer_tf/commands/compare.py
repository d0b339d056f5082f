"""Implement ``fer-tf compare``."""

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer_tf import reports, stats, tuning
from fer_tf.errors import DataError, UserError, given_path, printable
from fer_tf.io import atomic
from fer_tf.io.tables import cell
from fer_tf.training.config import RunConfig

DESCRIPTION = """Compare finished runs on their test faces: which differences are more than chance?

Runs that differ in their seed alone are averaged. The setting that is best on validation is compared with each other
one: by a t-test over faces and, where there are several seeds, over seeds; by bootstrap over faces; and, for settings
of one run each, by McNemar's test. P-values are adjusted by Holm's method for all comparisons."""

EXAMPLES = """examples:
  fer-tf compare runs/vgg_optim_sweep
  fer-tf compare runs/a/runs/adam-1b2c3d4e runs/a/runs/sgd-5f6a7b8c
  fer-tf compare runs/ldl_study --reference majority --out figures

exit codes: 0 done, 2 a mistake in the command, such as runs with other test faces"""

# Standard deviations between seeds below this are those of runs that cannot be told apart.
ONE_POINT = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folder of a finished run, or of a study with its runs")
    add("--reference", metavar="NAME", help="setting that the others are compared with (default: best on validation)")
    add("--out", type=Path, metavar="DIR", help="write compare.csv, compare.md, intervals.png and ranks.png there")
    add("--seed", type=int, default=0, help="seed of the bootstrap (default %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Compare the runs, print the table, and write it where that is asked for."""
    settings = tuning.runner.ranked(_finished([given_path(run) for run in options.runs]))
    names = [setting.name for setting in settings]
    if len(settings) < 2:
        raise UserError(f"Only one setting is finished ({', '.join(names)}). Expected two or more to compare.")
    if options.reference is not None and options.reference not in names:
        raise UserError(f"No setting {options.reference!r}. Available: {', '.join(names)}.")
    right = _right(settings)
    reference = options.reference or names[0]
    table = compared(right, reference, options.seed)
    table.insert(0, "val", [100 * setting.val_accuracy for setting in settings])
    print(table.round(2).astype({"seeds": int}).to_string())
    print("\n" + textwrap.fill(_sentence(table, right, reference), 100))
    if options.out is not None:
        for path in _write(table, right, reference, options.out):
            print(f"wrote {printable(path)}")


def compared(right: Mapping[str, np.ndarray], reference: str, seed: int = 0) -> pd.DataFrame:
    """Compare settings with a reference on the same test faces.

    Args:
        right: name of a setting → bool (S, N), whether each of its S runs is right about each of N faces.
        reference: the name that the others are compared with.
        seed: seed of the bootstrap.

    Returns:
        A row a setting, percentages: ``seeds``, ``test`` and ``±``, half its 95 % interval; ``difference`` from the
        reference and its interval ``low`` to ``high`` by bootstrap over faces; three p-values, each adjusted by Holm's
        method, NaN where a test does not apply; and ``verdict`` by the t-test.
    """
    found = reports.significance.compare(right, reference)
    base = right[reference]
    rows = {}
    for name, runs in right.items():
        others = name != reference
        drawn = stats.paired_bootstrap(base.mean(axis=0), runs.mean(axis=0), seed=seed) if others else None
        alone = others and len(runs) == len(base) == 1
        rows[name] = {
            "seeds": len(runs), "test": 100 * found.loc[name, "accuracy"], "±": 100 * found.loc[name, "half"],
            "difference": 100 * found.loc[name, "difference"] if others else np.nan,
            "low": 100 * drawn.low if drawn else np.nan, "high": 100 * drawn.high if drawn else np.nan,
            "p (t)": found.loc[name, "p"], "p (bootstrap)": drawn.p if drawn else np.nan,
            "p (McNemar)": stats.mcnemar(base[0], runs[0]) if alone else np.nan,
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    for column in ("p (bootstrap)", "p (McNemar)"):
        known = table[column].notna()
        table.loc[known, column] = stats.holm(table.loc[known, column].to_numpy())
    table["verdict"] = reports.significance.verdicts(found)
    return table


def _finished(paths: Sequence[Path]) -> list:
    """Return the finished runs of run folders and study folders."""
    folders = []
    for path in paths:
        folders += [path] if (path / "config.json").is_file() else sorted((path / "runs").glob("*/"))
    results = []
    for folder in folders:
        config, metrics = tuning.runner.read_json(folder / "config.json"), tuning.runner.read_metrics(folder)
        if config and metrics:
            results.append(tuning.runner.Result(RunConfig.from_json(config), folder, metrics))
    if not results:
        raise UserError(f"{paths[0]}: no finished run. Expected folders with config.json and metrics.json.")
    return results


def _right(settings: Sequence) -> dict[str, np.ndarray]:
    """Return whether each run is right about each test face, by setting."""
    right, first = {}, None
    for setting in settings:
        found = setting.right()
        if found is None:
            raise DataError(f"{setting.name}: test_logits.npz has no targets, since an older version wrote it.")
        first = found[0] if first is None else first
        if not np.array_equal(found[0], first):
            raise UserError(f"{setting.name} was tested on other faces than {settings[0].name}. Expected the same.")
        right[setting.name] = found[1].astype(float)
    return right


def _sentence(table: pd.DataFrame, right: Mapping[str, np.ndarray], reference: str) -> str:
    """Say which differences are real, and how many seeds would show one point."""
    order = [reference, *(name for name in table.index if name != reference)]
    several = [runs.mean(axis=1) for runs in right.values() if len(runs) > 1]
    text = reports.significance.sentence(
        table.loc[order, "verdict"].tolist(), reference, right[reference].shape[1], bool(several)
    )
    if not several:
        return text
    spread = float(np.sqrt(np.mean([accuracies.var(ddof=1) for accuracies in several])))
    needed = stats.seeds_needed(spread, ONE_POINT)
    return f"{text} Seeds spread by {100 * spread:.2f} points: to see one point, {needed} seeds of each are needed."


def _write(table: pd.DataFrame, right: Mapping[str, np.ndarray], reference: str, out: Path) -> list[Path]:
    """Write the table as CSV and Markdown, the intervals, and the ranks where there are seeds to rank over."""
    out.mkdir(parents=True, exist_ok=True)
    named = table.rename_axis("run").reset_index()
    named.assign(run=named["run"].map(cell)).to_csv(out / "compare.csv", index=False)
    sentence = _sentence(table, right, reference)
    atomic.write_text(out / "compare.md", f"{reports.results_page.markdown_table(named)}\n{sentence}\n")
    values, errors = table[["test"]], table[["±"]].set_axis(["test"], axis=1)
    figures = {"intervals.png": reports.figures.dot_panels(
        {"": values}, {"": errors}, "test accuracy (%), 95 % intervals", table.loc[reference, "test"]
    )}  # fmt: skip
    seeds = min(len(runs) for runs in right.values())
    if seeds > 1 and len(right) > 2:
        scores = pd.DataFrame({name: runs[:seeds].mean(axis=1) for name, runs in right.items()})
        figures["ranks.png"] = stats.critical_difference_diagram(scores)
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=150)
    return [out / "compare.csv", out / "compare.md", *(out / name for name in figures)]
