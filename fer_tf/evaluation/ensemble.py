"""Combine model predictions and measure their disagreement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import UserError, unknown_name
from fer_tf.evaluation.scoring import logits
from fer_tf.io.pictures import resized
from fer_tf.metrics.distribution import entropy, log_softmax, softmax
from fer_tf.models import metadata_of

if TYPE_CHECKING:
    import keras

MEANS = ("probabilities", "logits")


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Uncertainty of an ensemble's prediction for each face, float64 (N,) each.

    Attributes:
        entropy: of the mean probabilities, in nats: the total uncertainty.
        expected_entropy: mean of the entropies of the members, in nats: the uncertainty within each network, high for
            faces that look like two expressions (aleatoric).
        mutual_information: the difference of the two, ≥ 0: the uncertainty from different predictions of the members,
            high for faces unlike those of the training (epistemic). 0 for one network.
        disagreement: share of the pairs of networks that predict different classes, from 0 to 1; 0 for one network.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> found = evaluation.uncertainty_of(np.array([[[9.0, 0.0]], [[0.0, 9.0]]]))
        >>> found.disagreement
        array([1.])
    """

    entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray
    disagreement: np.ndarray


def member_logits(
    networks: "Sequence[keras.Model]", images: np.ndarray, view: str = "center", batch_size: int = 256
) -> np.ndarray:
    """Compute the logits of several networks for the same faces.

    Args:
        networks: M models with metadata (``fer_tf.models.load_model``) for the same classes; their face sizes may
            differ.
        images: uint8 (N, H, W, channels), resized for each network.
        view: test-time augmentation, see ``evaluation.logits``.
        batch_size: most faces in one forward pass.

    Returns:
        float32 (M, N, C).

    Raises:
        UserError: no network, one with other classes, or images that do not fit one.

    Example:
        >>> import numpy as np, fer_tf
        >>> network = fer_tf.load_model("ferplus")
        >>> fer_tf.evaluation.member_logits([network], np.zeros((2, 48, 48, 1), "uint8")).shape
        (1, 2, 8)
    """
    check_classes(networks)
    return np.stack(
        [logits(n, resized(images, metadata_of(n).face_size), batch_size=batch_size, view=view) for n in networks]
    )


def check_classes(networks: "Sequence[keras.Model]") -> None:
    """Raise a ``UserError`` unless there are networks with the same classes in one order."""
    if not networks:
        raise UserError("An ensemble needs at least one network.")
    sets = [metadata_of(network).label_set.classes for network in networks]
    for other in sets:
        if other != sets[0]:
            names = [", ".join(classes) for classes in (sets[0], other)]
            raise UserError(
                f"Networks of one ensemble must have the same classes in one order: {names[0]}; not {names[1]}."
            )


def combine(member_logits: np.ndarray, mean_of: str = "probabilities") -> np.ndarray:
    """Combine the predictions of several networks.

    Args:
        member_logits: float (M, N, C).
        mean_of: ``"probabilities"`` (all networks have the same influence) or ``"logits"`` (the geometric mean of the
            probabilities; a class that one network excludes is excluded).

    Returns:
        Log-probabilities, float64 (N, C), which can be used as logits.

    Raises:
        UserError: another shape, or an unknown mean.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> members = np.log([[[0.75, 0.25]], [[0.25, 0.75]]])
        >>> np.exp(evaluation.combine(members))
        array([[0.5, 0.5]])
    """
    z = _check(member_logits)
    if mean_of not in MEANS:
        raise unknown_name("mean of an ensemble", mean_of, MEANS)
    if mean_of == "logits":
        return log_softmax(log_softmax(z).mean(axis=0))
    terms = log_softmax(z)
    highest = terms.max(axis=0)
    return highest + np.log(np.exp(terms - highest).mean(axis=0))


def uncertainty_of(member_logits: np.ndarray) -> Uncertainty:
    """Measure the uncertainty of an ensemble, and split it into its two kinds.

    Args:
        member_logits: float (M, N, C).

    Returns:
        An ``Uncertainty`` with one value per face.

    Raises:
        UserError: another shape.

    References:
        Predictive entropy and mutual information: arXiv 1703.02910; deep ensembles: arXiv 1612.01474.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> evaluation.uncertainty_of(np.log([[[0.5, 0.5]], [[0.5, 0.5]]])).mutual_information
        array([0.])
    """
    probabilities = softmax(_check(member_logits))
    together = entropy(probabilities.mean(axis=0))
    alone = entropy(probabilities).mean(axis=0)
    return Uncertainty(together, alone, np.maximum(together - alone, 0), _disagreement(probabilities.argmax(axis=-1)))


def _disagreement(predicted: np.ndarray) -> np.ndarray:
    """Return the share of pairs of the M predicted classes (M, N) that differ."""
    members = len(predicted)
    pairs = members * (members - 1)
    if not pairs:
        return np.zeros(predicted.shape[1])
    return (predicted[:, None] != predicted[None]).sum(axis=(0, 1)) / pairs


def _check(member_logits: np.ndarray) -> np.ndarray:
    z = np.asarray(member_logits, np.float64)
    if z.ndim != 3 or not z.size:
        raise UserError(f"Logits of an ensemble are {z.shape}. Expected (networks, faces, classes), none of them 0.")
    return z
