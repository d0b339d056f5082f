"""The plain objective: the compiled loss on logits, classes weighted or not."""

from typing import Any

import keras
import numpy as np
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.models import logits_of
from fer_tf.training.objectives.base import Objective

CLASS_WEIGHTS = ("none", "balanced")


def inverse_frequencies(targets: np.ndarray) -> np.ndarray:
    """Return how many times rarer each class is than the most frequent one, float32 (C,); 0 for one without faces."""
    counts = targets.sum(axis=0, dtype=np.float64)
    return np.divide(counts.max(), counts, out=np.zeros_like(counts), where=counts > 0).astype(np.float32)


def face_weights(targets: Any, class_weights: Any) -> Any:
    """Return the weight of each face of a batch, float (B,), mean 1.

    A mean of losses with these weights is Σ w·loss / Σ w, with w = Σ_c target_c · weight_c.

    Args:
        targets: float (B, C).
        class_weights: float (C,); a common factor changes nothing.
    """
    weights = ops.matmul(targets, class_weights)
    return weights / ops.mean(weights)


def class_weights_of(choice: str, table: FaceTable) -> np.ndarray | None:
    """Return the weights (C,) that an objective's ``class_weights`` asks for, ``None`` for none."""
    if choice not in CLASS_WEIGHTS:
        raise UserError(f"Unknown class_weights {choice!r}. Available: {', '.join(CLASS_WEIGHTS)}.")
    return None if choice == "none" else inverse_frequencies(table.targets)


class Classification(Objective):
    """The compiled loss alone.

    Args:
        network, table: see ``Objective``.
        class_weights: ``none``, or ``balanced``: rare classes count by the inverse of their frequency, and a batch's
            loss is divided by the sum of its faces' weights, as torch does. max(count)/count and N/(C·count), the two
            usual weights, differ by a factor that this division removes.

    References:
        arXiv 2103.17107.
    """

    def __init__(self, network: keras.Model, table: FaceTable, /, class_weights: str = "none"):
        super().__init__(network, table)
        self.class_weights = class_weights_of(class_weights, table)

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss; see ``Objective``."""
        targets = labels["targets"]
        weights = None if self.class_weights is None else face_weights(targets, self.class_weights)
        return self.class_loss(targets, logits_of(outputs), weights)
