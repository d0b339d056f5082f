"""Normalize images as FER+ does, by histogram equalization."""

import keras
import numpy as np
from keras import ops

_LEVELS = 256


# Files of networks name the layer in the British spelling, under which it was first registered.
@keras.saving.register_keras_serializable(package="fer_tf", name="FerPlusNormalization")
class FerPlusNormalization(keras.layers.Layer):
    """Equalize the histogram of each face, subtract its illumination, divide by its RMS.

    Each channel of each image by itself: (1) a pixel becomes 2·(share of pixels not brighter) − 1; (2) the
    least-squares plane a + b·x + c·y, the illumination, is subtracted; (3) the rest is divided by its root mean square
    (RMS). A constant image, or one that is a plane after (1), becomes zeros. Pixels are rounded to whole levels, so no
    gradient reaches the input.

    Input: pixels (N, H, W, C) in 0 to 255. Output: (N, H, W, C), mean 0 and RMS 1.

    Args:
        epsilon: an image whose RMS is at most this counts as constant.
        **keywords: as of ``keras.layers.Layer``.

    References:
        arXiv 1608.01041.

    Example:
        >>> import fer_tf, numpy as np
        >>> faces = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1)).astype("float32")
        >>> normalized = np.asarray(fer_tf.layers.FerPlusNormalization()(faces))
        >>> f"{np.sqrt(np.mean(normalized**2)):.3f}"
        '1.000'
    """

    def __init__(self, epsilon: float = 1e-6, **keywords):
        super().__init__(**keywords)
        self.epsilon = epsilon

    def call(self, images):
        """Normalize images (N, H, W, C)."""
        x = self._remove_plane(self._equalize(images))
        rms = ops.sqrt(ops.mean(ops.square(x), axis=(1, 2), keepdims=True))
        flat = rms <= self.epsilon
        return ops.where(flat, 0.0, x / ops.where(flat, 1.0, rms))

    def _equalize(self, images):
        """Map each pixel to 2·F(pixel) − 1, F being the cumulative histogram of its image and channel."""
        n, height, width, channels = ops.shape(images)
        levels = ops.cast(ops.round(ops.clip(images, 0, _LEVELS - 1)), "int32")
        # One segment sum over all images: bincount has no batched form on every backend.
        histograms = n * channels
        rows = ops.reshape(ops.transpose(levels, (0, 3, 1, 2)), (histograms, height * width))
        index = ops.reshape(rows + _LEVELS * ops.arange(histograms, dtype="int32")[:, None], (-1,))
        counts = ops.segment_sum(ops.ones_like(index, dtype=self.compute_dtype), index, histograms * _LEVELS)
        share = ops.cumsum(ops.reshape(counts, (histograms, _LEVELS)), axis=1) / (height * width)
        equalized = ops.take(ops.reshape(2 * share - 1, (-1,)), index)
        return ops.transpose(ops.reshape(equalized, (n, channels, height, width)), (0, 2, 3, 1))

    def _remove_plane(self, x):
        """Subtract the projections on 1, x and y; centered ramps are orthogonal on a grid, so one after another."""
        x = x - ops.mean(x, axis=(1, 2), keepdims=True)
        for axis in (1, 2):
            ramp = ops.convert_to_tensor(_unit_ramp(x.shape, axis))
            # A sum of products and no matmul: GPUs round matmul inputs to 10 bits (TF32).
            x = x - ramp * ops.sum(ramp * x, axis=(1, 2), keepdims=True)
        return x

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "epsilon": self.epsilon}


def _unit_ramp(shape: tuple[int | None, ...], axis: int) -> np.ndarray:
    """Return a ramp along one axis of (N, H, W, C), mean 0 and norm 1 over the H×W grid, broadcastable to it."""
    ramp = np.arange(shape[axis]) - (shape[axis] - 1) / 2
    norm = np.sqrt(np.square(ramp).sum() * shape[3 - axis])
    sizes = [1, 1, 1, 1]
    sizes[axis] = shape[axis]
    return (ramp / max(norm, 1e-30)).astype("float32").reshape(sizes)
