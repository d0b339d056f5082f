"""Provide anti-aliased strides, ghost convolutions and image normalization."""

from typing import Any

import keras
import numpy as np
from keras import ops

_COMBINATIONS = ("concatenate", "add")


@keras.saving.register_keras_serializable(package="fer_tf")
class AntialiasedConv2D(keras.layers.Conv2D):
    """Convolve with stride 2 and a low-pass filter inside the kernel.

    A convolution, a low-pass filter and a stride of 2 together are one convolution with stride 2, whose kernel is
    larger by ``REACH`` on each side. The kernel is centered where that of ``Conv2D(strides=2, padding="same")`` is,
    for every input size, so that the layer can replace it in a trained network.

    Input: (N, H, W, channels), H and W known. Output: (N, ⌈H / 2⌉, ⌈W / 2⌉, filters).

    Args:
        filters: number of output maps.
        kernel_size: side of the replaced kernel and twice ``REACH``.
        **keywords: as of ``keras.layers.Conv2D``; ``strides`` and ``padding`` are fixed.

    References:
        Zhang, Making Convolutional Networks Shift-Invariant Again, arXiv 1904.11486.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.AntialiasedConv2D(filters=4, kernel_size=5)
        >>> tuple(layer(np.zeros((1, 9, 9, 3), "float32")).shape)
        (1, 5, 5, 4)
    """

    # Pixels on each side that the filter [1, 2, 1] / 4 adds to a kernel.
    REACH = 1

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], **keywords: Any):
        fixed = {"strides": (2, 2), "padding": "valid"}
        super().__init__(filters, kernel_size, **{**keywords, **fixed})

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights, and work out the padding for this size."""
        self.pads = [_pads(n, k) for n, k in zip(input_shape[1:3], self.kernel_size, strict=True)]
        super().build(self._padded(input_shape))

    def call(self, inputs: Any) -> Any:
        """Pad as the plain convolution would, and one more; convolve."""
        return super().call(ops.pad(inputs, [(0, 0), *self.pads, (0, 0)]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return (N, ⌈H / 2⌉, ⌈W / 2⌉, filters)."""
        return super().compute_output_shape(self._padded(input_shape))

    def _padded(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        sides = zip(shape[1:3], self.kernel_size, strict=True)
        return (shape[0], *(n + sum(_pads(n, k)) for n, k in sides), shape[3])


@keras.saving.register_keras_serializable(package="fer_tf")
class GhostModule(keras.layers.Layer):
    """Convolve to half the maps, and make the other half by a depthwise convolution.

    Both convolutions have no bias and are followed by batch normalization and, with ``relu``, ReLU. With an odd number
    of ``filters`` the last depthwise map is left out.

    ``combine="add"`` is the module of GhostFace's public code: the first convolution makes all ``filters`` maps and
    always has its ReLU, and the depthwise maps are added to them.

    Input: (N, H, W, channels). Output: (N, H, W, filters).

    Args:
        filters: number of output maps.
        kernel_size: side of the first convolution.
        combine: ``"concatenate"`` or ``"add"``.
        relu: apply ReLU to the output.
        momentum: of the batch normalizations.
        epsilon: of the batch normalizations.
        kernel_initializer: name of an initializer, drawn anew for each convolution.
        kernel_regularizer: penalty on both kernels.
        **keywords: as of ``keras.layers.Layer``.

    Raises:
        ValueError: an unknown ``combine``.

    References:
        arXiv 1911.11907.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.GhostModule(filters=6)
        >>> tuple(layer(np.zeros((1, 8, 8, 3), "float32")).shape)
        (1, 8, 8, 6)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        combine: str = "concatenate",
        relu: bool = True,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        kernel_initializer: str = "glorot_uniform",
        kernel_regularizer: Any = None,
        **keywords,
    ):
        super().__init__(**keywords)
        if combine not in _COMBINATIONS:
            raise ValueError(f"combine must be one of {', '.join(_COMBINATIONS)}, got {combine!r}.")
        self.filters, self.kernel_size, self.combine, self.relu = filters, kernel_size, combine, relu
        self.momentum, self.epsilon, self.kernel_initializer = momentum, epsilon, kernel_initializer
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        norm = {"momentum": momentum, "epsilon": epsilon, "dtype": self.dtype_policy}
        self.primary = keras.layers.Conv2D(
            self.own_maps, kernel_size, padding="same", use_bias=False, dtype=self.dtype_policy, name="primary_conv",
            kernel_initializer=kernel_initializer, kernel_regularizer=self.kernel_regularizer,
        )  # fmt: skip
        self.primary_norm = keras.layers.BatchNormalization(**norm, name="primary_norm")
        self.cheap = keras.layers.DepthwiseConv2D(
            3, padding="same", use_bias=False, dtype=self.dtype_policy, name="cheap_conv",
            depthwise_initializer=kernel_initializer, depthwise_regularizer=self.kernel_regularizer,
        )  # fmt: skip
        self.cheap_norm = keras.layers.BatchNormalization(**norm, name="cheap_norm")

    @property
    def own_maps(self) -> int:
        """How many maps the first convolution makes."""
        return self.filters if self.combine == "add" else -(-self.filters // 2)

    def build(self, input_shape):
        """Make the weights of both convolutions and their norms."""
        maps = (*input_shape[:-1], self.own_maps)
        self.primary.build(input_shape)
        for layer in (self.primary_norm, self.cheap, self.cheap_norm):
            layer.build(maps)

    def call(self, x, training=None):
        """Turn maps (N, H, W, channels) into (N, H, W, filters)."""
        own = self.primary_norm(self.primary(x), training=training)
        if self.relu or self.combine == "add":
            own = ops.relu(own)
        cheap = self.cheap_norm(self.cheap(own), training=training)
        if self.relu:
            cheap = ops.relu(cheap)
        if self.combine == "add":
            return own + cheap
        return ops.concatenate([own, cheap], axis=-1)[..., : self.filters]

    def compute_output_shape(self, input_shape):
        """Return the input's shape with ``filters`` channels."""
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "combine": self.combine,
            "relu": self.relu,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def _pads(length: int, kernel: int) -> tuple[int, int]:
    """Return how many zeros go before and after a side."""
    reach = AntialiasedConv2D.REACH
    plain, steps = kernel - 2 * reach, -(-length // 2)
    before = max(2 * (steps - 1) + plain - length, 0) // 2
    last = 2 * (steps - 1) - before - reach + kernel
    return before + reach, max(0, last - length)


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
