"""The measures of an attack, with bootstrap intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fer_tf.privacy import roc

# Name of the measure, and the share of non-members that may be called members.
LOW_FPR: Mapping[str, float] = {"tpr_at_1_percent": 0.01, "tpr_at_0.1_percent": 0.001}
MEASURES = ("auc", "balanced_accuracy", "advantage", *LOW_FPR)
COVERAGE = 0.95


def measured(
    scores: np.ndarray, decided: np.ndarray, member: np.ndarray, seed: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Measure an attack.

    Members and non-members are resampled apart, with replacement; intervals hold the middle 95 % of what comes out.
    The threshold behind ``decided`` stays. ``advantage`` takes the best threshold of the faces that it is measured on,
    in each resample anew: in small groups it, and its interval, lie above 0 by chance alone.

    Args:
        scores: float (N,), higher for members.
        decided: bool (N,), called a member.
        member: bool (N,).
        seed: of the bootstrap.
        resamples: how many; 0 leaves the intervals ``None``.

    Returns:
        ``members`` and ``non_members``; ``tp``, ``fp``, ``tn``, ``fn``; and for each of ``MEASURES`` a dict of
        ``value``, ``low``, ``high``. All of these are ``None`` where a side has no face.
    """
    decisions = roc.counts(decided, member)
    record: dict[str, Any] = {
        "members": int(member.sum()), "non_members": int((~member).sum()), **decisions._asdict(),
    }  # fmt: skip
    if not record["members"] or not record["non_members"]:
        return {**record, **{name: dict.fromkeys(("value", "low", "high")) for name in MEASURES}}
    sides, levels = _sides(scores, decided, member)
    values = _values(sides, levels)
    rng = np.random.default_rng([seed, 0xB007])
    draws = [_values([_resampled(side, rng) for side in sides], levels) for _ in range(resamples)]
    low, high = [None] * len(values), [None] * len(values)
    if resamples:
        outside = 50 * (1 - COVERAGE)
        low, high = np.percentile(draws, [outside, 100 - outside], axis=0).tolist()
    for name, *row in zip(MEASURES, values, low, high, strict=True):
        record[name] = dict(zip(("value", "low", "high"), row, strict=True))
    return record


Side = tuple[np.ndarray, np.ndarray]


def _sides(scores: np.ndarray, decided: np.ndarray, member: np.ndarray) -> tuple[list[Side], int]:
    """Return each side's places among the different scores and its decisions, and how many different scores."""
    values, place = roc.ranks(scores)
    return [(place[rows], decided[rows]) for rows in (~member, member)], len(values)


def _resampled(side: Side, rng: np.random.Generator) -> Side:
    rows = rng.integers(0, len(side[0]), len(side[0]))
    return side[0][rows], side[1][rows]


def _values(sides: list[Side], levels: int) -> list[float]:
    """Return the numbers of ``MEASURES``, in their order."""
    # Scores are ranked once; a resample only counts ranks, which is ten times faster than sorting it.
    fpr, tpr = (roc.rates(place, levels) for place, _ in sides)
    called = [decided.mean() for _, decided in sides]
    return [
        roc.area(fpr, tpr), float(called[1] + 1 - called[0]) / 2, roc.advantage(fpr, tpr),
        *(roc.tpr_at(fpr, tpr, most) for most in LOW_FPR.values()),
    ]  # fmt: skip
