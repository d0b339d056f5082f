"""Measure attacks: ROC curves, thresholds and intervals.

``scores`` are float (N,), higher for members; ``member`` is bool (N,). Faces of equal scores are decided alike.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fer_tf.errors import UserError
from fer_tf.privacy.predictions import audit_halves

# Name of the measure, and the share of non-members that may be called members.
_LOW_FPR: Mapping[str, float] = {"tpr_at_1_percent": 0.01, "tpr_at_0.1_percent": 0.001}
MEASURES = ("auc", "balanced_accuracy", "advantage", *_LOW_FPR)
_COVERAGE = 0.95

# One side's faces: the rank of each score among all different ones (0 is the highest), and the decisions.
_Side = tuple[np.ndarray, np.ndarray]


class RocCurve(NamedTuple):
    """The false and true positive rates of every threshold, from no face called a member to all.

    Attributes:
        thresholds: float (K + 1,), ∞ and the K different scores, descending; faces with at least this score are called
            members.
        fpr: float (K + 1,), share of the non-members that are called members, from 0 to 1.
        tpr: float (K + 1,), share of the members that are called members, from 0 to 1.

    Example:
        >>> from fer_tf import privacy
        >>> curve = privacy.RocCurve(thresholds=[float("inf"), 2.0, 1.0], fpr=[0.0, 0.0, 1.0], tpr=[0.0, 0.5, 1.0])
        >>> curve.auc
        0.75
    """

    thresholds: np.ndarray
    fpr: np.ndarray
    tpr: np.ndarray

    @property
    def auc(self) -> float:
        """Area under the curve: how often a member scores above a non-member; a tie counts half."""
        return float(np.trapezoid(self.tpr, self.fpr))

    @property
    def advantage(self) -> float:
        """The largest TPR − FPR, from 0 to 1; it is 2 · (best balanced accuracy) − 1."""
        return float((self.tpr - self.fpr).max())

    @property
    def best_threshold(self) -> float:
        """The threshold of the largest TPR − FPR; the highest of equals."""
        return float(self.thresholds[(self.tpr - self.fpr).argmax()])

    def tpr_at(self, fpr: float) -> float:
        """Return the highest TPR at a false positive rate of at most ``fpr``; nothing is interpolated."""
        # The slack keeps 3 of 3,000 within 0.1 %.
        return float(self.tpr[np.searchsorted(self.fpr, fpr + 1e-12, side="right") - 1])


class Counts(NamedTuple):
    """Numbers of decisions: true and false positives (called members), true and false negatives."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares of right decisions on both sides; 0.5 is chance."""
        return (self.tp / (self.tp + self.fn) + self.tn / (self.tn + self.fp)) / 2


def roc_curve(scores: np.ndarray, member: np.ndarray) -> RocCurve:
    """Compute the ROC curve of all thresholds.

    Args:
        scores: float (N,), higher for members.
        member: bool (N,).

    Returns:
        A ``RocCurve``.

    Raises:
        UserError: no member, no non-member, or a score that is NaN.

    Example:
        >>> from fer_tf import privacy
        >>> curve = privacy.roc_curve([4, 3, 3, 1], [True, True, False, False])
        >>> curve.auc, curve.tpr_at(0.01)
        (0.875, 0.5)
    """
    scores, member = np.asarray(scores, np.float64), np.asarray(member, bool)
    if not member.any() or member.all():
        raise UserError(f"{member.sum()} of {len(member)} faces are members. Expected members and non-members.")
    values, rank = _ranks(scores)
    return RocCurve(
        np.concatenate([[np.inf], values]), *(_rates(rank[member == s], len(values)) for s in (False, True))
    )


