"""What networks know of their own doubt: tables of calibration, of conformal sets, and of refusing to answer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_tf.datasets.ferplus_votes import EMOTIONS, VOTE_CLASSES
from fer_tf.evaluation.ensemble import combine, doubt
from fer_tf.facetable import FaceTable
from fer_tf.labels import normalise
from fer_tf.metrics import calibration, conformal, distribution, selective
from fer_tf.metrics.probabilities import log_softmax, softmax

# Shares of the faces answered at which accuracy is told.
ANSWERED = (0.95, 0.9, 0.8, 0.5)
EVERYBODY, WITHOUT_VOTES = "all faces", "no votes"


@dataclass(frozen=True, eq=False)
class Answers:
    """What networks say of the faces of one split.

    Attributes:
        members: float (M, N, C), each network's logits.
        targets: float (N, C), rows sum to 1.
        mean_of: how several networks become one, see ``ensemble.combine``.
        temperature: what their joint log-probabilities are divided by.
    """

    members: np.ndarray
    targets: np.ndarray
    mean_of: str = "probabilities"
    temperature: float = 1.0

    @property
    def labels(self) -> np.ndarray:
        """The right classes, int (N,)."""
        return self.targets.argmax(axis=1)

    @property
    def log_probabilities(self) -> np.ndarray:
        """Of the networks together, float64 (N, C)."""
        return log_softmax(combine(self.members, self.mean_of) / self.temperature)

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class is the right one, bool (N,)."""
        return self.log_probabilities.argmax(axis=1) == self.labels


def vote_entropy(table: FaceTable) -> np.ndarray | None:
    """Return how far taggers disagree on each face, float64 (N,) in nats; ``None`` for a table without their votes.

    FER+'s votes for *unknown* and *NF* do not count; a face that has no others, or NaN for votes, is NaN.
    """
    if table.votes is None:
        return None
    votes = np.asarray(table.votes, np.float64)
    votes = votes[:, :EMOTIONS] if votes.shape[1] == len(VOTE_CLASSES) else votes
    some = votes.sum(axis=1) > 0  # faces without votes have zeros, or NaN
    found = np.full(len(table), np.nan)
    found[some] = np.abs(distribution.entropy(normalise(votes[some])))  # −0 is no number to show
    return found


def quartiles(entropy: np.ndarray | None, count: int) -> Mapping[str, np.ndarray]:
    """Sort faces into four groups by entropy, from unanimous to disputed.

    Entropies of ten votes are few numbers, so that the groups differ in size, and two may be one.

    Args:
        entropy: float (N,) in nats, NaN for faces without votes; ``None`` where no face has any.
        count: N.

    Returns:
        bool (N,) by name; the first group has all faces.
    """
    groups = {EVERYBODY: np.ones(count, bool)}
    if entropy is None or np.isnan(entropy).all():
        return groups
    known = ~np.isnan(entropy)
    edges = np.unique(np.quantile(entropy[known], [0.25, 0.5, 0.75, 1], method="inverted_cdf"))
    lowest = np.nanmin(entropy)
    for low, high in zip([-np.inf, *edges[:-1]], edges, strict=True):
        inside = known & (entropy > low) & (entropy <= high)
        first = max(low, lowest)
        name = f"votes' entropy {high:.2f}" if first == high else f"votes' entropy {first:.2f}–{high:.2f}"
        groups[name] = inside
    if not known.all():
        groups[WITHOUT_VOTES] = ~known
    return groups


def calibration_table(answers: Mapping[str, Answers]) -> pd.DataFrame:
    """Return a row each: faces, temperature, accuracy, mean confidence, ECE, likelihood and Brier score."""
    rows = []
    for name, a in answers.items():
        log_p = a.log_probabilities
        p = np.exp(log_p)
        rows.append({
            "answers": name, "faces": len(p), "temperature": a.temperature, "accuracy": float(a.right.mean()),
            "confidence": float(p.max(axis=1).mean()), "ece": calibration.expected_calibration_error(a.targets, p),
            "nll": calibration.negative_log_likelihood(a.targets, log_p),
            "brier": calibration.brier_score(a.targets, p),
        })  # fmt: skip
    return pd.DataFrame(rows)


