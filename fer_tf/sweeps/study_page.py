"""What every study leaves behind: a ranking on screen, a page and figures to look at, the winner's network."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fer_tf.io import atomic
from fer_tf.reports import figures, page, results_page
from fer_tf.sweeps import results as tables
from fer_tf.sweeps.runner import Result
from fer_tf.training.callbacks import HISTORY
from fer_tf.training.run import MODEL, environment

# What people read first stands first.
RANKING = (
    "run", "val_accuracy", "test_accuracy", "test_macro_f1", "best_epoch", "seconds", "images_per_second", "schedule",
)  # fmt: skip
# From the finished runs, best first, to headings and figures.
Charts = Callable[[Sequence[Result]], list[tuple[str, Figure]]]


def write(
    results: Sequence[Result],
    out: Path,
    title: str,
    charts: Charts = lambda _: [],
    more_tables: Sequence[tuple[str, pd.DataFrame]] = (),
    files: Mapping[str, pd.DataFrame] | None = None,
    published: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write what a study leaves in its folder: pages, figures, tables, the winner.

    These are ``report.html``, the page of results ``results.md`` (``fer_tf.reports.results_page``), figures as PNG,
    and ``winner.keras``.

    Args:
        results: all runs, failed ones included.
        out: the study's folder.
        title: heading of the pages.
        charts: makes the study's own figures from the finished runs.
        more_tables: headings and the study's own tables, shown below its figures.
        files: further tables to write, by file name.
        published: other people's figures by run name (without a seed), as text, for a column beside ours.

    Returns:
        The files written, ``results.csv`` (kept during the study) first.
    """
    out = Path(out)
    written = [out / tables.FILE]
    best = tables.ranked(results)
    sections, pictures, own = [], [], []
    if best:
        with atomic.atomic_write(out / "winner.keras") as part:
            shutil.copyfile(best[0].folder / MODEL, part)
        written.append(out / "winner.keras")
        sections = [("Ranking", page.table(ranking(results), ranked=True))]
        own = charts(best)
        pictures = [*own, *_common_figures(best)]
    for number, (heading, figure) in enumerate(pictures):
        if number == len(own):
            sections += [(name, page.table(frame)) for name, frame in more_tables]
        sections.append((heading, page.picture(figure, heading)))
        with atomic.atomic_write(out / "figures" / f"{heading.lower().replace(' ', '_')}.png") as part:
            figure.savefig(part, dpi=120)
    for status, heading in (("failed", "Failed runs"), ("stopped", "Runs stopped early")):
        ended = tables.frame([r for r in results if r.status == status])
        if len(ended):
            sections.append((heading, page.table(ended[["run", "reason"]])))
    atomic.write_text(out / "report.html", page.page(title, _note(results), sections))
    command = results_page.command_line(sys.argv)
    folders = [result.folder for result in best]
    atomic.write_text(out / "results.md", results_page.results_page(title, folders, command, published, more_tables))
    for name, frame in (files or {}).items():
        with atomic.atomic_write(out / name) as part:
            frame.to_csv(part, index=False)
    return [*written, out / "report.html", out / "results.md", *(out / name for name in files or {})]


def ranking(results: Sequence[Result]) -> pd.DataFrame:
    """Return the finished runs as a table for people, best validation accuracy first; accuracies in percent."""
    table = tables.frame(tables.ranked(results))[list(RANKING)]
    for column in ("val_accuracy", "test_accuracy", "test_macro_f1"):
        table[column] = (100 * table[column].astype(float)).round(2)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table


def _common_figures(best: Sequence[Result]) -> list[tuple[str, Figure]]:
    winner = best[0]
    test = winner.metrics["test"]
    histories = {r.config.name: pd.read_csv(r.folder / HISTORY) for r in best}
    matrix = figures.confusion(test["confusion"], test["classes"], f"{winner.config.name}, test split")
    return [("Learning curves", figures.learning_curves(histories)), ("Confusion matrix of the winner", matrix)]


def _note(results: Sequence[Result]) -> str:
    config, machine = results[0].config, environment()
    finished = [r.metrics for r in results if r.metrics]
    about = f"{len(results)} runs of {config.model} on {config.dataset}, {config.epochs} epochs each"
    if not finished:
        return f"{about}; none of them ended well."
    counts = [sum(row) for row in finished[0]["test"]["confusion"]]
    chosen = "Epochs and the winner are" if config.keep == "best" else "The last epoch is kept, and the winner is"
    return (
        f"{about}, {sum(m['seconds'] for m in finished) / 60:.1f} minutes of training on {machine['platform']} with "
        f"Keras {machine['keras']} ({machine['backend']}). {chosen} chosen on validation; the "
        f"{sum(counts)} test faces are scored once, view {config.view}. Accuracies in percent; always naming the "
        f"largest class would score {100 * max(counts) / sum(counts):.1f} on test."
    )
