"""The likelihood-ratio attack: is the network surer of a face than networks that never saw it?

Networks ("shadows") were trained on known faces, each on a part of all. ``shadow_member`` is bool (S, N): whether
shadow s was trained on face n. φ is ``scores.scaled_confidence``.

References:
    Carlini et al., arXiv 2112.03570.
"""

import numpy as np

from fer_tf.errors import UserError
from fer_tf.privacy.scores import scaled_confidence

# Below so many shadows of a side, one variance for all faces tells more than each face's own.
FEW = 32
# A variance of 0 (shadows that agree to the last digit) would divide by nothing.
SMALLEST = 1e-12


def offline(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    shadow_log_probabilities: np.ndarray,
    shadow_member: np.ndarray,
    fixed_variance: bool | None = None,
) -> np.ndarray:
    """Score faces by the shadows that never saw them.

    Args:
        log_probabilities: float (N, C).
        labels: int (N,).
        shadow_log_probabilities: float (S, N, C).
        shadow_member: bool (S, N).
        fixed_variance: one variance for all faces; ``None``: where a face has fewer than 32 such shadows.

    Returns:
        float (N,), see ``offline_scores``.
    """
    own, shadows = _phi(log_probabilities, labels, shadow_log_probabilities)
    return offline_scores(own, shadows, shadow_member, fixed_variance)


def online(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    shadow_log_probabilities: np.ndarray,
    shadow_member: np.ndarray,
    fixed_variance: bool | None = None,
) -> np.ndarray:
    """Score faces by the shadows that saw them and those that did not; arguments as ``offline``."""
    own, shadows = _phi(log_probabilities, labels, shadow_log_probabilities)
    return online_scores(own, shadows, shadow_member, fixed_variance)


def _phi(log_probabilities: np.ndarray, labels: np.ndarray, shadows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = scaled_confidence(log_probabilities, labels)
    return own, np.stack([scaled_confidence(one, labels) for one in shadows])


def offline_scores(
    phi: np.ndarray, shadow_phi: np.ndarray, shadow_member: np.ndarray, fixed_variance: bool | None = None
) -> np.ndarray:
    """Return z = (φ − μ_out) / σ_out, whose Φ(z) is the paper's score.

    z has Φ(z)'s order, and goes on where that rounds to 1.

    Args:
        phi: float (N,) of the audited network.
        shadow_phi: float (S, N).
        shadow_member: bool (S, N).
        fixed_variance: as ``offline``.

    Raises:
        UserError: a face without two shadows that never saw it (one, with a fixed variance).
    """
    mean, deviation = _normal(shadow_phi, ~shadow_member, fixed_variance, "never saw it")
    return (phi - mean) / deviation


def online_scores(
    phi: np.ndarray, shadow_phi: np.ndarray, shadow_member: np.ndarray, fixed_variance: bool | None = None
) -> np.ndarray:
    """Return ln N(φ; μ_in, σ_in) − ln N(φ; μ_out, σ_out); arguments and errors as ``offline_scores``."""
    inside, outside = (
        _log_density(phi, *_normal(shadow_phi, side, fixed_variance, what))
        for side, what in ((shadow_member, "saw it"), (~shadow_member, "never saw it"))
    )
    return inside - outside


def _log_density(x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the normal's log-density, up to a constant."""
    return -(((x - mean) / deviation) ** 2) / 2 - np.log(deviation)


def _normal(
    shadow_phi: np.ndarray, used: np.ndarray, fixed_variance: bool | None, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (N,) and standard deviation (N,) or () over the used shadows of each face."""
    count = used.sum(axis=0)
    fixed = count.min() < FEW if fixed_variance is None else fixed_variance
    needed = 1 if fixed else 2
    if count.min() < needed:
        raise UserError(
            f"Face {count.argmin()} has {count.min()} shadow models that {what}; LiRA needs {needed}. Train more, each "
            "on half of the faces."
        )
    mean = np.where(used, shadow_phi, 0).sum(axis=0) / count
    if fixed:
        # Of all values together, as the authors' code has it; it needs no second shadow of a face.
        return mean, np.sqrt(np.maximum(shadow_phi[used].var(), SMALLEST))
    squares = np.where(used, np.square(shadow_phi - mean), 0).sum(axis=0)
    return mean, np.sqrt(np.maximum(squares / count, SMALLEST))
