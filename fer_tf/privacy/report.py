"""What an audit leaves behind: a page to read, its figures, its numbers, and the answers it was made from."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_tf.io import atomic
from fer_tf.privacy import roc, scores
from fer_tf.privacy.audit import Attack
from fer_tf.privacy.predictions import Predictions
from fer_tf.reports import figures, membership, page

NUMBERS, ANSWERS, PAGE = "audit.json", "predictions.npz", "report.html"
# How many attacks the figure by class shows; more dots cannot be told apart.
SHOWN = 4

HOW_TO_READ = """\
<p>AUC: how often a member scores above a non-member; 0.5 is chance. TPR at 1 % FPR: the share of members found while
one non-member in a hundred is accused; 1 % is chance. TP, FP, TN, FN and balanced accuracy are at a threshold chosen on
the other half of the faces; advantage is the largest TPR − FPR of any threshold, and above 0 by chance in small groups.
In brackets, 95 % bootstrap intervals over faces, not over trainings. Shares are in percent.</p>"""


def write(
    predictions: Predictions, attacks: Sequence[Attack], record: Mapping[str, Any], out: Path, subject: str
) -> list[Path]:
    """Write ``report.html``, ``figures/``, ``audit.json`` and ``predictions.npz``.

    Args:
        predictions: the answers.
        attacks: how each attack went.
        record: ``audit.summary``, and what else is worth keeping.
        out: folder.
        subject: what was audited, for the page.

    Returns:
        The files written.
    """
    pictures = charts(predictions, attacks)
    written = []
    for heading, figure in pictures:
        written.append(out / "figures" / f"{heading.lower().replace(' ', '_')}.png")
        with atomic.atomic_write(written[-1]) as part:
            figure.savefig(part, dpi=120)
    sections = [("Attacks", page.table(overall_table(attacks), ranked=True) + HOW_TO_READ)]
    sections += [(heading, page.picture(figure, heading)) for heading, figure in pictures]
    best = strongest_first(attacks)[0]
    sections += [
        ("AUC of every attack by part", page.table(auc_table(attacks))),
        (f"The {best.title} by part", page.table(parts_table(best))),
        ("Limits", limits(predictions)),
    ]
    atomic.write_text(out / PAGE, page.page(f"Membership audit of {subject}", verdict(record), sections))
    atomic.write_json(out / NUMBERS, record)
    predictions.save(out / ANSWERS)
    return [out / ANSWERS, out / NUMBERS, *written, out / PAGE]


def verdict(record: Mapping[str, Any]) -> str:
    """Return the audit in three sentences."""
    faces, accuracy = record["faces"], record["accuracy"]
    best = max(record["attacks"].values(), key=lambda attack: attack["auc"]["value"])
    auc, low = best["auc"], best["tpr_at_1_percent"]
    return (
        f"{faces['members']:,} members (training) and {faces['non_members']:,} non-members, as many of each in every "
        f"class, scored without augmentation. The network is right on {accuracy['members']:.1%} of the members and "
        f"{accuracy['non_members']:.1%} of the others, a gap of {100 * accuracy['gap']:.1f} points. Of "
        f"{len(record['attacks'])} attacks the one of the highest AUC, {best['title']}, reaches "
        f"{auc['value']:.3f}{_interval(auc)} and finds {low['value']:.1%} of the members while accusing 1 % of the "
        "others; the choice was made on these faces, which flatters it a little."
    )


def _interval(measure: Mapping[str, float | None]) -> str:
    return "" if measure["low"] is None else f" ({measure['low']:.3f} to {measure['high']:.3f})"


def overall_table(attacks: Sequence[Attack]) -> pd.DataFrame:
    """Return a row an attack, the highest AUC first."""
    return pd.DataFrame([{"attack": a.title, **_cells(a.overall)} for a in strongest_first(attacks)])


def strongest_first(attacks: Sequence[Attack]) -> list[Attack]:
    """Return the attacks by their AUC on all faces."""
    return sorted(attacks, key=lambda a: -a.overall["auc"]["value"])


def auc_table(attacks: Sequence[Attack]) -> pd.DataFrame:
    """Return a row a part of the faces, a column an attack."""
    ordered = strongest_first(attacks)
    return pd.DataFrame(
        [
            {**_sizes(part, record), **{a.title: _cell(a.slices[part]["auc"], 1, 3) for a in ordered}}
            for part, record in ordered[0].slices.items()
        ]
    )


def parts_table(attack: Attack) -> pd.DataFrame:
    """Return all measures of an attack, a row a part of the faces."""
    return pd.DataFrame([{**_sizes(part, record), **_cells(record)} for part, record in attack.slices.items()])


def _sizes(part: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"faces": part, "members": record["members"], "others": record["non_members"]}


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


def charts(predictions: Predictions, attacks: Sequence[Attack]) -> list[tuple[str, Figure]]:
    """Return headings and figures: the curves, what the attacks see, and AUC by part."""
    member = predictions.member
    curves = {a.title: roc.roc(a.scores, member)[1:] for a in attacks}
    phi = scores.scaled_confidence(predictions.log_probabilities, predictions.labels)
    sides = membership.two_sides(phi[member], phi[~member], "log-odds of the label, ln(p / (1 − p))")
    shown = strongest_first(attacks)[:SHOWN]
    values, errors = (pd.DataFrame({a.title: _by_part(a, which) for a in shown}) for which in ("value", "error"))
    return [
        ("ROC curves", membership.roc_curves(curves, int((~member).sum()))),
        ("What the attacks see", sides),
        ("AUC by part of the faces", figures.dots(values, errors, "AUC; 0.5 is chance")),
    ]


def _by_part(attack: Attack, which: str) -> pd.Series:
    """Return AUC, or half the length of its interval, of each part that has both sides."""
    found = {"all faces": attack.overall, **attack.slices}
    measures = {part: record["auc"] for part, record in found.items() if record["auc"]["value"] is not None}
    if which == "value":
        return pd.Series({part: m["value"] for part, m in measures.items()}, dtype=float)
    lengths = {p: np.nan if m["low"] is None else (m["high"] - m["low"]) / 2 for p, m in measures.items()}
    return pd.Series(lengths, dtype=float)


def limits(predictions: Predictions) -> str:
    """Return what the numbers do not say, as HTML."""
    others = int((~predictions.member).sum())
    lines = [
        f"0.1 % of {others:,} non-members are {others / 1000:.1f} faces: read that column by its interval.",
        "Members and non-members are told apart by the dataset's splits. A test face with a copy in training counts as "
        "a non-member; faces of one person in both splits do, too.",
        "An attack that fails shows nothing about better ones; there is no guarantee in these numbers.",
    ]
    if predictions.shadows is None:
        lines.append("No shadow models were trained, so LiRA, the strongest attack at few false alarms, is not here.")
    else:
        lines.append(
            f"{len(predictions.shadows.member)} shadow models, each trained on a part of the members and non-members; "
            "the network itself was trained on other, and usually more, faces."
        )
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
