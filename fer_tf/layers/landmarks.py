"""Landmarks as offsets from the mean shape of the training faces."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="fer_tf")
class AddMeanShape(keras.layers.Layer):
    """Add the mean shape to predicted offsets of landmarks.

    The mean shape is a weight that is never trained. It is 0 until ``mean_shape`` is assigned, and is saved with the
    network.

    Input: offsets (N, 2·K), x and y in turn, in pixels. Output: landmarks (N, K, 2).

    Args:
        points: number K of landmarks.
        **keywords: as of ``keras.layers.Layer``.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.AddMeanShape(points=2)
        >>> layer.set_weights([np.array([[10.0, 20.0], [30.0, 20.0]])])
        >>> np.asarray(layer(np.ones((1, 4), "float32"))).tolist()
        [[[11.0, 21.0], [31.0, 21.0]]]
    """

    def __init__(self, points: int, **keywords):
        super().__init__(**keywords)
        self.points = points
        self.mean_shape = self.add_weight(shape=(points, 2), initializer="zeros", trainable=False, name="mean_shape")

    def call(self, offsets):
        """Add the mean shape to offsets (N, 2·K)."""
        return ops.reshape(offsets, (-1, self.points, 2)) + self.mean_shape

    def compute_output_shape(self, input_shape):
        """Return (N, K, 2)."""
        return (input_shape[0], self.points, 2)

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "points": self.points}


def mean_shape(landmarks: np.ndarray) -> np.ndarray:
    """Compute the mean position of each landmark over the faces that have it.

    Args:
        landmarks: float (N, K, 2) in pixels, NaN where a face lacks the landmark.

    Returns:
        float32 (K, 2); a landmark that no face has lies at the mean of the others.

    Example:
        >>> import fer_tf, numpy as np
        >>> marks = np.array([[[1, 2], [5, 6]], [[3, 4], [np.nan, np.nan]]])
        >>> fer_tf.layers.mean_shape(marks).tolist()
        [[2.0, 3.0], [5.0, 6.0]]
    """
    known = ~np.isnan(landmarks)
    counts = known.sum(axis=0)
    means = np.where(known, landmarks, 0).sum(axis=0, dtype=np.float64) / np.maximum(counts, 1)
    has = counts.min(axis=1) > 0
    return np.where(has[:, None], means, means[has].mean(axis=0) if has.any() else 0).astype(np.float32)
