"""Weight height, width and channels of feature maps by attention."""

from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError

# The axis of (N, H, W, C) that a branch pools, and the order that puts it last; each order undoes itself.
BRANCHES = {"space": (3, (0, 1, 2, 3)), "height": (2, (0, 1, 3, 2)), "width": (1, (0, 3, 2, 1))}


@keras.saving.register_keras_serializable(package="fer_tf")
class TripletAttention(keras.layers.Layer):
    """Multiply maps by gates over space, height × channels and width × channels.

    Each of the three branches pools one axis to its maximum and its mean, convolves these two maps with one filter,
    normalizes the result by batch normalization and takes the sigmoid: a gate from 0 to 1. The output is the mean of
    the three gated inputs. With filters of 7×7 there are 300 trainable parameters, for any number of channels.

    ``turned`` is what the public code of GhostFace does: the branch that should pool height pools width again, its
    map is added with height and width exchanged, and the convolutions have a bias (303 parameters). It needs square
    maps.

    Input and output: (N, H, W, C).

    Args:
        turned: compute what GhostFace's public code computes.
        kernel_size: side of the filters.
        momentum: of the batch normalizations.
        epsilon: of the batch normalizations.
        kernel_regularizer: penalty on the filters.
        **keywords: as of ``keras.layers.Layer``.

    Raises:
        UserError: ``turned`` on maps that are not square, when the layer is built.

    References:
        arXiv 2010.03045.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.TripletAttention()
        >>> tuple(layer(np.ones((1, 6, 5, 3), "float32")).shape)
        (1, 6, 5, 3)
    """

    def __init__(
        self,
        turned: bool = False,
        kernel_size: int = 7,
        momentum: float = 0.99,
        epsilon: float = 1e-5,
        kernel_regularizer: Any = None,
        **keywords,
    ):
        super().__init__(**keywords)
        self.turned, self.kernel_size, self.momentum, self.epsilon = turned, kernel_size, momentum, epsilon
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.convolutions = {
            branch: keras.layers.Conv2D(
                1, kernel_size, padding="same", use_bias=turned, kernel_regularizer=self.kernel_regularizer,
                dtype=self.dtype_policy, name=f"{branch}_conv",
            )
            for branch in BRANCHES
        }  # fmt: skip
        self.norms = {
            branch: keras.layers.BatchNormalization(
                momentum=momentum, epsilon=epsilon, dtype=self.dtype_policy, name=f"{branch}_norm"
            )
            for branch in BRANCHES
        }

    def build(self, input_shape):
        """Make the six layers' weights."""
        if self.turned and input_shape[1] != input_shape[2]:
            raise UserError(
                f"The public variant of triplet attention needs square maps, got {input_shape[1]}×{input_shape[2]}. "
                "Use a square image_shape or the variant 'fixed'."
            )
        for branch in BRANCHES:
            self.convolutions[branch].build((None, None, None, 2))
            self.norms[branch].build((None, None, None, 1))

    def call(self, x, training=None):
        """Gate maps (N, H, W, C)."""
        space, height = (self._gate(branch, x, *BRANCHES[branch], training) for branch in ("space", "height"))
        if not self.turned:
            return x * ((space + height + self._gate("width", x, *BRANCHES["width"], training)) / 3)
        # Order (C, H, W) pools width; the order that should bring it back exchanges height and width instead.
        again = self._gate("width", x, 2, (0, 3, 1, 2), training, back=(0, 2, 3, 1))
        return (x * (space + height) + ops.transpose(x * again, (0, 2, 1, 3))) / 3

    def _gate(self, branch, x, axis, order, training, back=None):
        """Return a branch's gate in 0…1, of the shape of ``x`` but 1 along ``axis``; ``order`` puts that axis last."""
        pooled = [ops.transpose(pool(x, axis=axis, keepdims=True), order) for pool in (ops.max, ops.mean)]
        logits = self.convolutions[branch](ops.concatenate(pooled, axis=-1))
        logits = self.norms[branch](logits, training=training)
        return ops.transpose(ops.sigmoid(logits), back or order)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {
            **super().get_config(),
            "turned": self.turned,
            "kernel_size": self.kernel_size,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package="fer_tf")
class SumOver(keras.layers.Layer):
    """Sum a tensor over one axis.

    Args:
        axis: which axis; negative numbers count from the end.
        keepdims: keep the axis with length 1.
        **keywords: as of ``keras.layers.Layer``.

    Example:
        >>> import fer_tf, numpy as np
        >>> layer = fer_tf.layers.SumOver(axis=1)
        >>> np.asarray(layer(np.ones((1, 3, 2), "float32"))).tolist()
        [[3.0, 3.0]]
    """

    def __init__(self, axis: int = -1, keepdims: bool = False, **keywords):
        super().__init__(**keywords)
        self.axis, self.keepdims = axis, keepdims

    def call(self, x):
        """Sum x."""
        return ops.sum(x, axis=self.axis, keepdims=self.keepdims)

    def get_config(self):
        """Return the arguments that make an equal layer."""
        return {**super().get_config(), "axis": self.axis, "keepdims": self.keepdims}


@keras.saving.register_keras_serializable(package="fer_tf")
class WeightedMean(keras.layers.Layer):
    """Average K vectors by weights: Σ_k w_k·v_k / Σ_k w_k.

    Input: a list of values (N, K, D) and weights (N, K, 1), whose sum is above 0. Output: (N, D).

    Example:
        >>> import fer_tf, numpy as np
        >>> values, weights = np.array([[[1.0], [5.0]]]), np.array([[[3.0], [1.0]]])
        >>> np.asarray(fer_tf.layers.WeightedMean()([values, weights])).tolist()
        [[2.0]]
    """

    def call(self, inputs):
        """Average values by weights."""
        values, weights = inputs
        return ops.sum(values * weights, axis=1) / ops.sum(weights, axis=1)

    def compute_output_shape(self, input_shape):
        """Return (N, D)."""
        (n, _, width), _ = input_shape
        return (n, width)
