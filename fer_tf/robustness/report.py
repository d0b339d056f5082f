"""Write the report of a benchmark run."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_tf import evaluation
from fer_tf.io import atomic
from fer_tf.labels import LabelSet
from fer_tf.metrics.distribution import softmax
from fer_tf.reports import audits as drawing
from fer_tf.reports import results_page
from fer_tf.robustness.benchmark import BenchmarkResult, Predictions, SharedFaces, landmarks_digest
from fer_tf.robustness.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    NetworkErrors,
    corrupt,
    corruption_error,
    mean_of_known,
    relative_corruption_error,
)
from fer_tf.robustness.prediction_flips import KINDS, PredictionFlips

_PAGE, _JSON = "report.html", "robustness.json"
# The severity at which the faces that suffer most are looked for.
_MIDDLE = 3
_SCORES = ("accuracy", "macro_f1", "nll", "ece")


@dataclass(frozen=True)
class HardExample:
    """A face that a network classifies correctly until it is corrupted.

    Attributes:
        corruption: Call string.
        row: Row of the face in the compared table.
        probabilities: (1 + severities, C), without corruption and at severities 1 to 5.
    """

    corruption: str
    row: int
    probabilities: np.ndarray


def by_severity(
    predictions: Predictions, faces: SharedFaces, label_set: LabelSet, reference: NetworkErrors | None
) -> pd.DataFrame:
    """Tabulate scores: one row without corruption (severity 0), then a row a corruption and severity.

    Columns: corruption, group, severity, amount, faces, error, accuracy, macro_f1, nll (nats), ece, reference_error.
    """
    everything = np.arange(len(faces.table))
    rows = [
        {"corruption": "none", "severity": 0, **_scores(predictions.clean, faces.targets[0], everything, label_set)}
    ]
    for text, logits in predictions.corrupted.items():
        facts = CORRUPTIONS.resolve(text)[0].facts
        for i, severity in enumerate(SEVERITIES):
            scored = _scores(logits[i], faces.targets[0], predictions.rows[text], label_set)
            known = {} if reference is None else {"reference_error": reference.corrupted[text][i]}
            amount = float(facts["amounts"][i])
            rows.append({"corruption": text, "group": facts["group"], "severity": severity, "amount": amount,
                         **scored, **known})  # fmt: skip
    first = ["corruption", "group", "severity", "amount"]
    table = pd.DataFrame(rows)
    return table.reindex(columns=first + [c for c in table if c not in first])


def by_corruption(errors: NetworkErrors, reference: NetworkErrors | None) -> pd.DataFrame:
    """Tabulate errors, a row a corruption: group, clean_error, mean_error, and with a reference ce and relative_ce."""
    rows = []
    for text, corrupted in errors.corrupted.items():
        clean = errors.clean[text]
        row = {
            "corruption": text, "group": CORRUPTIONS.resolve(text)[0].facts["group"], "clean_error": clean,
            "mean_error": float(np.mean(corrupted)),
        }  # fmt: skip
        if reference is not None:
            known, known_clean = reference.corrupted[text], reference.clean[text]
            row["reference_mean_error"] = float(np.mean(known))
            row["ce"] = corruption_error(corrupted, known)
            row["relative_ce"] = relative_corruption_error(corrupted, clean, known, known_clean)
        rows.append(row)
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> dict[str, float | None]:
    """Average ``by_corruption`` over corruptions: mean_error, and mce and relative_mce where known."""
    found = {"mean_error": float(table["mean_error"].mean())}
    for name, column in (("mce", "ce"), ("relative_mce", "relative_ce")):
        if column in table:
            value = mean_of_known(table[column].tolist())
            found[name] = None if math.isnan(value) else value
    return found


def hardest_examples(predictions: Predictions, faces: SharedFaces) -> list[HardExample]:
    """Find for each corruption the face whose true class loses most probability at the middle severity.

    It is one that the network classifies correctly without corruption. A face is taken once, so that the examples
    differ; a corruption has no example if no such face is left.
    """
    found, used = [], set()
    labels = faces.targets[0].argmax(axis=1)
    for text, logits in predictions.corrupted.items():
        rows = predictions.rows[text]
        before, after = softmax(predictions.clean[rows]), softmax(logits)
        place = np.arange(len(rows))
        loss = before[place, labels[rows]] - after[_MIDDLE - 1, place, labels[rows]]
        for i in np.argsort(-loss, kind="stable"):
            row = int(rows[i])
            if row not in used and before[i].argmax() == labels[row]:
                used.add(row)
                found.append(HardExample(text, row, np.concatenate([before[i : i + 1], after[:, i]])))
                break
    return found


def flips_by_kind(flips: PredictionFlips) -> pd.DataFrame:
    """Tabulate flips, a row a kind of perturbation, and last one of all.

    Columns: perturbations, number, flip_rate, standard_error, any_flip (share of faces that flip at least once).
    """
    return pd.DataFrame([
        {
            "perturbations": name, "number": sum(kind in (None, p.kind) for p in flips.perturbations),
            "flip_rate": flips.mean(kind), "standard_error": flips.standard_error(kind), "any_flip": flips.any(kind),
        }
        for name, kind in [*((k, k) for k in KINDS), ("all", None)]
    ])  # fmt: skip


def _scores(logits: np.ndarray, targets: np.ndarray, rows: np.ndarray, label_set: LabelSet) -> dict[str, Any]:
    found = evaluation.scores(logits, targets[rows], label_set)
    return {"faces": len(rows), "error": 1 - found["accuracy"], **{name: found[name] for name in _SCORES}}


def write_report(result: BenchmarkResult, out: Path | str) -> list[Path]:
    """Write the page, figures and tables of a benchmark run into a folder.

    Args:
        result: What ``run_benchmark`` returned.
        out: The folder; it is created.

    Returns:
        The files written; the last one is ``report.html``.

    Example:
        >>> from fer_tf import datasets, robustness
        >>> faces = datasets.get("synthetic(faces=20)").select("test")
        >>> plan = robustness.BenchmarkPlan("default", ("brighter",), flips=False, reference="none")
        >>> written = write_report(robustness.run_benchmark(faces, plan), "robustness")
        >>> written[0].name, written[-1].name
        ('errors.csv', 'report.html')
    """
    out, sections, pictures, written = Path(out), [], {}, []
    record = result.errors.to_json(result.settings, landmarks_digest(result.faces.table))
    record["clean_accuracy"] = result.clean_accuracy
    if result.predictions.corrupted:
        table = by_severity(result.predictions, result.faces, result.label_set, result.reference)
        short = by_corruption(result.errors, result.reference)
        record |= {"reference": result.reference and result.reference.name, "summary": summary(short)}
        written += [_csv(table, out / "errors.csv"), _csv(short, out / "corruptions.csv")]
        pictures["curves"] = drawing.severity_curves(*_curves(result, table))
        examples = _examples(result)
        if examples:
            pictures["worst"] = drawing.growing(examples)
        sections += _corruption_sections(result, table, short, pictures)
    if result.flips is not None:
        flips = flips_by_kind(result.flips)
        record["flips"] = {r.pop("perturbations"): _plain(r) for r in flips.to_dict("records")}
        written.append(_csv(pd.DataFrame(result.flips.rows()), out / "flips.csv"))
        pictures["flips"] = _flips_figure(result.flips)
        sections += _flips_sections(flips, pictures["flips"])
    if result.skipped:
        sections.append(("Left out", "".join(map(_paragraph, result.skipped))))
    record["skipped"] = list(result.skipped)
    for name, figure in pictures.items():
        written.append(out / "figures" / f"{name}.png")
        with atomic.atomic_write(written[-1]) as part:
            figure.savefig(part, dpi=120)
    atomic.write_json(out / _JSON, record)
    atomic.write_text(out / _PAGE, results_page.page(f"Robustness of {result.errors.name}", _note(result), sections))
    return [*written, out / _JSON, out / _PAGE]


def summary_lines(result: BenchmarkResult) -> list[str]:
    """Summarize a run in a few lines of text."""
    found = [f"{len(result.faces.table)} faces, accuracy without corruption {100 * result.clean_accuracy:.2f} %"]
    if result.predictions.corrupted:
        means = summary(by_corruption(result.errors, result.reference))
        count = len(result.predictions.corrupted)
        found.append(f"mean error under {count} corruptions {100 * means['mean_error']:.2f} %")
        if means.get("mce") is not None:
            found.append(f"mean corruption error against {result.reference.name} {means['mce']:.3f}")
            if means["relative_mce"] is not None:
                found[-1] += f", relative {means['relative_mce']:.3f}"
    if result.flips is not None:
        mean, some, count = result.flips.mean(), result.flips.any(), len(result.flips.perturbations)
        found.append(
            f"mean flip rate {100 * mean:.2f} % over {count} shifts and JPEGs; "
            f"{100 * some:.2f} % of the faces flip under at least one"
        )
    return found


def _corruption_sections(
    result: BenchmarkResult, table: pd.DataFrame, short: pd.DataFrame, pictures: Mapping[str, Figure]
) -> list[tuple[str, str]]:
    name = result.reference.name if result.reference else None
    against = (
        f"CE: the sum of errors over the five severities divided by that of {name}; relative CE: the same of what "
        "corruption adds to the error on the unchanged faces (arXiv 1903.12261). Less is better, 1 is like the "
        "reference."
        if name
        else "Without a reference there is no corruption error."
    )
    accuracy = (100 * _by_text(table, "accuracy")).round(1).reset_index()
    accuracy.columns = ["corruption", *(f"severity {s}" for s in SEVERITIES)]
    sections = [
        ("Corruption errors", _paragraph(against) + results_page.table(_readable(short, name))),
        ("Accuracy by severity", results_page.picture(pictures["curves"], "Curves of accuracy by severity")),
        ("Accuracy in percent", results_page.table(accuracy)),
    ]
    if "worst" in pictures:
        text = (
            "For each corruption the correctly classified face whose true expression loses most probability at "
            f"severity {_MIDDLE}: the unchanged face, then severities 1 to 5; wrong predictions are orange."
        )
        sections.append(
            (
                "Worst examples",
                _paragraph(text) + results_page.picture(pictures["worst"], "Faces that lose most probability"),
            )
        )
    return sections


def _readable(short: pd.DataFrame, name: str | None) -> pd.DataFrame:
    """Return corruption errors with means below, errors in percent."""
    shown = short.copy()
    means = shown.select_dtypes("number").apply(lambda column: column.mean())
    shown = pd.concat([shown, pd.DataFrame([{"corruption": "mean", "group": "", **means}])], ignore_index=True)
    for column in ("clean_error", "mean_error", "reference_mean_error"):
        if column in shown:
            shown[column] = (100 * shown[column]).round(2)
    titles = {
        "clean_error": "error without corruption, %", "mean_error": "mean error, %", "ce": "CE",
        "relative_ce": "relative CE", "reference_mean_error": f"mean error of {name}, %",
    }  # fmt: skip
    return shown.rename(columns=titles)


def _flips_sections(flips: pd.DataFrame, figure: Figure) -> list[tuple[str, str]]:
    text = (
        "A flip is a face whose most probable class changes. The flip rate is the mean over the perturbations of the "
        "share of faces that flip; any flip is the share of faces that flip under at least one of them."
    )
    shown = flips.copy()
    for column in ("flip_rate", "standard_error", "any_flip"):
        shown[column] = (100 * shown[column]).round(2)
    shown.columns = ["perturbations", "number", "flip rate, %", "± standard error", "any flip, %"]
    return [
        (
            "Prediction flips",
            _paragraph(text)
            + results_page.table(shown)
            + results_page.picture(figure, "Flip rates by shift and quality"),
        )
    ]


def _curves(result: BenchmarkResult, table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], float, pd.DataFrame]:
    accuracy = _by_text(table, "accuracy")
    groups = table.loc[table["severity"] > 0].drop_duplicates("corruption").set_index("corruption")["group"]
    by_group = {group: accuracy.loc[list(rows)].T for group, rows in groups.groupby(groups, sort=False).groups.items()}
    networks = [e for e in (result.errors, result.reference) if e is not None and e.corrupted]
    lines = {}
    for errors in networks:
        whole = pd.DataFrame({text: [errors.clean[text], *errors.corrupted[text]] for text in result.errors.corrupted})
        # A network beside itself is one line.
        lines.setdefault(errors.name, 1 - whole.mean(axis=1))
    return by_group, float(table["accuracy"].iloc[0]), pd.DataFrame(lines)


def _by_text(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a column with a row a corruption, in their order, and a column a severity from 1."""
    rows = table[table["severity"] > 0]
    return rows.pivot_table(index="corruption", columns="severity", values=column, sort=False)


