"""Self-Cure with a second task: to find the landmarks of the face."""

from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.layers import mean_shape
from fer_tf.training.objectives.scn import SelfCure


def landmark_loss(landmarks: Any, predicted: Any, side: float) -> Any:
    """Return the mean distance in x or y over the coordinates that are known, as a fraction of the image's side.

    Args:
        landmarks: float (B, K, 2) in pixels, NaN where missing; such coordinates have no gradient.
        predicted: float (B, K, 2) in pixels.
        side: of the image, in pixels.

    Returns:
        Float scalar; 0 when nothing is known.
    """
    known = ops.logical_not(ops.isnan(landmarks))
    # NaN is replaced before the difference: taken out afterwards, it would stay in the gradient.
    distances = ops.abs(predicted - ops.where(known, landmarks, predicted))
    counts = ops.sum(ops.cast(known, predicted.dtype))
    return ops.sum(ops.where(known, distances, 0.0)) / (ops.maximum(counts, 1.0) * side)


class Landmarks(SelfCure):
    """Self-Cure's parts, and the distance of the landmarks. History: Self-Cure's, and ``landmark``.

    The mean shape of the training faces, in pixels of the network's input, becomes a constant of the network.

    Args:
        network, table: see ``Objective``; the network has a layer ``alpha`` and an output ``landmarks`` (B, K, 2).
        coefficient: weight of the landmarks; 0 trains without them, by the same batches.
        **settings: those of ``SelfCure``. The public code has margin 0.5, and relabels by a margin of 0.4 from epoch
            1800 of 3000 on; here, labels stay unless ``relabel_from`` is given.

    References:
        github.com/RainbowRui/Landmark-Driven-Facial-Expression-Recognition.
    """

    def __init__(
        self,
        network: keras.Model,
        table: FaceTable,
        /,
        coefficient: float = 1.0,
        beta: float = 0.7,
        margin: float = 0.5,
        gamma: float = 0.5,
        relabel_from: int | None = None,
        relabel_margin: float = 0.4,
        scope: str = "all",
    ):
        super().__init__(
            network, table, beta=beta, margin=margin, gamma=gamma, relabel_from=relabel_from,
            relabel_margin=relabel_margin, scope=scope,
        )  # fmt: skip
        if not coefficient >= 0:
            raise UserError(f"coefficient is {coefficient!r}. Expected a number of at least 0.")
        self.coefficient = coefficient
        self.parts["landmark"] = keras.metrics.Mean(name="landmark")
        height, width = network.input_shape[1:3]
        self.side = float(max(height, width))
        points = network.get_layer("landmarks").points
        if table.landmarks.shape[1] != points:
            raise UserError(f"The dataset has {table.landmarks.shape[1]} landmarks a face, the network {points}.")
        # As a central crop sees them.
        room = table.image_shape[1] - width, table.image_shape[0] - height
        network.get_layer("landmarks").mean_shape.assign(mean_shape(table.landmarks) - [r // 2 for r in room])

    def loss_of(self, labels: dict[str, Any], outputs: Any, training: bool) -> Any:
        """Return the scalar loss, and relabel; see ``Objective``."""
        distance = landmark_loss(labels["landmarks"], outputs["landmarks"], self.side)
        self.note(landmark=distance)
        return super().loss_of(labels, outputs, training) + self.coefficient * distance
