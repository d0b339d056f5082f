"""What is gained by leaving to somebody else the faces of which the network is least sure."""

import numpy as np

from fer_tf.errors import UserError


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answer for the surest faces first, and follow the share of wrong answers.

    Faces of equal confidence are answered for in any order: each counts the mean of their mistakes.

    Args:
        confidence: float (N,), large for sure.
        right: bool (N,), whether the answer is right.

    Returns:
        float64 (N,), the shares 1/N to 1 of faces answered for, and (N,), the shares of those answers that are wrong.

    Raises:
        UserError: shapes that differ, no face, or a confidence that is no number.

    References:
        arXiv 1705.08500.
    """
    confidence, wrong = np.asarray(confidence, np.float64), ~np.asarray(right, bool)
    if confidence.shape != wrong.shape or confidence.ndim != 1 or not len(wrong):
        raise UserError(f"confidence {confidence.shape} and right {wrong.shape} must have one shape (N,), N > 0.")
    if np.isnan(confidence).any():
        raise UserError("A confidence is no number (NaN).")
    _, group = np.unique(-confidence, return_inverse=True)
    shared = (np.bincount(group, wrong) / np.bincount(group))[group]
    answered = np.arange(1, len(wrong) + 1)
    return answered / len(wrong), np.cumsum(shared[np.argsort(group, kind="stable")]) / answered


def aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the area under the risk–coverage curve: the mean over all coverages of the share of wrong answers."""
    return float(risk_coverage(confidence, right)[1].mean())


def excess_aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return by how much ``aurc`` exceeds that of a confidence that puts all mistakes last (arXiv 1805.08206)."""
    return aurc(confidence, right) - aurc(np.asarray(right, float), right)


def accuracy_at(confidence: np.ndarray, right: np.ndarray, coverage: float) -> float:
    """Return the accuracy on the surest share of the faces, at least one of them."""
    _, risk = risk_coverage(confidence, right)
    return float(1 - risk[max(1, round(coverage * len(risk))) - 1])
