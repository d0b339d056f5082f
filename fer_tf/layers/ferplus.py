"""The image normalisation of FER+."""

import keras
import numpy as np
from keras import ops

LEVELS = 256


@keras.saving.register_keras_serializable(package="fer_tf")
class FerPlusNormalisation(keras.layers.Layer):
    """Equalise a face's histogram, take away the plane of light that lies over it, divide by its RMS.

    Each channel of each image by itself: (1) a pixel becomes 2·(share of pixels not brighter) − 1; (2) the
    least-squares plane a + b·x + c·y is subtracted; (3) the rest is divided by its root mean square. A constant
    image, or one that is a plane after (1), becomes zeros. Pixels are rounded to whole levels, so no gradient reaches
    the input.

    Input: pixels (N, H, W, C) in 0 to 255. Output: (N, H, W, C), mean 0 and RMS 1.

    References:
        arXiv 1608.01041.
    """

    def __init__(self, epsilon: float = 1e-6, **keywords):
        """Take the RMS at or below which an image counts as constant."""
        super().__init__(**keywords)
        self.epsilon = epsilon

    def call(self, images):
        """Normalise images (N, H, W, C)."""
        x = self._remove_plane(self._equalise(images))
        rms = ops.sqrt(ops.mean(ops.square(x), axis=(1, 2), keepdims=True))
        flat = rms <= self.epsilon
        return ops.where(flat, 0.0, x / ops.where(flat, 1.0, rms))

    def _equalise(self, images):
        """Map each pixel to 2·F(pixel) − 1, F being the cumulative histogram of its image and channel."""
        n, height, width, channels = ops.shape(images)
        levels = ops.cast(ops.round(ops.clip(images, 0, LEVELS - 1)), "int32")
        # One segment sum over all images: bincount has no batched form on every backend.
        histograms = n * channels
        rows = ops.reshape(ops.transpose(levels, (0, 3, 1, 2)), (histograms, height * width))
        index = ops.reshape(rows + LEVELS * ops.arange(histograms, dtype="int32")[:, None], (-1,))
        counts = ops.segment_sum(ops.ones_like(index, dtype=self.compute_dtype), index, histograms * LEVELS)
        share = ops.cumsum(ops.reshape(counts, (histograms, LEVELS)), axis=1) / (height * width)
        equalised = ops.take(ops.reshape(2 * share - 1, (-1,)), index)
        return ops.transpose(ops.reshape(equalised, (n, channels, height, width)), (0, 2, 3, 1))

    def _remove_plane(self, x):
        """Subtract the projections on 1, x and y; centred ramps are orthogonal on a grid, so one after another."""
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
