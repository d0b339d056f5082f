"""What every study leaves behind: a ranking on screen, a page to look at, and the winner's network."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from fer_tf import atomic
from fer_tf.reports import figures, page
from fer_tf.sweeps import results as tables
from fer_tf.sweeps.runner import Result
from fer_tf.training.run import HISTORY, MODEL, environment

Charts = Callable[[Sequence[Result]], list[tuple[str, str]]]


def write(results: Sequence[Result], out: Path, title: str, charts: Charts) -> list[Path]:
    """Print the ranking, and write ``report.html`` and ``winner.keras`` into the study's folder.

    Args:
        results: all runs, failed ones included.
        out: the study's folder.
        title: heading of the page.
        charts: makes the study's own sections from the finished runs.

    Returns:
        The files written, ``results.csv`` (kept during the study) first.
    """
    out = Path(out)
    written = [out / tables.FILE]
    best = tables.ranked(results)
    if best:
        print(ranking(results).to_string(index=False))
        with atomic.replacing(out / "winner.keras") as part:
            shutil.copyfile(best[0].folder / MODEL, part)
        written.append(out / "winner.keras")
    atomic.write_text(out / "report.html", _page(results, title, charts))
    return [*written, out / "report.html"]


def ranking(results: Sequence[Result]) -> pd.DataFrame:
    """Return the finished runs as a table for people, best validation accuracy first; accuracies in percent."""
    table = tables.frame(tables.ranked(results)).drop(columns=["status", "reason", "folder", "model"])
    for column in ("val_accuracy", "test_accuracy", "test_macro_f1"):
        table[column] = (100 * table[column].astype(float)).round(2)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


def _page(results: Sequence[Result], title: str, charts: Charts) -> str:
    best = tables.ranked(results)
    sections = []
    if best:
        histories = {r.config.name: pd.read_csv(r.folder / HISTORY) for r in best}
        curves = figures.learning_curves(histories)
        winner = best[0]
        test = winner.metrics["test"]
        matrix = figures.confusion(test["confusion"], test["classes"], f"{winner.config.name}, test split")
        sections = [
            ("Ranking", page.table(ranking(results))),
            *charts(best),
            ("Learning curves", page.picture(curves, "validation accuracy and training loss by epoch")),
            ("Confusion matrix of the winner", page.picture(matrix, "confusion matrix on the test split")),
        ]
    failed = tables.frame([r for r in results if not r.metrics])
    if len(failed):
        sections.append(("Failed runs", page.table(failed[["run", "reason"]])))
    return page.page(title, _note(results), sections)


def _note(results: Sequence[Result]) -> str:
    config = results[0].config
    faces = next((r.metrics["test"]["faces"] for r in results if r.metrics), 0)
    seconds = sum(r.metrics["seconds"] for r in results if r.metrics)
    machine = environment()
    return (
        f"{len(results)} runs of {config.model} on {config.dataset}, {config.epochs} epochs each, "
        f"{seconds / 60:.1f} minutes of training on {machine['platform']} with Keras {machine['keras']} "
        f"({machine['backend']}). Epochs and the winner are chosen on validation; the {faces} test faces are scored "
        f"once, view {config.view}. Accuracies in percent."
    )
