"""Measure accuracy when the least confident predictions are rejected."""

import numpy as np

from fer_tf.errors import UserError


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
