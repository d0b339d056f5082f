"""Attack the membership of faces in the training data.

Each attack is a function of log-probabilities, float64 (N, C) in nats, and labels, int (N,), that returns scores,
float64 (N,). Its further arguments say what the attacker must know:

- ``member``, bool (N,): the truth about the other half of the faces, for attackers that learn from examples;
- ``shadow_log_probabilities``, float64 (S, N, C), and ``shadow_member``, bool (S, N): the predictions of S shadow
  models, and which face each of them was trained on;
- ``seed``: of the random draws.
"""

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import UserError, unknown_name
from fer_tf.privacy.predictions import audit_halves

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

_MISSING = (
    "Learned attackers need scikit-learn: pip install 'fer-tf[privacy]'. "
    "Or choose others: --attacks loss confidence entropy modified_entropy."
)
# Below so many shadow models per face, one variance for all faces is a better estimate than one for each.
_FEW = 32
# A variance of 0 (shadow models that agree to the last digit) would be a division by 0.
_SMALLEST = 1e-12


# Thresholds on the network's own predictions.


def correctness(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score 1 where the predicted class is the label, else 0: the generalization gap alone (arXiv 1709.01604)."""
    return (log_probabilities.argmax(axis=1) == labels).astype(np.float64)


def loss(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score by ln p_y, the negative cross-entropy (arXiv 1709.01604)."""
    return _of_label(log_probabilities, labels)


def confidence(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score by the logarithm of the highest probability; no label is needed (arXiv 1806.01246)."""
    return log_probabilities.max(axis=1)


def entropy(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score by Σ p ln p, the negative entropy in nats; no label is needed (arXiv 1806.01246)."""
    return (np.exp(log_probabilities) * log_probabilities).sum(axis=1)


def modified_entropy(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score by the modified entropy, which is near 0 only where the network is confident and right.

    The score is (1 − p_y) ln p_y + Σ_{k≠y} p_k ln(1 − p_k), Mentr of arXiv 2003.10595 with the sign turned.
    """
    complements = log_complements(log_probabilities)
    terms = np.exp(log_probabilities) * complements
    own = np.exp(_of_label(complements, labels)) * _of_label(log_probabilities, labels)
    return own + terms.sum(axis=1) - _of_label(terms, labels)


def scaled_confidence(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute φ = ln(p_y / (1 − p_y)), which is nearly normal over networks (arXiv 2112.03570, section V)."""
    return _of_label(log_probabilities, labels) - _of_label(log_complements(log_probabilities), labels)


def log_complements(log_probabilities: np.ndarray) -> np.ndarray:
    """Compute ln(1 − p_k) of every class, float64 (N, C), exact also where p_k rounds to 1."""
    rows = np.arange(len(log_probabilities))
    top = log_probabilities.argmax(axis=1)
    rest = log_probabilities.copy()
    rest[rows, top] = -np.inf
    highest = rest.max(axis=1)
    # Only the highest probability can be above a half; of the others 1 − p loses nothing.
    complements = np.log1p(-np.exp(rest))
    complements[rows, top] = highest + np.log(np.exp(rest - highest[:, None]).sum(axis=1))
    return complements


def _of_label(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return values[np.arange(len(values)), labels]


# Classifiers of scikit-learn that learn what predictions for members look like.


def learned(
    log_probabilities: np.ndarray, labels: np.ndarray, member: np.ndarray, attacker: str = "logistic", seed: int = 0
) -> np.ndarray:
    """Score each half of the faces by a classifier that was trained on the other half (arXiv 1806.01246).

    Args:
        log_probabilities: float (N, C).
        labels: int (N,).
        member: bool (N,), what the classifier learns.
        attacker: ``"logistic"``, ``"forest"``, ``"mlp"`` or ``"neighbors"``.
        seed: of the halves (stratified by class and side) and of the classifier.

    Returns:
        float (N,), the classifier's probability of membership.

    Raises:
        UserError: an unknown attacker, too few faces, or scikit-learn is missing.
    """
    seen, first = features(log_probabilities, labels), audit_halves(labels, member, seed)
    probability = np.empty(len(labels))
    for half in (first, ~first):
        probability[half] = _fit(attacker, seen[~half], member[~half], seed).predict_proba(seen[half])[:, 1]
    return probability


def shadow(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    shadow_log_probabilities: np.ndarray,
    shadow_member: np.ndarray,
    attacker: str = "logistic",
    seed: int = 0,
) -> np.ndarray:
    """Score faces by one classifier per class, which was trained on the shadow models (arXiv 1610.05820).

    Args:
        log_probabilities: float (N, C) of the audited network.
        labels: int (N,).
        shadow_log_probabilities: float (S, N, C).
        shadow_member: bool (S, N).
        attacker: as of ``learned``.
        seed: of the classifiers.

    Returns:
        float (N,), the classifiers' probability of membership.

    Raises:
        UserError: as ``learned``.
    """
    own = features(log_probabilities, labels)
    seen = np.stack([features(one, labels) for one in shadow_log_probabilities])
    probability = np.empty(len(labels))
    for label in np.unique(labels):
        rows = labels == label
        examples = seen[:, rows].reshape(-1, seen.shape[-1]), shadow_member[:, rows].ravel()
        probability[rows] = _fit(attacker, *examples, seed).predict_proba(own[rows])[:, 1]
    return probability


def features(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Compute the inputs of a learned attacker, float (N, C + 2).

    They are the probabilities in descending order, φ (``scaled_confidence``), and whether the prediction is right.
    """
    ordered = np.sort(np.exp(log_probabilities), axis=1)[:, ::-1]
    return np.column_stack(
        [ordered, scaled_confidence(log_probabilities, labels), correctness(log_probabilities, labels)]
    )


def require_sklearn() -> None:
    """Raise a ``UserError`` unless scikit-learn is installed."""
    if importlib.util.find_spec("sklearn") is None:
        raise UserError(_MISSING)


def _fit(attacker: str, seen: np.ndarray, member: np.ndarray, seed: int) -> "ClassifierMixin":
    if attacker not in ATTACKERS:
        raise unknown_name("attacker", attacker, ATTACKERS)
    if member.all() or not member.any():
        side = "members" if member.all() else "non-members"
        raise UserError(f"A learned attacker needs members and non-members to learn from, got {len(member)} {side}.")
    require_sklearn()
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), ATTACKERS[attacker](len(member), seed)).fit(seen, member)


def _logistic(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, random_state=seed)


def _forest(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.ensemble import RandomForestClassifier

    # A leaf with a single face would only learn that face.
    return RandomForestClassifier(100, min_samples_leaf=max(1, min(20, count // 20)), random_state=seed)


def _mlp(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((64,), early_stopping=count >= 200, max_iter=200, random_state=seed)


def _neighbors(count: int, seed: int) -> "ClassifierMixin":
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(max(1, min(50, count // 10)))


# From the number of faces and a seed to an untrained classifier.
ATTACKERS: Mapping[str, "Callable[[int, int], ClassifierMixin]"] = {
    "logistic": _logistic, "forest": _forest, "mlp": _mlp, "neighbors": _neighbors,
}  # fmt: skip


# LiRA, the likelihood-ratio attack (Carlini et al., arXiv 2112.03570).


def lira(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    shadow_log_probabilities: np.ndarray,
    shadow_member: np.ndarray,
    fixed_variance: bool | None = None,
) -> np.ndarray:
    """Score faces by LiRA, offline: compare φ with that of the shadow models that never saw the face.

    Args:
        log_probabilities: float (N, C) of the audited network.
        labels: int (N,).
        shadow_log_probabilities: float (S, N, C).
        shadow_member: bool (S, N).
        fixed_variance: use one variance for all faces; ``None`` does so where a face has fewer than 32 shadow models.

    Returns:
        float (N,), see ``lira_offline_scores``.

    Raises:
        UserError: a face has too few shadow models.
    """
    own, shadows = _phi(log_probabilities, labels, shadow_log_probabilities)
    return lira_offline_scores(own, shadows, shadow_member, fixed_variance)


def lira_online(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    shadow_log_probabilities: np.ndarray,
    shadow_member: np.ndarray,
    fixed_variance: bool | None = None,
) -> np.ndarray:
    """Score faces by LiRA, online: with the shadow models that saw the face and with those that did not.

    Args, Returns and Raises are those of ``lira``; the scores are those of ``lira_online_scores``.
    """
    own, shadows = _phi(log_probabilities, labels, shadow_log_probabilities)
    return lira_online_scores(own, shadows, shadow_member, fixed_variance)


def lira_offline_scores(
    phi: np.ndarray, shadow_phi: np.ndarray, shadow_member: np.ndarray, fixed_variance: bool | None = None
) -> np.ndarray:
    """Compute z = (φ − μ_out) / σ_out, of which the paper takes the normal distribution function.

    z gives the same order of faces, also where the distribution function rounds to 1.

    Args:
        phi: float (N,), ``scaled_confidence`` of the audited network.
        shadow_phi: float (S, N).
        shadow_member: bool (S, N).
        fixed_variance: as of ``lira``.

    Raises:
        UserError: a face without two shadow models that never saw it (one, with a fixed variance).
    """
    mean, deviation = _normal(shadow_phi, ~shadow_member, fixed_variance, "never saw it")
    return (phi - mean) / deviation


def lira_online_scores(
    phi: np.ndarray, shadow_phi: np.ndarray, shadow_member: np.ndarray, fixed_variance: bool | None = None
) -> np.ndarray:
    """Compute ln N(φ; μ_in, σ_in) − ln N(φ; μ_out, σ_out), see ``lira_offline_scores``."""
    inside, outside = (
        _log_density(phi, *_normal(shadow_phi, side, fixed_variance, what))
        for side, what in ((shadow_member, "saw it"), (~shadow_member, "never saw it"))
    )
    return inside - outside


def _phi(log_probabilities: np.ndarray, labels: np.ndarray, shadows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = scaled_confidence(log_probabilities, labels)
    return own, np.stack([scaled_confidence(one, labels) for one in shadows])


def _log_density(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Compute the log-density of the normal distribution, up to a constant."""
    return -(((x - mean) / deviation) ** 2) / 2 - np.log(deviation)


def _normal(
    shadow_phi: np.ndarray, used: np.ndarray, fixed_variance: bool | None, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean (N,) and standard deviation (N,) or () over the used shadow models of each face."""
    count = used.sum(axis=0)
    fixed = count.min() < _FEW if fixed_variance is None else fixed_variance
    needed = 1 if fixed else 2
    if count.min() < needed:
        raise UserError(
            f"Face {count.argmin()} has {count.min()} shadow models that {what}; LiRA needs {needed}. Train more, each "
            "on half of the faces."
        )
    mean = np.where(used, shadow_phi, 0).sum(axis=0) / count
    if fixed:
        # Of all values together, as in the authors' code; it needs no second shadow model of a face.
        return mean, np.sqrt(np.maximum(shadow_phi[used].var(), _SMALLEST))
    squares = np.where(used, np.square(shadow_phi - mean), 0).sum(axis=0)
    return mean, np.sqrt(np.maximum(squares / count, _SMALLEST))