def chosen_sets(known: Answers, asked: Answers, alpha: float, seed: int = 0) -> dict[tuple[str, str], np.ndarray]:
    """Return the conformal sets of every score, calibrated on all faces alike and class by class.

    Args:
        known: answers on faces that calibrate, on which the networks were not trained.
        asked: answers on the faces that get sets.
        alpha: share of sets that may miss the right class.
        seed: draws what APS and RAPS draw.

    Returns:
        bool (N, C) by score and scope, ``all`` or ``by class``.
    """
    rng = np.random.default_rng(seed)
    draws = [rng.random(len(a.labels)) for a in (known, asked)]
    pair = [np.exp(a.log_probabilities) for a in (known, asked)]
    found = {}
    for name, score in conformal.SCORES.items():
        first, second = (score(p, u) for p, u in zip(pair, draws, strict=True))
        for scope in ("all", "by class"):
            limits = conformal.thresholds(first, known.labels, alpha, by_class=scope == "by class")
            found[name, scope] = conformal.sets(second, limits)
    return found


def sets_table(
    sets: Mapping[tuple[str, str], np.ndarray], asked: Answers, groups: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Return a row a score, scope and group: accuracy, coverage, mean size and the rest of ``conformal.describe``."""
    rows = []
    for (score, scope), chosen in sets.items():
        for group, inside in groups.items():
            worth = conformal.describe(chosen[inside], asked.labels[inside])
            accuracy = float(asked.right[inside].mean())
            rows.append({"score": score, "scope": scope, "group": group, "accuracy": accuracy, **worth})
    return pd.DataFrame(rows)


def confidences(answers: Answers) -> dict[str, np.ndarray]:
    """Return what may decide whether to answer, float64 (N,) each, large for sure."""
    p = np.exp(answers.log_probabilities)
    ordered = np.sort(p, axis=1)
    found = {
        "highest probability": ordered[:, -1],
        "margin to the second": ordered[:, -1] - ordered[:, -2],
        "entropy": -distribution.entropy(p),
    }
    if len(answers.members) > 1:
        doubts = doubt(answers.members)
        found |= {"mutual information": -doubts.mutual_information, "disagreement": -doubts.disagreement}
    return found


def rejection_table(answers: Answers) -> pd.DataFrame:
    """Return a row a confidence: area under risk over coverage, its excess over the best, accuracies when refusing."""
    rows = [
        {
            "refuses by": name, "aurc": selective.aurc(values, answers.right),
            "excess": selective.excess_aurc(values, answers.right), "accuracy": float(answers.right.mean()),
            **{f"accuracy of {s:.0%}": selective.accuracy_at_coverage(values, answers.right, s) for s in ANSWERED},
        }
        for name, values in confidences(answers).items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def faces_table(
    table: FaceTable, answers: Answers, sets: Mapping[tuple[str, str], np.ndarray], entropy: np.ndarray | None
) -> pd.DataFrame:
    """Return a row a face: true and predicted class, doubts, the taggers' entropy, and sets calibrated on all alike."""
    names, p, doubts = np.array(table.label_set.classes), np.exp(answers.log_probabilities), doubt(answers.members)
    return pd.DataFrame({
        "face": table.ids, "true": names[answers.labels], "predicted": names[p.argmax(axis=1)], "right": answers.right,
        "confidence": p.max(axis=1), "entropy": distribution.entropy(p),
        "mutual_information": doubts.mutual_information, "disagreement": doubts.disagreement,
        "vote_entropy": np.full(len(table), np.nan) if entropy is None else entropy,
        **{s: [" ".join(names[row]) for row in chosen] for (s, scope), chosen in sets.items() if scope == "all"},
    })  # fmt: skip


def reliability_lines(before: Answers, after: Answers, bins: int = calibration.BINS) -> pd.DataFrame:
    """Return accuracy by confidence in percent, before and after the temperature; the index is the bins' middle."""
    found = {
        name: calibration.reliability(a.targets, softmax(a.log_probabilities), bins)
        for name, a in (("as it is", before), ("after the temperature", after))
    }
    middle = 100 * (found["as it is"].edges[1:] + found["as it is"].edges[:-1]) / 2
    lines = pd.DataFrame({name: 100 * r.accuracy for name, r in found.items()}, index=middle)
    return lines.assign(perfect=middle)
