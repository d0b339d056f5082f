"""How well scores tell members from non-members.

``scores`` are float (N,), higher for members; ``member`` is bool (N,). Equal scores are decided alike.
"""

from typing import NamedTuple

import numpy as np

from fer_tf.errors import UserError
from fer_tf.privacy.draws import audit_halves


class Roc(NamedTuple):
    """What every threshold gives, from none called a member to all.

    Attributes:
        thresholds: float (K + 1,), ∞ and the K different scores, descending; a face of this score or more is called a
            member.
        fpr: float (K + 1,), the share of non-members called members, from 0 to 1.
        tpr: float (K + 1,), the share of members called members.
    """

    thresholds: np.ndarray
    fpr: np.ndarray
    tpr: np.ndarray


class Counts(NamedTuple):
    """Decisions: members called members, non-members called members, and those called non-members."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the two sides' shares of right decisions; a half is chance."""
        return (self.tp / (self.tp + self.fn) + self.tn / (self.tn + self.fp)) / 2


def ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different scores, descending (K,), and each row's place among them, int (N,)."""
    if np.isnan(scores).any():
        raise UserError(f"Score of row {np.flatnonzero(np.isnan(scores))[0]} is no number.")
    values, place = np.unique(scores, return_inverse=True)
    return values[::-1], len(values) - 1 - place


def rates(place: np.ndarray, levels: int) -> np.ndarray:
    """Return which share of some rows has one of the first k scores, k from 0 to ``levels``: float (levels + 1,)."""
    return np.concatenate([[0.0], np.cumsum(np.bincount(place, minlength=levels)) / len(place)])


def roc(scores: np.ndarray, member: np.ndarray) -> Roc:
    """Return the curve of all thresholds.

    Raises:
        UserError: no member, no non-member, or a score that is no number.
    """
    scores, member = np.asarray(scores, np.float64), np.asarray(member, bool)
    if not member.any() or member.all():
        raise UserError(f"{member.sum()} members of {len(member)} faces. Expected some of both sides.")
    values, place = ranks(scores)
    sides = (rates(place[member == side], len(values)) for side in (False, True))
    return Roc(np.concatenate([[np.inf], values]), *sides)


def area(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Return the area under a curve: how often a member scores above a non-member, ties counting half."""
    return float(np.trapezoid(tpr, fpr))


def tpr_at(fpr: np.ndarray, tpr: np.ndarray, most: float) -> float:
    """Return the highest share of members found while at most ``most`` of the non-members are called members.

    Only thresholds that the scores have count: nothing is interpolated.
    """
    # The slack keeps 3 of 3,000 within 0.1 %.
    return float(tpr[np.searchsorted(fpr, most + 1e-12, side="right") - 1])


def advantage(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Return the largest TPR − FPR, in [0, 1]; 2 · (best balanced accuracy) − 1."""
    return float((tpr - fpr).max())


def best_threshold(curve: Roc) -> float:
    """Return the threshold of the largest TPR − FPR; the highest of equals."""
    return float(curve.thresholds[(curve.tpr - curve.fpr).argmax()])


def held_out_decisions(scores: np.ndarray, member: np.ndarray, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Call faces members by a threshold that was chosen on the other half of them; bool (N,)."""
    first = audit_halves(labels, member, seed)
    decided = np.empty(len(scores), bool)
    for half in (first, ~first):
        decided[half] = scores[half] >= best_threshold(roc(scores[~half], member[~half]))
    return decided


def counts(decided: np.ndarray, member: np.ndarray) -> Counts:
    """Count right and wrong decisions."""
    pairs = (decided & member, decided & ~member, ~decided & ~member, ~decided & member)
    return Counts(*(int(pair.sum()) for pair in pairs))
