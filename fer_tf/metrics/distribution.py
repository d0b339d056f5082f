"""How far a predicted label distribution is from the true one (arXiv 1408.6027).

Every function takes targets and probabilities, float (N, C) with rows that sum to 1, and returns one number a face,
float64 (N,). Where a class has 0 in both, its term 0/0 counts 0 (Clark, Canberra).
"""

from collections.abc import Callable, Mapping

import numpy as np

from fer_tf.metrics.pairs import checked_pair

# Predicted probabilities below this are raised to it before their logarithm.
SMALLEST = 1e-7


def _relative_difference(d: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return |d − p| / (d + p), 0 where both are 0."""
    total = d + p
    return np.abs(d - p) / np.where(total > 0, total, 1)


def chebyshev(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return max_k |d_k − p_k|, from 0 (equal) to 1."""
    d, p = checked_pair(targets, probabilities)
    return np.abs(d - p).max(axis=1)


def clark(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return √Σ_k ((d_k − p_k) / (d_k + p_k))², from 0 (equal) to √C.

    A class that is 0 in the targets counts a full 1 however small its prediction, so soft outputs score badly.
    """
    return np.sqrt(np.square(_relative_difference(*checked_pair(targets, probabilities))).sum(axis=1))


def canberra(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return Σ_k |d_k − p_k| / (d_k + p_k), from 0 (equal) to C; the remark at ``clark`` holds here too."""
    return _relative_difference(*checked_pair(targets, probabilities)).sum(axis=1)


def kl(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return Σ_k d_k ln(d_k / p_k) in nats, with 0·ln 0 = 0 and p_k at least 1e-7; 0 where equal."""
    d, p = checked_pair(targets, probabilities)
    return (d * np.log(np.where(d > 0, d, 1) / np.maximum(p, SMALLEST))).sum(axis=1)


def cosine(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return d·p / (‖d‖‖p‖), from 0 (no class in common) to 1 (equal)."""
    d, p = checked_pair(targets, probabilities)
    return (d * p).sum(axis=1) / (np.linalg.norm(d, axis=1) * np.linalg.norm(p, axis=1))


def intersection(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return Σ_k min(d_k, p_k), from 0 (no class in common) to 1 (equal)."""
    return np.minimum(*checked_pair(targets, probabilities)).sum(axis=1)


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    f.__name__: f for f in (chebyshev, clark, canberra, kl, cosine, intersection)
}


def averages(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return the mean over the faces of each of the six measures, by name."""
    return {name: float(measure(targets, probabilities).mean()) for name, measure in MEASURES.items()}


def entropy(distributions: np.ndarray) -> np.ndarray:
    """Return −Σ_k d_k ln d_k of each row (N, C) in nats, from 0 (one class) to ln C; 0·ln 0 = 0."""
    d = np.asarray(distributions, np.float64)
    return -(d * np.log(np.where(d > 0, d, 1))).sum(axis=-1)


def entropy_correlation(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Return Pearson's correlation of the entropies: whether the network doubts where the taggers disagree.

    NaN where all targets, or all predictions, have the same entropy.
    """
    ours, theirs = (entropy(x) for x in checked_pair(targets, probabilities))
    if min(np.ptp(ours), np.ptp(theirs)) < 1e-9:
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])