def _examples(result: BenchmarkResult) -> list[drawing.Example]:
    examples, table, classes = [], result.faces.table, result.label_set.classes
    labels = result.faces.targets[0].argmax(axis=1)
    for face in hardest_examples(result.predictions, result.faces):
        part = table.take([face.row])
        images = [part.images] + [
            corrupt(part.images, face.corruption, s, result.settings["seed"], part.ids, part.landmarks)
            for s in SEVERITIES
        ]
        named = face.probabilities.argmax(axis=1)
        words = [f"{classes[n]} {100 * p[n]:.0f} %" for n, p in zip(named, face.probabilities, strict=True)]
        right = named == labels[face.row]
        examples.append(drawing.Example(face.corruption, np.concatenate(images), words, right))
    return examples


def _flips_figure(flips: PredictionFlips) -> Figure:
    rates = dict(zip(flips.perturbations, flips.flipped.mean(axis=1).tolist(), strict=True))
    shifts = {p.shift: rate for p, rate in rates.items() if p.shift is not None}
    return drawing.shift_map(shifts, {p.name: rate for p, rate in rates.items() if p.shift is None})


def _note(result: BenchmarkResult) -> str:
    plan = result.plan
    return (
        f"{result.errors.name} ({plan.view} view) on {len(result.faces.table):,} faces of {plan.dataset}: accuracy "
        f"without corruption {100 * result.clean_accuracy:.2f} %. Faces of {result.faces.table.image_shape[0]} pixels, "
        f"corruptions of seed {plan.seed}. The standard error of one accuracy is about "
        f"{100 * (0.25 / len(result.faces.table)) ** 0.5:.1f} points at most."
    )


def _csv(table: pd.DataFrame, path: Path) -> Path:
    with atomic.atomic_write(path) as part:
        table.to_csv(part, index=False)
    return path


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"
