"""Several networks asked about the same faces: what they say together, and how far they are of one mind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import UserError, unknown_name
from fer_tf.evaluation.forward import logits
from fer_tf.io.pictures import resized
from fer_tf.metrics.distribution import entropy
from fer_tf.metrics.probabilities import log_softmax, softmax
from fer_tf.models import metadata_of

if TYPE_CHECKING:
    import keras

MEANS = ("probabilities", "logits")


@dataclass(frozen=True, eq=False)
class Doubt:
    """How unsure networks are of each face, float64 (N,) each.

    Attributes:
        entropy: of the mean of their probabilities, in nats: all doubt there is.
        expected_entropy: the mean of their entropies: the doubt that each has by itself, of faces that look like two
            expressions.
        mutual_information: the difference of the two, ≥ 0: the doubt that comes from their contradicting each other, of
            faces unlike those they learnt from. 0 for one network.
        disagreement: share of the pairs of networks that name different classes, 0 for one network.
    """

    entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray
    disagreement: np.ndarray


def member_logits(
    networks: "Sequence[keras.Model]", images: np.ndarray, view: str = "center", batch_size: int = 256
) -> np.ndarray:
    """Ask every network about every face.

    Args:
        networks: M models with facts (``fer_tf.models.load``) for the same classes; their sizes of face may differ.
        images: uint8 (N, H, W, channels).
        view: see ``evaluation.logits``.
        batch_size: most faces in one forward pass.

    Returns:
        float32 (M, N, C).

    Raises:
        UserError: no network, one of other classes, or images that do not fit one.
    """
    check_classes(networks)
    return np.stack(
        [logits(n, resized(images, metadata_of(n).face_size), batch_size=batch_size, view=view) for n in networks]
    )


def check_classes(networks: "Sequence[keras.Model]") -> None:
    """Raise a ``UserError`` unless there are networks, and all have the same classes in one order."""
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
    """Return what networks say together.

    Args:
        member_logits: float (M, N, C).
        mean_of: ``probabilities`` (a network that is sure outweighs none of the others) or ``logits`` (their geometric
            mean; one that excludes a class excludes it for all).

    Returns:
        Log-probabilities, float64 (N, C), which may be used as logits.

    Raises:
        UserError: another shape, or an unknown mean.
    """
    z = _checked(member_logits)
    if mean_of not in MEANS:
        raise unknown_name("mean of an ensemble", mean_of, MEANS)
    if mean_of == "logits":
        return log_softmax(log_softmax(z).mean(axis=0))
    terms = log_softmax(z)
    highest = terms.max(axis=0)
    return highest + np.log(np.exp(terms - highest).mean(axis=0))


def doubt(member_logits: np.ndarray) -> Doubt:
    """Take networks' doubt (M, N, C) apart.

    References:
        Predictive entropy and mutual information: arXiv 1703.02910; deep ensembles: arXiv 1612.01474.
    """
    probabilities = softmax(_checked(member_logits))
    together = entropy(probabilities.mean(axis=0))
    alone = entropy(probabilities).mean(axis=0)
    return Doubt(together, alone, np.maximum(together - alone, 0), _disagreement(probabilities.argmax(axis=-1)))


def _disagreement(named: np.ndarray) -> np.ndarray:
    """Return the share of pairs of the M answers (M, N) that differ."""
    members = len(named)
    pairs = members * (members - 1)
    if not pairs:
        return np.zeros(named.shape[1])
    return (named[:, None] != named[None]).sum(axis=(0, 1)) / pairs


def _checked(member_logits: np.ndarray) -> np.ndarray:
    z = np.asarray(member_logits, np.float64)
    if z.ndim != 3 or not z.size:
        raise UserError(f"Logits of an ensemble are {z.shape}. Expected (networks, faces, classes), none of them 0.")
    return z
