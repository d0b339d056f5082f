"""Landmarks as offsets from the mean face."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="fer_tf")
class AddMeanShape(keras.layers.Layer):
    """Turn offsets (N, 2·K) into landmarks (N, K, 2) by adding a mean shape, a weight that is never trained.

    It is 0 until ``mean_shape`` is assigned; a file of the network has it.

    Args:
        points: K.
    """

    def __init__(self, points: int, **keywords):
        super().__init__(**keywords)
        self.points = points
        self.mean_shape = self.add_weight(shape=(points, 2), initializer="zeros", trainable=False, name="mean_shape")

    def call(self, offsets):
        """Add the mean shape to offsets (N, 2·K), x and y by turns, in pixels."""
        return ops.reshape(offsets, (-1, self.points, 2)) + self.mean_shape

    def compute_output_shape(self, input_shape):
        """Return (N, K, 2)."""
        return (input_shape[0], self.points, 2)

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "points": self.points}


def mean_shape(landmarks: np.ndarray) -> np.ndarray:
    """Return the mean of each point over the faces that have it, float32 (K, 2) from (N, K, 2) with NaN for missing.

    A point that no face has lies at the mean of the others.
    """
    known = ~np.isnan(landmarks)
    counts = known.sum(axis=0)
    means = np.where(known, landmarks, 0).sum(axis=0, dtype=np.float64) / np.maximum(counts, 1)
    has = counts.min(axis=1) > 0
    return np.where(has[:, None], means, means[has].mean(axis=0) if has.any() else 0).astype(np.float32)
