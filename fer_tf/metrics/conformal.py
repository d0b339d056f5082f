"""Sets of classes that hold the right one as often as promised: split conformal prediction.

A score says how strange a class would be for a face, (N, C), large for strange. On faces that the network was not
trained on, ``thresholds`` finds how strange the right class may be; a new face's set has all classes that are no
stranger. Whatever the network, if those faces and the new one come in no particular order, the set holds the right
class with a probability of at least 1 − α, and at most 1/(n + 1) more where scores have no ties (arXiv 2107.07511).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fer_tf.errors import UserError, unknown_name

# A second class is free, a third is not. On FER2013 a price of 0.1 lifts the limit so far that every set has two.
PENALTY, FREE = 0.02, 2


def lac(probabilities: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
    """Return 1 − p, float64 (N, C): the smallest sets on average, often too small for hard faces.

    Args:
        probabilities: float (N, C), rows sum to 1.
        draws: not used; taken so that all scores are called alike.

    References:
        Least ambiguous set-valued classifiers, arXiv 1609.00451.
    """
    return 1 - np.asarray(probabilities, np.float64)


def aps(probabilities: np.ndarray, draws: np.ndarray | None = None, penalty: float = 0.0, free: int = 0) -> np.ndarray:
    """Return the mass of all more probable classes and of a drawn share of the class itself, float64 (N, C).

    Classes of equal probability keep their order. Without the draw, sets are larger and hold the right class more often
    than promised.

    Args:
        probabilities: float (N, C), rows sum to 1.
        draws: float (N,), uniform in [0, 1], one a face; ``None`` counts every class whole.
        penalty: λ, added for each rank beyond ``free``; 0 is APS.
        free: how many ranks cost nothing.

    References:
        arXiv 2006.02544; with a penalty (RAPS) arXiv 2009.14193, equation 4.
    """
    p = np.asarray(probabilities, np.float64)
    share = np.ones((len(p), 1)) if draws is None else np.asarray(draws, np.float64).reshape(len(p), 1)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    beyond = np.maximum(np.arange(1, p.shape[1] + 1) - free, 0)
    scores = np.cumsum(ranked, axis=1) - ranked + share * ranked + penalty * beyond
    out = np.empty_like(scores)
    np.put_along_axis(out, order, scores, axis=1)
    return out


def raps(probabilities: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
    """Return ``aps`` with a price on every class beyond the second, which keeps sets from growing long."""
    return aps(probabilities, draws, PENALTY, FREE)


SCORES: Mapping[str, Callable[..., np.ndarray]] = {f.__name__: f for f in (lac, aps, raps)}


def quantile(scores: np.ndarray, alpha: float) -> float:
    """Return the ⌈(n + 1)(1 − α)⌉-th smallest of n scores; infinity where n is too small for such a promise.

    Args:
        scores: float (n,).
        alpha: α in (0, 1).

    Raises:
        UserError: α out of range, or a score that is no number.
    """
    scores = np.sort(np.asarray(scores, np.float64))
    if not 0 < alpha < 1:
        raise UserError(f"alpha is {alpha!r}. Expected a number between 0 and 1, such as 0.1.")
    if np.isnan(scores).any():
        raise UserError("A conformal score is no number (NaN).")
    # (n + 1)(1 − α) in binary is a hair above the whole number that it often is.
    rank = int(np.ceil(np.round((len(scores) + 1) * (1 - alpha), 9)))
    return float(scores[rank - 1]) if rank <= len(scores) else float("inf")


def thresholds(scores: np.ndarray, labels: np.ndarray, alpha: float, by_class: bool = False) -> np.ndarray:
    """Return how strange each class may be, float64 (C,), from faces whose class is known.

    Args:
        scores: float (N, C) of faces that the network was not trained on.
        labels: int (N,), the right classes.
        alpha: share of sets that may miss the right class.
        by_class: promise 1 − α to the faces of every class by itself (Mondrian); each class is then judged by its own
            faces alone, and one with fewer than 1/α − 1 of them is in every set.

    Raises:
        UserError: shapes that differ, no face, or α out of range.
    """
    scores, labels = _checked(scores, labels)
    own = scores[np.arange(len(labels)), labels]
    if not by_class:
        return np.full(scores.shape[1], quantile(own, alpha))
    return np.array([quantile(own[labels == c], alpha) for c in range(scores.shape[1])])


def sets(scores: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return which classes are in each face's set, bool (N, C): those whose score is at most their limit (C,)."""
    return np.asarray(scores) <= np.asarray(limits)


def describe(chosen: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return what sets are worth.

    Args:
        chosen: bool (N, C), see ``sets``.
        labels: int (N,), the right classes.

    Returns:
        ``faces``; ``coverage``, the share of sets with the right class; ``size``, their mean number of classes;
        ``single`` and ``empty``, the shares of sets with one class and with none; ``worst_class``, the lowest coverage
        among the faces of a class.
    """
    chosen, labels = _checked(chosen, labels)
    held, size = chosen[np.arange(len(labels)), labels].astype(bool), chosen.sum(axis=1)
    return {
        "faces": len(labels),
        "coverage": float(held.mean()),
        "size": float(size.mean()),
        "single": float((size == 1).mean()),
        "empty": float((size == 0).mean()),
        "worst_class": min(float(held[labels == c].mean()) for c in np.unique(labels)),
    }


def score_of(name: str) -> Callable[..., np.ndarray]:
    """Return a score by name.

    Raises:
        UserError: no such score.
    """
    if name not in SCORES:
        raise unknown_name("conformal score", name, SCORES)
    return SCORES[name]


def _checked(table: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    table, labels = np.asarray(table), np.asarray(labels)
    if table.ndim != 2 or labels.shape != table.shape[:1] or not len(labels):
        raise UserError(f"Scores {table.shape} and labels {labels.shape} must be (N, C) and (N,), N > 0.")
    return table, labels
