"""Write the report of a membership audit."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_tf.io import atomic
from fer_tf.privacy.attacks import scaled_confidence
from fer_tf.privacy.audit import AttackResult
from fer_tf.privacy.measures import roc_curve
from fer_tf.privacy.predictions import Predictions
from fer_tf.reports import audits, figures, results_page

_NUMBERS, _PREDICTIONS, _PAGE = "audit.json", "predictions.npz", "report.html"
# Number of attacks in the figure by class; the dots of more cannot be distinguished.
_SHOWN = 4

_HOW_TO_READ = """\
<p>AUC: how often a member scores above a non-member; 0.5 is chance. TPR at 1 % FPR: the share of members that are found
while 1 % of the non-members are taken for members; 1 % is chance. TP, FP, TN, FN and balanced accuracy are at a
threshold chosen on the other half of the faces; advantage is the largest TPR − FPR of any threshold, and above 0 by
chance in small groups. In brackets: 95 % bootstrap intervals over faces, not over trainings. Shares are in
percent.</p>"""


def write_report(
    predictions: Predictions, attacks: Sequence[AttackResult], record: Mapping[str, Any], out: Path, subject: str
) -> list[Path]:
    """Write ``report.html``, ``figures/``, ``audit.json`` and ``predictions.npz``.

    Args:
        predictions: what the attacks ran on.
        attacks: their results.
        record: from ``summarize``, with whatever else ``audit.json`` is to hold.
        out: the folder.
        subject: name of the audited network, for the page.

    Returns:
        The written files.
    """
    pictures = _figures(predictions, attacks)
    written = []
    for heading, figure in pictures:
        written.append(out / "figures" / f"{heading.lower().replace(' ', '_')}.png")
        with atomic.atomic_write(written[-1]) as part:
            figure.savefig(part, dpi=120)
    sections = [("Attacks", results_page.table(overall_table(attacks), ranked=True) + _HOW_TO_READ)]
    sections += [(heading, results_page.picture(figure, heading)) for heading, figure in pictures]
    best = _strongest_first(attacks)[0]
    sections += [
        ("AUC of every attack by part", results_page.table(_auc_table(attacks))),
        (f"The {best.title} by part", results_page.table(_parts_table(best))),
        ("Limits", _limits(predictions)),
    ]
    atomic.write_text(out / _PAGE, results_page.page(f"Membership audit of {subject}", verdict(record), sections))
    atomic.write_json(out / _NUMBERS, record)
    predictions.save(out / _PREDICTIONS)
    return [out / _PREDICTIONS, out / _NUMBERS, *written, out / _PAGE]


def verdict(record: Mapping[str, Any]) -> str:
    """Summarize the audit in three sentences."""
    faces, accuracy = record["faces"], record["accuracy"]
    best = max(record["attacks"].values(), key=lambda attack: attack["auc"]["value"])
    auc, low = best["auc"], best["tpr_at_1_percent"]
    return (
        f"{faces['members']:,} members (training faces) and {faces['non_members']:,} non-members, as many of each in "
        f"every class, without augmentation. The network is right on {accuracy['members']:.1%} of the members and "
        f"{accuracy['non_members']:.1%} of the non-members, a gap of {100 * accuracy['gap']:.1f} points. Of "
        f"{len(record['attacks'])} attacks the one with the highest AUC, {best['title']}, reaches "
        f"{auc['value']:.3f}{_interval(auc)} and finds {low['value']:.1%} of the members while it takes 1 % of the "
        "non-members for members; it was chosen on these faces, so that its values are slightly too high."
    )


def _interval(measure: Mapping[str, float | None]) -> str:
    return "" if measure["low"] is None else f" ({measure['low']:.3f} to {measure['high']:.3f})"


def overall_table(attacks: Sequence[AttackResult]) -> pd.DataFrame:
    """Return a row for each attack, the highest AUC first."""
    return pd.DataFrame([{"attack": a.title, **_cells(a.overall)} for a in _strongest_first(attacks)])


def _strongest_first(attacks: Sequence[AttackResult]) -> list[AttackResult]:
    """Sort the attacks by their AUC on all faces, descending."""
    return sorted(attacks, key=lambda a: -a.overall["auc"]["value"])


def _auc_table(attacks: Sequence[AttackResult]) -> pd.DataFrame:
    """Return AUC by part of the faces (rows) and attack (columns)."""
    ordered = _strongest_first(attacks)
    return pd.DataFrame(
        [
            {**_sizes(part, record), **{a.title: _cell(a.slices[part]["auc"], 1, 3) for a in ordered}}
            for part, record in ordered[0].slices.items()
        ]
    )


def _parts_table(attack: AttackResult) -> pd.DataFrame:
    """Return all measures of an attack, a row for each part of the faces."""
    return pd.DataFrame([{**_sizes(part, record), **_cells(record)} for part, record in attack.slices.items()])


def _sizes(part: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"faces": part, "members": record["members"], "non-members": record["non_members"]}


def _cells(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "AUC": _cell(record["auc"], 1, 3), "TP": record["tp"], "FP": record["fp"], "TN": record["tn"],
        "FN": record["fn"], "balanced accuracy": _cell(record["balanced_accuracy"], 100, 1),
        "TPR at 1 % FPR": _cell(record["tpr_at_1_percent"], 100, 1),
        "at 0.1 %": _cell(record["tpr_at_0.1_percent"], 100, 1), "advantage": _cell(record["advantage"], 1, 3),
    }  # fmt: skip


def _cell(measure: Mapping[str, float | None], factor: float, digits: int) -> str | None:
    if measure["value"] is None:
        return None
    value, low, high = (None if v is None else f"{factor * v:.{digits}f}" for v in measure.values())
    return value if low is None else f"{value} ({low}–{high})"


def _figures(predictions: Predictions, attacks: Sequence[AttackResult]) -> list[tuple[str, Figure]]:
    """Return headings and figures: ROC curves, the log-odds of the label, and AUC by part of the faces."""
    member = predictions.member
    curves = {a.title: roc_curve(a.scores, member)[1:] for a in attacks}
    phi = scaled_confidence(predictions.log_probabilities, predictions.labels)
    sides = audits.two_sides(phi[member], phi[~member], "log-odds of the label, ln(p / (1 − p))")
    shown = _strongest_first(attacks)[:_SHOWN]
    values, errors = (pd.DataFrame({a.title: _by_part(a, which) for a in shown}) for which in ("value", "error"))
    return [
        ("ROC curves", audits.roc_curves(curves, int((~member).sum()))),
        ("Log-odds of the label", sides),
        ("AUC by part of the faces", figures.dots(values, errors, "AUC; 0.5 is chance")),
    ]


def _by_part(attack: AttackResult, which: str) -> pd.Series:
    """Return AUC, or half the length of its interval, of each part with members and non-members."""
    found = {"all faces": attack.overall, **attack.slices}
    measures = {part: record["auc"] for part, record in found.items() if record["auc"]["value"] is not None}
    if which == "value":
        return pd.Series({part: m["value"] for part, m in measures.items()}, dtype=float)
    lengths = {p: np.nan if m["low"] is None else (m["high"] - m["low"]) / 2 for p, m in measures.items()}
    return pd.Series(lengths, dtype=float)


def _limits(predictions: Predictions) -> str:
    """Return the limits of the audit, as an HTML list."""
    others = int((~predictions.member).sum())
    lines = [
        f"0.1 % of {others:,} non-members are {others / 1000:.1f} faces: look at the interval of that column.",
        "Members are the faces of the training split, non-members those of the test split. A test face with a copy in "
        "the training split counts as a non-member, and so does another picture of a person in both splits.",
        "If these attacks fail, better ones may succeed: the numbers guarantee nothing.",
    ]
    if predictions.shadows is None:
        lines.append("No shadow models were trained: LiRA, the strongest attack at a low FPR, is missing.")
    else:
        lines.append(
            f"{len(predictions.shadows.member)} shadow models were each trained on half of these faces; "
            "the network itself was trained on other, and usually more, faces."
        )
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
