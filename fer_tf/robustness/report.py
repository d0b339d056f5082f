"""What a run leaves behind: a page to look at, its figures, tables, and one JSON file."""

import html
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_tf.io import atomic
from fer_tf.reports import corruptions as drawing
from fer_tf.reports import page
from fer_tf.robustness import SEVERITIES, corrupted, reference, results
from fer_tf.robustness.audit import Outcome, landmarks_digest
from fer_tf.robustness.drift import Flips

PAGE, JSON = "report.html", "robustness.json"


def write(outcome: Outcome, out: Path) -> list[Path]:
    """Write a run's files into a folder; return them."""
    out, sections, pictures, written = Path(out), [], {}, []
    record = reference.to_json(outcome.errors, outcome.settings, landmarks_digest(outcome.faces.table))
    record |= {"clean_accuracy": float(1 - outcome.faces.wrong(0, ..., outcome.answers.clean).mean())}
    if outcome.answers.corrupted:
        table = results.by_severity(outcome.answers, outcome.faces, outcome.label_set, outcome.reference)
        short = results.by_corruption(outcome.errors, outcome.reference)
        record |= {"reference": outcome.reference and outcome.reference.name, "summary": results.summary(short)}
        written += [_csv(table, out / "errors.csv"), _csv(short, out / "corruptions.csv")]
        pictures["curves"] = drawing.severity_curves(*_curves(outcome, table))
        examples = _examples(outcome)
        if examples:
            pictures["worst"] = drawing.growing(examples)
        sections += _corruption_sections(outcome, table, short, pictures)
    if outcome.flips is not None:
        drift = results.of_drift(outcome.flips)
        record["drift"] = {r.pop("perturbations"): _plain(r) for r in drift.to_dict("records")}
        written.append(_csv(pd.DataFrame(outcome.flips.rows()), out / "drift.csv"))
        pictures["drift"] = _drift_figure(outcome.flips)
        sections += _drift_sections(drift, pictures["drift"])
    if outcome.skipped:
        sections.append(("Left out", "".join(map(_paragraph, outcome.skipped))))
    record["skipped"] = list(outcome.skipped)
    for name, figure in pictures.items():
        written.append(out / "figures" / f"{name}.png")
        with atomic.atomic_write(written[-1]) as part:
            figure.savefig(part, dpi=120)
    atomic.write_json(out / JSON, record)
    atomic.write_text(out / PAGE, page.page(f"Robustness of {outcome.errors.name}", _note(outcome), sections))
    return [*written, out / JSON, out / PAGE]


def lines(outcome: Outcome) -> list[str]:
    """Return what a run found in a few lines of text."""
    clean = 1 - outcome.faces.wrong(0, ..., outcome.answers.clean).mean()
    found = [f"{len(outcome.faces.table)} faces, accuracy as they are {100 * clean:.2f} %"]
    if outcome.answers.corrupted:
        means = results.summary(results.by_corruption(outcome.errors, outcome.reference))
        found.append(f"mean error under {len(outcome.answers.corrupted)} corruptions {100 * means['mean_error']:.2f} %")
        if means.get("mce") is not None:
            name = outcome.reference.name
            found.append(f"mean corruption error against {name} {means['mce']:.3f}")
            if means["relative_mce"] is not None:
                found[-1] += f", relative {means['relative_mce']:.3f}"
    if outcome.flips is not None:
        mean, some, count = outcome.flips.mean(), outcome.flips.any(), len(outcome.flips.perturbations)
        found.append(
            f"flip rate {100 * mean:.2f} % in the mean over {count} shifts and JPEGs; "
            f"{100 * some:.2f} % of the faces flip under at least one"
        )
    return found


def _corruption_sections(
    outcome: Outcome, table: pd.DataFrame, short: pd.DataFrame, pictures: Mapping[str, Figure]
) -> list[tuple[str, str]]:
    name = outcome.reference.name if outcome.reference else None
    against = (
        f"CE: the sum of errors over the five severities divided by that of {name}; relative CE: the same of what "
        "corruption adds to the error on the faces as they are (arXiv 1903.12261). Less is better, 1 is as the "
        "reference."
        if name
        else "Without a reference there is no corruption error."
    )
    accuracy = (100 * _by_text(table, "accuracy")).round(1).reset_index()
    accuracy.columns = ["corruption", *(f"severity {s}" for s in SEVERITIES)]
    sections = [
        ("Corruption errors", _paragraph(against) + page.table(_for_people(short, name))),
        ("Accuracy by severity", page.picture(pictures["curves"], "Curves of accuracy by severity")),
        ("Accuracy in percent", page.table(accuracy)),
    ]
    if "worst" in pictures:
        text = (
            "For each corruption the face, named rightly as it is, whose true expression loses most probability at "
            f"severity {results.MIDDLE}: as it is, then severities 1 to 5; wrong names are orange."
        )
        sections.append(
            ("Worst examples", _paragraph(text) + page.picture(pictures["worst"], "Faces that suffer most"))
        )
    return sections


