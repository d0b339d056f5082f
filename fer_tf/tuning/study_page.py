"""Write the ranking, page and winner of a study."""

import html
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_tf import models
from fer_tf.io import atomic
from fer_tf.reports import figures, results_page, significance
from fer_tf.training.callbacks import HISTORY
from fer_tf.training.run import MODEL, environment
from fer_tf.tuning import runner
from fer_tf.tuning.runner import Result, Setting

# Columns of a terminal that the ranking takes at most; names that are longer are cut there.
WIDTH, LONGEST_NAME = 100, 30


@dataclass(frozen=True)
class Ranking:
    """The settings of a study, best mean validation accuracy first, and how they differ from a reference on test.

    Attributes:
        settings: each with its runs.
        compared: what ``significance.compare`` says of them, a row a setting; ``None`` when their test faces differ
            or are not known.
    """

    settings: Sequence[Setting]
    compared: pd.DataFrame | None

    @classmethod
    def of(cls, results: Sequence[Result], reference: str | None = None) -> "Ranking":
        """Rank the finished runs.

        Args:
            results: all runs, failed ones included.
            reference: name of the setting that the others are compared with; the winner when left out or not there.
        """
        settings = runner.ranked(results)
        right = {s.name: s.right() for s in settings}
        faces = [None if found is None else found[0] for found in right.values()]
        if not faces or any(ids is None or not np.array_equal(ids, faces[0]) for ids in faces):
            return cls(settings, None)
        scores = {name: found[1] for name, found in right.items()}
        return cls(settings, significance.compare(scores, reference if reference in scores else settings[0].name))

    def table(self) -> pd.DataFrame:
        """Return the ranking for people; accuracies, means over seeds, in percent."""
        rows = []
        for rank, setting in enumerate(self.settings, start=1):
            runs = setting.table
            rows.append(
                {
                    "rank": rank, "run": setting.name, "seeds": len(runs),
                    "val": 100 * setting.val_accuracy, "test": 100 * runs["test_accuracy"].mean(),
                    "F1": 100 * runs["test_macro_f1"].mean(),
                    "epoch": runs["best_epoch"].iloc[0], "seconds": runs["seconds"].mean(),
                    "faces/s": round(runs["images_per_second"].mean()),
                }
            )  # fmt: skip
        table = pd.DataFrame(rows).round(2)
        if self.compared is not None:
            table.insert(5, "±", (100 * self.compared["half"].to_numpy()).round(2))
            table.insert(6, "vs. 1st", significance.verdicts(self.compared))
        return table

    def sentence(self) -> str:
        """State which differences from the winner are real; ``""`` when nothing can be said."""
        if self.compared is None or len(self.settings) < 2:
            return ""
        first = self.settings[0]
        return significance.sentence(
            significance.verdicts(self.compared),
            first.name,
            first.runs[0].metrics["test"]["faces"],
            any(len(s.runs) > 1 for s in self.settings),
        )

    def text(self) -> str:
        """Return the ranking and its sentence as they are printed."""
        if not self.settings:
            return "No run ended well."
        table = self.table()
        cut = table.assign(run=[n if len(n) <= LONGEST_NAME else n[: LONGEST_NAME - 1] + "…" for n in table["run"]])
        parts = [cut.to_string(index=False), textwrap.fill(self.sentence(), WIDTH)]
        return "\n\n".join(filter(None, parts))


