"""Convolutions of which half the maps are cheap copies of the other half."""

from typing import Any

import keras
from keras import ops

COMBINATIONS = ("concatenate", "add")


@keras.saving.register_keras_serializable(package="fer_tf")
class GhostModule(keras.layers.Layer):
    """Convolve to half the maps, make the other half from these by a depthwise convolution, and put them together.

    Both convolutions are without bias and followed by batch-norm and, with ``relu``, ReLU. With an odd number of
    ``filters`` the last cheap map is left out.

    ``combine="add"`` is the module of GhostFace's public code: the first convolution makes all ``filters`` maps and
    always has its ReLU, and the cheap maps are added to them.

    Input: (N, H, W, channels). Output: (N, H, W, filters).

    Args:
        filters: maps of the output.
        kernel_size: side of the first convolution.
        combine: ``"concatenate"`` or ``"add"``.
        relu: rectify the output.
        momentum: of the batch-norms.
        epsilon: of the batch-norms.
        kernel_initializer: name of an initialiser, drawn anew for each convolution.
        kernel_regularizer: penalty on both kernels.

    References:
        arXiv 1911.11907.
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
        if combine not in COMBINATIONS:
            raise ValueError(f"combine must be one of {', '.join(COMBINATIONS)}, got {combine!r}.")
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
