"""The check that targets and predictions belong together."""

import numpy as np

from fer_tf.errors import UserError


def checked_pair(targets: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 (N, C).

    Raises:
        UserError: their shapes differ, or there is no face.
    """
    t, p = np.asarray(targets, np.float64), np.asarray(predicted, np.float64)
    if t.shape != p.shape or t.ndim != 2 or not len(t):
        raise UserError(f"Targets {t.shape} and predictions {p.shape} must have one shape (N, C), N > 0.")
    return t, p