def write(
    results: Sequence[Result],
    out: Path,
    title: str,
    charts: Sequence[tuple[str, Figure]] = (),
    tables: Sequence[tuple[str, pd.DataFrame]] = (),
    files: Mapping[str, pd.DataFrame] | None = None,
    published: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write what a study leaves in its folder: pages, figures, tables, the winner.

    These are ``report.html``, the page of results ``results.md`` (``fer_tf.reports.results_page``), figures as PNG,
    and ``winner.keras``.

    The winner is the setting with the best mean validation accuracy, and of its seeds the best on validation.

    Args:
        results: all runs, failed ones included.
        out: the study's folder.
        title: heading of the pages.
        charts: headings and the study's own figures.
        tables: headings and the study's own tables, shown below its figures.
        files: further tables to write, by file name.
        published: other people's figures by run name (without a seed), as text, for a column beside ours.

    Returns:
        The files written, ``results.csv`` (kept during the study) first.
    """
    out = Path(out)
    written = [out / runner.FILE]
    ranking = Ranking.of(results)
    best = [run for setting in ranking.settings for run in setting.runs]
    sections, pictures = [], []
    if best:
        with atomic.atomic_write(out / "winner.keras") as part:
            shutil.copyfile(best[0].folder / MODEL, part)
            models.check_file(part)
        written.append(out / "winner.keras")
        said = f"<p>{html.escape(ranking.sentence())}</p>"
        sections = [("Ranking", said + results_page.table(ranking.table(), ranked=True))]
        pictures = [*charts, *_common_figures(ranking.settings)]
    for number, (heading, figure) in enumerate(pictures):
        if number == len(charts):
            sections += [(name, results_page.table(frame)) for name, frame in tables]
        sections.append((heading, results_page.picture(figure, heading)))
        with atomic.atomic_write(out / "figures" / f"{heading.lower().replace(' ', '_')}.png") as part:
            figure.savefig(part, dpi=120)
    for status, heading in (("failed", "Failed runs"), ("stopped", "Runs stopped early")):
        ended = runner.frame([r for r in results if r.status == status])
        if len(ended):
            sections.append((heading, results_page.table(ended[["run", "reason"]])))
    atomic.write_text(out / "report.html", results_page.page(title, _note(results), sections))
    command = results_page.command_line(sys.argv)
    folders = [result.folder for result in best]
    markdown = results_page.results_page(title, folders, command, published, tables, ranking.sentence())
    atomic.write_text(out / "results.md", markdown)
    for name, frame in (files or {}).items():
        with atomic.atomic_write(out / name) as part:
            frame.to_csv(part, index=False)
    return [*written, out / "report.html", out / "results.md", *(out / name for name in files or {})]


def _common_figures(settings: Sequence[Setting]) -> list[tuple[str, Figure]]:
    winner = settings[0].runs[0]
    test = winner.metrics["test"]
    histories = {s.name: _mean_history(s) for s in settings}
    matrix = figures.confusion(test["confusion"], test["classes"], f"{winner.config.name}, test split")
    return [("Learning curves", figures.learning_curves(histories)), ("Confusion matrix of the winner", matrix)]


def _mean_history(setting: Setting) -> pd.DataFrame:
    """Return the mean of the seeds' histories by epoch."""
    histories = [pd.read_csv(run.folder / HISTORY) for run in setting.runs]
    return pd.concat(histories).groupby("epoch", as_index=False).mean()


def _note(results: Sequence[Result]) -> str:
    config, machine = results[0].config, environment()
    finished = [r.metrics for r in results if r.metrics]
    about = f"{len(results)} runs of {config.model} on {config.dataset}, {config.epochs} epochs each"
    if not finished:
        return f"{about}; none of them ended well."
    counts = [sum(row) for row in finished[0]["test"]["confusion"]]
    largest = 100 * max(counts) / sum(counts)
    chosen = "Epochs and the winner are" if config.keep == "best" else "The last epoch is kept, and the winner is"
    return (
        f"{about}, {sum(m['seconds'] for m in finished) / 60:.1f} minutes of training on {machine['platform']} with "
        f"Keras {machine['keras']} ({machine['backend']}). {chosen} chosen on validation; the "
        f"{sum(counts)} test faces are scored once, view {config.view}. Accuracies in percent, means over seeds; ± is "
        f"half of a 95 % interval, F1 the mean over classes; always naming the largest class would score {largest:.1f} "
        "on test."
    )
