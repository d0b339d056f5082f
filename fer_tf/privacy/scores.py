"""Scores that need nothing but the network's answers: the higher, the likelier a face was in training.

Answers are log-probabilities, float64 (N, C) with C ≥ 2, so that a probability that rounds to 1 keeps its rank;
``labels`` are int (N,), the label that the attacker knows. Each function returns float64 (N,).
"""

import numpy as np

from fer_tf.errors import UserError
from fer_tf.metrics.probabilities import log_softmax

# Probabilities given as numbers are raised to this, the smallest float32, before their logarithm.
SMALLEST = 1e-45


def from_logits(logits: np.ndarray) -> np.ndarray:
    """Turn logits (…, C) into log-probabilities.

    Raises:
        UserError: fewer than two classes, or a number that is not finite.
    """
    logits = np.asarray(logits, np.float64)
    _check("Logits", logits)
    return log_softmax(logits)


def from_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Turn probabilities (…, C) into log-probabilities.

    Raises:
        UserError: fewer than two classes, or a row that is no distribution.
    """
    p = np.asarray(probabilities, np.float64)
    _check("Probabilities", p)
    rows = p.reshape(-1, p.shape[-1])
    bad = np.flatnonzero((rows < 0).any(axis=1) | (np.abs(rows.sum(axis=1) - 1) > 1e-3))
    if bad.size:
        raise UserError(f"Row {bad[0]} is no distribution: {rows[bad[0]].tolist()}. Expected values ≥ 0 of sum 1.")
    return np.log(np.maximum(p, SMALLEST))


def _check(name: str, values: np.ndarray) -> None:
    if values.ndim < 2 or values.shape[-1] < 2 or not values.size:
        raise UserError(f"{name} must be (N, C) with C of two or more and N > 0, got {values.shape}.")
    bad = np.flatnonzero(~np.isfinite(values.reshape(-1, values.shape[-1])).all(axis=1))
    if bad.size:
        raise UserError(f"{name} of row {bad[0]} are not finite.")


def log_complements(log_probabilities: np.ndarray) -> np.ndarray:
    """Return ln(1 − p_k) of every class, float64 (N, C), exact also where p_k rounds to 1."""
    rows = np.arange(len(log_probabilities))
    top = log_probabilities.argmax(axis=1)
    rest = log_probabilities.copy()
    rest[rows, top] = -np.inf
    highest = rest.max(axis=1)
    # Only the highest probability can be above a half; of the others 1 − p loses nothing.
    complements = np.log1p(-np.exp(rest))
    complements[rows, top] = highest + np.log(np.exp(rest - highest[:, None]).sum(axis=1))
    return complements


def of_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each row's entry of its label, (N,)."""
    return values[np.arange(len(values)), labels]


def correctness(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return 1 where the most probable class is the label, else 0: what the generalisation gap alone gives away."""
    return (log_probabilities.argmax(axis=1) == labels).astype(np.float64)


def loss(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return ln p_y, the negative cross-entropy, at most 0."""
    return of_label(log_probabilities, labels)


def confidence(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the logarithm of the highest probability; for an attacker who does not know the label."""
    return log_probabilities.max(axis=1)


def entropy(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return Σ p ln p, the negative entropy in nats; for an attacker who does not know the label."""
    return (np.exp(log_probabilities) * log_probabilities).sum(axis=1)


def modified_entropy(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (1 − p_y) ln p_y + Σ_{k≠y} p_k ln(1 − p_k): near 0 only where the network is sure and right.

    References:
        Song and Mittal, arXiv 2003.10595 (its Mentr with the sign turned).
    """
    complements = log_complements(log_probabilities)
    terms = np.exp(log_probabilities) * complements
    own = np.exp(of_label(complements, labels)) * of_label(log_probabilities, labels)
    return own + terms.sum(axis=1) - of_label(terms, labels)


def scaled_confidence(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return φ = ln(p_y / (1 − p_y)), which over networks is nearly normal (arXiv 2112.03570, section V)."""
    return of_label(log_probabilities, labels) - of_label(log_complements(log_probabilities), labels)
