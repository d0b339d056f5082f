"""Probabilities from logits, in float64 so that measures do not depend on how a backend rounds."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (…, C) into log-probabilities, float64 (…, C)."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (…, C) into probabilities, float64 (…, C), rows sum to 1."""
    return np.exp(log_softmax(logits))
