"""Attacks by a classifier (scikit-learn) that learned what answers for members look like."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import UserError, unknown_name
from fer_tf.privacy import scores
from fer_tf.privacy.draws import audit_halves

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

MISSING = (
    "Learned attackers need scikit-learn: pip install 'fer-tf[privacy]'. "
    "Or choose others: --attacks loss confidence entropy modified_entropy."
)


def require() -> None:
    """Raise a ``UserError`` unless scikit-learn is there."""
    if importlib.util.find_spec("sklearn") is None:
        raise UserError(MISSING)


def features(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what a classifier sees of a face: float (N, C + 2).

    The probabilities from high to low, φ (the loss on a scale without an end), and whether the network is right.
    """
    ordered = np.sort(np.exp(log_probabilities), axis=1)[:, ::-1]
    right = scores.correctness(log_probabilities, labels)
    return np.column_stack([ordered, scores.scaled_confidence(log_probabilities, labels), right])


def cross_fitted(
    log_probabilities: np.ndarray, labels: np.ndarray, member: np.ndarray, attacker: str = "logistic", seed: int = 0
) -> np.ndarray:
    """Score each half of the faces by a classifier that learned on the other half.

    Args:
        log_probabilities: float (N, C).
        labels: int (N,).
        member: bool (N,), what is learned.
        attacker: a name of ``ATTACKERS``.
        seed: of the halves (stratified by class and side) and of the classifier.

    Returns:
        float (N,), the classifier's probability of membership.

    Raises:
        UserError: an unknown attacker, too few faces, or scikit-learn is missing.
    """
    seen, first = features(log_probabilities, labels), audit_halves(labels, member, seed)
    probability = np.empty(len(labels))
    for half in (first, ~first):
        probability[half] = _fitted(attacker, seen[~half], member[~half], seed).predict_proba(seen[half])[:, 1]
    return probability


def from_shadows(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    shadow_log_probabilities: np.ndarray,
    shadow_member: np.ndarray,
    attacker: str = "logistic",
    seed: int = 0,
) -> np.ndarray:
    """Score faces by one classifier a class, which learned from shadow models on faces that they saw or not.

    Args:
        log_probabilities: float (N, C) of the audited network.
        labels: int (N,).
        shadow_log_probabilities: float (S, N, C).
        shadow_member: bool (S, N).
        attacker: a name of ``ATTACKERS``.
        seed: of the classifiers.

    Returns:
        float (N,), the classifiers' probability of membership.

    Raises:
        UserError: as ``cross_fitted``.
    """
    own = features(log_probabilities, labels)
    seen = np.stack([features(one, labels) for one in shadow_log_probabilities])
    probability = np.empty(len(labels))
    for label in np.unique(labels):
        rows = labels == label
        learned = seen[:, rows].reshape(-1, seen.shape[-1]), shadow_member[:, rows].ravel()
        probability[rows] = _fitted(attacker, *learned, seed).predict_proba(own[rows])[:, 1]
    return probability


def _fitted(attacker: str, seen: np.ndarray, member: np.ndarray, seed: int) -> "ClassifierMixin":
    if attacker not in ATTACKERS:
        raise unknown_name("attacker", attacker, ATTACKERS)
    if member.all() or not member.any():
        raise UserError(f"A learned attacker needs both sides to learn from; it got {len(member)} faces of one.")
    require()
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), ATTACKERS[attacker](len(member), seed)).fit(seen, member)


def _logistic(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, random_state=seed)


def _forest(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.ensemble import RandomForestClassifier

    # Leaves of one face would only learn that face.
    return RandomForestClassifier(100, min_samples_leaf=max(1, min(20, count // 20)), random_state=seed)


def _mlp(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((64,), early_stopping=count >= 200, max_iter=200, random_state=seed)


def _neighbours(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(max(1, min(50, count // 10)))


# From the number of faces and a seed to an untrained classifier.
ATTACKERS: Mapping[str, "Callable[[int, int], ClassifierMixin]"] = {
    "logistic": _logistic, "forest": _forest, "mlp": _mlp, "neighbours": _neighbours,
}  # fmt: skip
