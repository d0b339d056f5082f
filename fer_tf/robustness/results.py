"""Tables of what was measured: errors by severity, corruption errors, and the faces that suffer most."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fer_tf import evaluation
from fer_tf.labels import LabelSet
from fer_tf.metrics.probabilities import softmax
from fer_tf.robustness import CORRUPTIONS, SEVERITIES, scores
from fer_tf.robustness.benchmark import Answers, Comparable
from fer_tf.robustness.drift import KINDS, Flips
from fer_tf.robustness.reference import Errors

# The severity at which the faces that suffer most are looked for.
MIDDLE = 3
_SCORES = ("accuracy", "macro_f1", "nll", "ece")


@dataclass(frozen=True)
class Fallen:
    """A face that a corruption makes a network lose.

    Attributes:
        corruption: call string.
        row: of the face, in the compared table.
        probabilities: (1 + severities, C), as it is and at severities 1 to 5.
    """

    corruption: str
    row: int
    probabilities: np.ndarray


def errors_of(name: str, number: int, answers: Answers, faces: Comparable) -> Errors:
    """Return a network's errors; ``number`` says which of the compared ones it is."""
    clean, corrupted = {}, {}
    for text, logits in answers.corrupted.items():
        rows = answers.rows[text]
        clean[text] = float(faces.wrong(number, rows, answers.clean[rows]).mean())
        corrupted[text] = tuple(faces.wrong(number, rows, logits).mean(axis=1).tolist())
    return Errors(name, clean, corrupted)


def by_severity(answers: Answers, faces: Comparable, label_set: LabelSet, reference: Errors | None) -> pd.DataFrame:
    """Return a row a corruption and severity, and first one of the faces as they are, severity 0.

    Columns: corruption, group, severity, amount, faces, error, accuracy, macro_f1, nll (nats), ece, reference_error.
    """
    everything = np.arange(len(faces.table))
    rows = [{"corruption": "none", "severity": 0, **_scores(answers.clean, faces.targets[0], everything, label_set)}]
    for text, logits in answers.corrupted.items():
        facts = CORRUPTIONS.resolve(text)[0].facts
        for i, severity in enumerate(SEVERITIES):
            scored = _scores(logits[i], faces.targets[0], answers.rows[text], label_set)
            known = {} if reference is None else {"reference_error": reference.corrupted[text][i]}
            amount = float(facts["amounts"][i])
            rows.append({"corruption": text, "group": facts["group"], "severity": severity, "amount": amount,
                         **scored, **known})  # fmt: skip
    first = ["corruption", "group", "severity", "amount"]
    table = pd.DataFrame(rows)
    return table.reindex(columns=first + [c for c in table if c not in first])


def by_corruption(errors: Errors, reference: Errors | None) -> pd.DataFrame:
    """Return a row a corruption: group, clean_error, mean_error, and against a reference ce and relative_ce."""
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
            row["ce"] = scores.corruption_error(corrupted, known)
            row["relative_ce"] = scores.relative_corruption_error(corrupted, clean, known, known_clean)
        rows.append(row)
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> dict[str, float | None]:
    """Return the means over corruptions of ``by_corruption``: mean_error, and mce and relative_mce where known."""
    found = {"mean_error": float(table["mean_error"].mean())}
    for name, column in (("mce", "ce"), ("relative_mce", "relative_ce")):
        if column in table:
            value = scores.mean(table[column].tolist())
            found[name] = None if math.isnan(value) else value
    return found


def fallen(answers: Answers, faces: Comparable) -> list[Fallen]:
    """Return for each corruption the face, right as it is, whose true class loses most at the middle severity.

    A face is named once, so that the examples differ; a corruption under which no face is right has none.
    """
    found, used = [], set()
    labels = faces.targets[0].argmax(axis=1)
    for text, logits in answers.corrupted.items():
        rows = answers.rows[text]
        before, after = softmax(answers.clean[rows]), softmax(logits)
        place = np.arange(len(rows))
        loss = before[place, labels[rows]] - after[MIDDLE - 1, place, labels[rows]]
        for i in np.argsort(-loss, kind="stable"):
            row = int(rows[i])
            if row not in used and before[i].argmax() == labels[row]:
                used.add(row)
                found.append(Fallen(text, row, np.concatenate([before[i : i + 1], after[:, i]])))
                break
    return found


def of_drift(flips: Flips) -> pd.DataFrame:
    """Return a row a kind of perturbation, and last one of all: mean flip rate, its error, share of faces with any."""
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
