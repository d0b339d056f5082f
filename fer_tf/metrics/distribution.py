"""Check probabilities, and measure distances between distributions.

All in NumPy and float64, so that metrics do not depend on how a backend rounds.

The six measures take targets and probabilities, float (N, C) with rows that sum to 1, and return one number per face,
float64 (N,). Where a class has 0 in both, its term 0/0 counts 0 (Clark, Canberra). Shapes that differ, or no face, are
a ``UserError``.
"""

from collections.abc import Callable, Mapping

import numpy as np

from fer_tf.errors import UserError


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into log-probabilities.

    Args:
        logits: float (…, C).

    Returns:
        float64 (…, C), in nats.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.log_softmax([[1000.0, 0.0]])
        array([[    0., -1000.]])
    """
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities.

    Args:
        logits: float (…, C).

    Returns:
        float64 (…, C), rows sum to 1.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.softmax([[2.0, 2.0]])
        array([[0.5, 0.5]])
    """
    return np.exp(log_softmax(logits))


def check_pair(targets: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions as float64 (N, C).

    Raises:
        UserError: their shapes differ, or there is no face.
    """
    t, p = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if t.shape != p.shape or t.ndim != 2 or not len(t):
        raise UserError(f"Targets {t.shape} and predictions {p.shape} must have one shape (N, C), N > 0.")
    return t, p


# Predicted probabilities below this are raised to it before their logarithm.
_SMALLEST = 1e-7


def _relative_difference(d: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return |d − p| / (d + p), 0 where both are 0."""
    total = d + p
    return np.abs(d - p) / np.where(total > 0, total, 1)


def chebyshev(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the Chebyshev distance max_k |d_k − p_k|.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        float64 (N,), from 0 (equal) to 1.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.chebyshev(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.25, 0.25]]))
        array([0.25])
    """
    d, p = check_pair(targets, probabilities)
    return np.abs(d - p).max(axis=1)


def clark(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the Clark distance √Σ_k ((d_k − p_k) / (d_k + p_k))².

    A class that is 0 in the targets adds a full 1, however small its prediction: softmax outputs score badly.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        float64 (N,), from 0 (equal) to √C.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.clark(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.25, 0.25]])).round(4)
        array([1.0541])
    """
    return np.sqrt(np.square(_relative_difference(*check_pair(targets, probabilities))).sum(axis=1))


def canberra(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the Canberra distance Σ_k |d_k − p_k| / (d_k + p_k).

    A class that is 0 in the targets adds a full 1, however small its prediction: softmax outputs score badly.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        float64 (N,), from 0 (equal) to C.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.canberra(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.25, 0.25]])).round(4)
        array([1.3333])
    """
    return _relative_difference(*check_pair(targets, probabilities)).sum(axis=1)


def kl(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the Kullback–Leibler divergence Σ_k d_k ln(d_k / p_k).

    0·ln 0 counts 0, and p_k counts at least 1e-7.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        float64 (N,), in nats; 0 where equal.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.kl(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.25, 0.25]])).round(4)
        array([0.3466])
    """
    d, p = check_pair(targets, probabilities)
    return (d * np.log(np.where(d > 0, d, 1) / np.maximum(p, _SMALLEST))).sum(axis=1)


def cosine(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the cosine similarity d·p / (‖d‖‖p‖).

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        float64 (N,), from 0 (no class in common) to 1 (equal).

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.cosine(np.array([[1.0, 0.0]]), np.array([[0.6, 0.4]])).round(4)
        array([0.8321])
    """
    d, p = check_pair(targets, probabilities)
    return (d * p).sum(axis=1) / (np.linalg.norm(d, axis=1) * np.linalg.norm(p, axis=1))


def intersection(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Compute the intersection similarity Σ_k min(d_k, p_k).

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        float64 (N,), from 0 (no class in common) to 1 (equal).

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.intersection(np.array([[0.5, 0.5, 0.0]]), np.array([[0.5, 0.25, 0.25]]))
        array([0.75])
    """
    return np.minimum(*check_pair(targets, probabilities)).sum(axis=1)


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    f.__name__: f for f in (chebyshev, clark, canberra, kl, cosine, intersection)
}


def distribution_means(targets: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Compute the mean over faces of each of the six measures.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        Means by the names ``chebyshev``, ``clark``, ``canberra``, ``kl``, ``cosine``, ``intersection``.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.distribution_means(np.eye(2), np.full((2, 2), 0.5))["chebyshev"]
        0.5
    """
    return {name: float(measure(targets, probabilities).mean()) for name, measure in MEASURES.items()}


def entropy(distributions: np.ndarray) -> np.ndarray:
    """Compute the entropy −Σ_k d_k ln d_k of each row, with 0·ln 0 = 0.

    Args:
        distributions: float (…, C), rows sum to 1.

    Returns:
        float64 (…,), in nats, from 0 (one class) to ln C (all classes equal).

    Example:
        >>> from fer_tf import metrics
        >>> metrics.entropy([[0.5, 0.5], [0.25, 0.75]]).round(4)
        array([0.6931, 0.5623])
    """
    d = np.asarray(distributions, np.float64)
    return -(d * np.log(np.where(d > 0, d, 1))).sum(axis=-1)


def entropy_correlation(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute Pearson's correlation of the entropies of targets and predictions.

    It tells whether the network is uncertain about the faces on which the annotators disagree.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        From −1 to 1; NaN where all targets, or all predictions, have the same entropy.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> targets = np.array([[0.5, 0.5], [0.9, 0.1], [0.7, 0.3]])
        >>> round(metrics.entropy_correlation(targets, targets[:, ::-1]), 6)
        1.0
    """
    first, second = (entropy(x) for x in check_pair(targets, probabilities))
    if min(np.ptp(first), np.ptp(second)) < 1e-9:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