def held_out_decisions(scores: np.ndarray, member: np.ndarray, labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Decide on each half of the faces by the best threshold of the other half.

    Args:
        scores: float (N,), higher for members.
        member: bool (N,).
        labels: int (N,); the halves are stratified by them.
        seed: of the halves.

    Returns:
        bool (N,), true for faces that are called members.
    """
    first = audit_halves(labels, member, seed)
    decided = np.empty(len(scores), bool)
    for half in (first, ~first):
        decided[half] = scores[half] >= roc_curve(scores[~half], member[~half]).best_threshold
    return decided


def count_decisions(decided: np.ndarray, member: np.ndarray) -> Counts:
    """Count right and wrong decisions, bool (N,) each."""
    pairs = (decided & member, decided & ~member, ~decided & ~member, ~decided & member)
    return Counts(*(int(pair.sum()) for pair in pairs))


def measure_attack(
    scores: np.ndarray, decided: np.ndarray, member: np.ndarray, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Measure an attack, with 95 % bootstrap intervals.

    Members and non-members are resampled separately, with replacement; the threshold behind ``decided`` stays.
    ``advantage`` takes the best threshold of the faces that it is measured on, in each resample anew: in small groups
    it, and its interval, lie above 0 by chance alone.

    Args:
        scores: float (N,), higher for members.
        decided: bool (N,), faces that are called members, see ``held_out_decisions``.
        member: bool (N,).
        seed: of the bootstrap.
        resamples: number of resamples; 0 leaves the intervals ``None``.

    Returns:
        ``members`` and ``non_members``; ``tp``, ``fp``, ``tn``, ``fn``; and for each of ``MEASURES`` a dict of
        ``value``, ``low``, ``high``. All three are ``None`` where there are no members, or no non-members.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> scores, member = np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False])
        >>> found = privacy.measure_attack(scores, scores > 2.5, member, resamples=0)
        >>> found["tp"], found["fp"], found["auc"]["value"]
        (1, 1, 0.75)
    """
    record: dict[str, Any] = {
        "members": int(member.sum()), "non_members": int((~member).sum()),
        **count_decisions(decided, member)._asdict(),
    }  # fmt: skip
    if not record["members"] or not record["non_members"]:
        return {**record, **{name: dict.fromkeys(("value", "low", "high")) for name in MEASURES}}
    ranked, rank = _ranks(scores)
    sides = [(rank[rows], decided[rows]) for rows in (~member, member)]
    values = _values(sides, ranked)
    rng = np.random.default_rng([seed, 0xB007])
    draws = [_values([_resample(side, rng) for side in sides], ranked) for _ in range(resamples)]
    low, high = [None] * len(values), [None] * len(values)
    if resamples:
        outside = 50 * (1 - _COVERAGE)
        low, high = np.percentile(draws, [outside, 100 - outside], axis=0).tolist()
    for name, *row in zip(MEASURES, values, low, high, strict=True):
        record[name] = dict(zip(("value", "low", "high"), row, strict=True))
    return record


def _ranks(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different scores, descending (K,), and the place of each face's score among them, int (N,)."""
    if np.isnan(scores).any():
        raise UserError(f"Score of row {np.flatnonzero(np.isnan(scores))[0]} is not a number (NaN).")
    values, place = np.unique(scores, return_inverse=True)
    return values[::-1], len(values) - 1 - place


def _rates(rank: np.ndarray, levels: int) -> np.ndarray:
    """Return the share of faces with one of the first k scores, k from 0 to ``levels``: float (levels + 1,)."""
    return np.concatenate([[0.0], np.cumsum(np.bincount(rank, minlength=levels)) / len(rank)])


def _resample(side: _Side, rng: np.random.Generator) -> _Side:
    rows = rng.integers(0, len(side[0]), len(side[0]))
    return side[0][rows], side[1][rows]


def _values(sides: list[_Side], ranked: np.ndarray) -> list[float]:
    """Return the numbers of ``MEASURES``, in their order."""
    # Scores are ranked once; a resample only counts ranks, which is ten times faster than sorting it.
    curve = RocCurve(ranked, *(_rates(rank, len(ranked)) for rank, _ in sides))
    called = [decided.mean() for _, decided in sides]
    return [
        curve.auc, float(called[1] + 1 - called[0]) / 2, curve.advantage,
        *(curve.tpr_at(fpr) for fpr in _LOW_FPR.values()),
    ]  # fmt: skip
