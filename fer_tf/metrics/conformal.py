"""Reject uncertain predictions, or predict sets of classes (conformal).

A conformal score (N, C) is large for a class that would be unusual for the face. ``thresholds`` finds, on faces that
the network was not trained on, how unusual the right class may be; the set of a new face has all classes up to that
limit. Whatever the network, if the calibration faces and the new one come in random order, the set holds the right
class with a probability of at least 1 − α, and at most 1/(n + 1) more where scores have no ties (arXiv 2107.07511).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fer_tf.errors import UserError, unknown_name


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the risk–coverage curve: the error rate on the most confident faces.

    Faces of equal confidence may come in any order: each counts the mean of their errors.

    Args:
        confidence: float (N,), large for confident.
        right: bool (N,), whether the prediction is right.

    Returns:
        float64 (N,), the coverages 1/N to 1 (shares of faces that are answered), and float64 (N,), the risks (shares of
        those answers that are wrong).

    Raises:
        UserError: shapes that differ, no face, or a confidence that is NaN.

    References:
        arXiv 1705.08500.

    Example:
        >>> from fer_tf import metrics
        >>> coverage, risk = metrics.risk_coverage([0.9, 0.8, 0.7, 0.6], [True, True, False, True])
        >>> coverage, risk.round(2)
        (array([0.25, 0.5 , 0.75, 1.  ]), array([0.  , 0.  , 0.33, 0.25]))
    """
    confidence, wrong = np.asarray(confidence, np.float64), ~np.asarray(right, bool)
    if confidence.shape != wrong.shape or confidence.ndim != 1 or not len(wrong):
        raise UserError(f"confidence {confidence.shape} and right {wrong.shape} must have one shape (N,), N > 0.")
    if np.isnan(confidence).any():
        raise UserError(f"Confidence of row {np.flatnonzero(np.isnan(confidence))[0]} is not a number (NaN).")
    _, group = np.unique(-confidence, return_inverse=True)
    shared = (np.bincount(group, wrong) / np.bincount(group))[group]
    answered = np.arange(1, len(wrong) + 1)
    return answered / len(wrong), np.cumsum(shared[np.argsort(group, kind="stable")]) / answered


def aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """Compute the area under the risk–coverage curve, the mean risk of all coverages.

    Args:
        confidence: float (N,), large for confident.
        right: bool (N,), whether the prediction is right.

    Returns:
        From 0 (no error) to 1.

    Raises:
        UserError: as ``risk_coverage``.

    Example:
        >>> from fer_tf import metrics
        >>> round(metrics.aurc([0.9, 0.8, 0.7, 0.6], [True, True, False, True]), 4)
        0.1458
    """
    return float(risk_coverage(confidence, right)[1].mean())


def excess_aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """Compute by how much ``aurc`` exceeds that of a confidence that ranks all errors last.

    Args:
        confidence: float (N,), large for confident.
        right: bool (N,), whether the prediction is right.

    Returns:
        0 for the best order.

    Raises:
        UserError: as ``risk_coverage``.

    References:
        arXiv 1805.08206.

    Example:
        >>> from fer_tf import metrics
        >>> round(metrics.excess_aurc([0.9, 0.8, 0.7, 0.6], [True, True, False, True]), 4)
        0.0833
    """
    return aurc(confidence, right) - aurc(np.asarray(right, float), right)


def accuracy_at_coverage(confidence: np.ndarray, right: np.ndarray, coverage: float) -> float:
    """Compute the accuracy on the most confident share of the faces.

    Args:
        confidence: float (N,), large for confident.
        right: bool (N,), whether the prediction is right.
        coverage: share of the faces that are answered, above 0 to 1; at least one face is.

    Returns:
        From 0 to 1.

    Raises:
        UserError: as ``risk_coverage``.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.accuracy_at_coverage([0.9, 0.8, 0.7, 0.6], [True, True, False, True], coverage=0.5)
        1.0
    """
    _, risk = risk_coverage(confidence, right)
    return float(1 - risk[max(1, round(coverage * len(risk))) - 1])


# A second class is free, a third is not. On FER2013 a price of 0.1 lifts the limit so far that every set has two.
_PENALTY, _FREE = 0.02, 2