def _for_people(short: pd.DataFrame, name: str | None) -> pd.DataFrame:
    """Return corruption errors with means below, errors in percent."""
    shown = short.copy()
    means = shown.select_dtypes("number").apply(lambda column: column.mean())
    shown = pd.concat([shown, pd.DataFrame([{"corruption": "mean", "group": "", **means}])], ignore_index=True)
    for column in ("clean_error", "mean_error", "reference_mean_error"):
        if column in shown:
            shown[column] = (100 * shown[column]).round(2)
    titles = {
        "clean_error": "error as they are, %", "mean_error": "mean error, %", "ce": "CE", "relative_ce": "relative CE",
        "reference_mean_error": f"mean error of {name}, %",
    }  # fmt: skip
    return shown.rename(columns=titles)


def _drift_sections(drift: pd.DataFrame, figure: Figure) -> list[tuple[str, str]]:
    text = (
        "A flip is a face whose most probable class changes. The flip rate is the mean over the perturbations of the "
        "share of faces that flip; any flip is the share of faces that flip under at least one of them."
    )
    shown = drift.copy()
    for column in ("flip_rate", "standard_error", "any_flip"):
        shown[column] = (100 * shown[column]).round(2)
    shown.columns = ["perturbations", "number", "flip rate, %", "± standard error", "any flip, %"]
    return [("Drift", _paragraph(text) + page.table(shown) + page.picture(figure, "Flip rates by shift and quality"))]


def _curves(outcome: Outcome, table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], float, pd.DataFrame]:
    accuracy = _by_text(table, "accuracy")
    groups = table.loc[table["severity"] > 0].drop_duplicates("corruption").set_index("corruption")["group"]
    by_group = {group: accuracy.loc[list(rows)].T for group, rows in groups.groupby(groups, sort=False).groups.items()}
    networks = [e for e in (outcome.errors, outcome.reference) if e is not None and e.corrupted]
    lines = {}
    for errors in networks:
        whole = pd.DataFrame({text: [errors.clean[text], *errors.corrupted[text]] for text in outcome.errors.corrupted})
        # A network beside itself is one line.
        lines.setdefault(errors.name, 1 - whole.mean(axis=1))
    return by_group, float(table["accuracy"].iloc[0]), pd.DataFrame(lines)


def _by_text(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column with a row a corruption, in their order, and a column a severity from 1."""
    rows = table[table["severity"] > 0]
    return rows.pivot_table(index="corruption", columns="severity", values=column, sort=False)


def _examples(outcome: Outcome) -> list[drawing.Example]:
    examples, table, classes = [], outcome.faces.table, outcome.label_set.classes
    labels = outcome.faces.targets[0].argmax(axis=1)
    for face in results.fallen(outcome.answers, outcome.faces):
        part = table.take([face.row])
        images = [part.images] + [
            corrupted(part.images, face.corruption, s, outcome.settings["seed"], part.ids, part.landmarks)
            for s in SEVERITIES
        ]
        named = face.probabilities.argmax(axis=1)
        words = [f"{classes[n]} {100 * p[n]:.0f} %" for n, p in zip(named, face.probabilities, strict=True)]
        right = named == labels[face.row]
        examples.append(drawing.Example(face.corruption, np.concatenate(images), words, right))
    return examples


def _drift_figure(flips: Flips) -> Figure:
    rates = dict(zip(flips.perturbations, flips.flipped.mean(axis=1).tolist(), strict=True))
    shifts = {p.shift: rate for p, rate in rates.items() if p.shift is not None}
    return drawing.shift_map(shifts, {p.name: rate for p, rate in rates.items() if p.shift is None})


def _note(outcome: Outcome) -> str:
    plan = outcome.plan
    clean = 1 - outcome.faces.wrong(0, ..., outcome.answers.clean).mean()
    return (
        f"{outcome.errors.name} ({plan.view} view) on {len(outcome.faces.table):,} faces of {plan.dataset}: accuracy "
        f"as they are {100 * clean:.2f} %. Faces of {outcome.faces.table.image_shape[0]} pixels, corruptions of seed "
        f"{plan.seed}. The standard error of one accuracy is about "
        f"{100 * (0.25 / len(outcome.faces.table)) ** 0.5:.1f} points at most."
    )


def _csv(table: pd.DataFrame, path: Path) -> Path:
    with atomic.atomic_write(path) as part:
        table.to_csv(part, index=False)
    return path


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"
