"""Compute and check probabilities.

All in NumPy and float64, so that metrics do not depend on how a backend rounds.
"""

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