def lac(probabilities: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
    """Score classes by 1 − p (LAC).

    Sets are the smallest on average, and often too small for difficult faces.

    Args:
        probabilities: float (N, C), rows sum to 1.
        draws: not used; all scores have the same signature.

    Returns:
        float64 (N, C).

    References:
        Least ambiguous set-valued classifiers, arXiv 1609.00451.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.lac([[0.75, 0.25]])
        array([[0.25, 0.75]])
    """
    return 1 - np.asarray(probabilities, np.float64)


def aps(probabilities: np.ndarray, draws: np.ndarray | None = None, penalty: float = 0.0, free: int = 0) -> np.ndarray:
    """Score classes by the probability of all more probable ones (APS, RAPS).

    A random share of the class's own probability is added. Classes of equal probability keep their order.

    Args:
        probabilities: float (N, C), rows sum to 1.
        draws: float (N,), uniform in [0, 1], one per face: the random shares. ``None`` adds each class whole: sets are
            then larger, and hold the right class more often than promised.
        penalty: λ, added for each rank after the first ``free`` ones; 0 is APS.
        free: how many ranks cost nothing.

    Returns:
        float64 (N, C).

    References:
        arXiv 2006.02544; with a penalty (RAPS) arXiv 2009.14193, equation 4.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.aps([[0.25, 0.75]], draws=[0.5])
        array([[0.875, 0.375]])
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
    """Score classes as ``aps`` does, with a penalty on each class after the second.

    The penalty of 0.02 a rank keeps sets short.

    Args:
        probabilities: float (N, C), rows sum to 1.
        draws: as of ``aps``.

    Returns:
        float64 (N, C).

    References:
        arXiv 2009.14193.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.raps([[0.5, 0.25, 0.25]])
        array([[0.5 , 0.75, 1.02]])
    """
    return aps(probabilities, draws, _PENALTY, _FREE)


SCORES: Mapping[str, Callable[..., np.ndarray]] = {f.__name__: f for f in (lac, aps, raps)}


def quantile(scores: np.ndarray, alpha: float) -> float:
    """Return the ⌈(n + 1)(1 − α)⌉-th smallest of n scores.

    Args:
        scores: float (n,).
        alpha: α in (0, 1).

    Returns:
        The score; infinity where n is too small for the promise.

    Raises:
        UserError: α out of range, or a score that is NaN.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.quantile([0.1, 0.2, 0.3, 0.4], alpha=0.5)
        0.3
    """
    scores = np.sort(np.asarray(scores, np.float64))
    if not 0 < alpha < 1:
        raise UserError(f"alpha is {alpha!r}. Expected a number between 0 and 1, such as 0.1.")
    if np.isnan(scores).any():
        raise UserError("A conformal score is not a number (NaN).")
    # (n + 1)(1 − α) in binary is a hair above the whole number that it often is.
    rank = int(np.ceil(np.round((len(scores) + 1) * (1 - alpha), 9)))
    return float(scores[rank - 1]) if rank <= len(scores) else float("inf")


def thresholds(scores: np.ndarray, labels: np.ndarray, alpha: float, by_class: bool = False) -> np.ndarray:
    """Find the highest score that a class may have to be in a set.

    Args:
        scores: float (N, C), of faces that the network was not trained on.
        labels: int (N,), the right classes.
        alpha: share of sets that may miss the right class.
        by_class: keep the promise for the faces of each class (Mondrian): its limit comes from its own faces, and
            a class with fewer than 1/α − 1 of them is in every set.

    Returns:
        float64 (C,), a limit per class; all equal unless ``by_class``.

    Raises:
        UserError: shapes that differ, no face, or α out of range.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.thresholds([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]], [0, 0, 1], alpha=0.5)
        array([0.2, 0.2])
    """
    scores, labels = _check(scores, labels)
    own = scores[np.arange(len(labels)), labels]
    if not by_class:
        return np.full(scores.shape[1], quantile(own, alpha))
    return np.array([quantile(own[labels == c], alpha) for c in range(scores.shape[1])])


def sets(scores: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return which classes are in the set of each face.

    Args:
        scores: float (N, C).
        limits: float (C,), from ``thresholds``.

    Returns:
        bool (N, C), true for the classes whose score is at most their limit.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.sets([[0.1, 0.9], [0.2, 0.15]], [0.2, 0.2])
        array([[ True, False],
               [ True,  True]])
    """
    return np.asarray(scores) <= np.asarray(limits)


def describe(chosen: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Measure the coverage and the size of sets.

    Args:
        chosen: bool (N, C), from ``sets``.
        labels: int (N,), the right classes.

    Returns:
        ``faces``; ``coverage``, the share of sets with the right class; ``size``, their mean number of classes;
        ``single`` and ``empty``, the shares of sets with one class and with none; ``worst_class``, the lowest coverage
        among the faces of a class.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> found = conformal.describe([[True, False], [True, True]], [1, 1])
        >>> found["coverage"], found["size"]
        (0.5, 1.5)
    """
    chosen, labels = _check(chosen, labels)
    held, size = chosen[np.arange(len(labels)), labels].astype(bool), chosen.sum(axis=1)
    return {
        "faces": len(labels),
        "coverage": float(held.mean()),
        "size": float(size.mean()),
        "single": float((size == 1).mean()),
        "empty": float((size == 0).mean()),
        "worst_class": min(float(held[labels == c].mean()) for c in np.unique(labels)),
    }


def get(name: str) -> Callable[..., np.ndarray]:
    """Return a conformal score by name.

    Args:
        name: ``"lac"``, ``"aps"`` or ``"raps"``.

    Returns:
        A function of probabilities (N, C) and random shares (N,), which returns scores (N, C).

    Raises:
        UserError: no such score.

    Example:
        >>> from fer_tf.metrics import conformal
        >>> conformal.get("lac")([[0.75, 0.25]])
        array([[0.25, 0.75]])
    """
    if name not in SCORES:
        raise unknown_name("conformal score", name, SCORES)
    return SCORES[name]


def _check(table: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    table, labels = np.asarray(table), np.asarray(labels)
    if table.ndim != 2 or labels.shape != table.shape[:1] or not len(labels):
        raise UserError(f"Scores {table.shape} and labels {labels.shape} must be (N, C) and (N,), N > 0.")
    return table, labels
