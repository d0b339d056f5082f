"""Attention between each two of height, width and channels."""

from typing import Any

import keras
from keras import ops

from fer_tf.errors import UserError

# The axis of (N, H, W, C) that a branch pools, and the order that puts it last; each order undoes itself.
BRANCHES = {"space": (3, (0, 1, 2, 3)), "height": (2, (0, 1, 3, 2)), "width": (1, (0, 3, 2, 1))}


@keras.saving.register_keras_serializable(package="fer_tf")
class TripletAttention(keras.layers.Layer):
    """Weigh maps by three gates: one over space, one over height × channels, one over width × channels.

    Each branch pools one axis to its maximum and mean, convolves the two maps with one 7×7 filter, batch-normalises
    and takes the sigmoid. The output is the mean of the three gated inputs. 300 trainable parameters for any number
    of channels.

    ``turned`` is what the public code of GhostFace does: the branch that should pool height pools width again, its
    map is added with height and width exchanged, and the convolutions have a bias (303 parameters). It needs square
    maps.

    Input and output: (N, H, W, C).

    Args:
        turned: repeat GhostFace's branch and biases.
        kernel_size: side of the filters.
        momentum: of the batch-norms.
        epsilon: of the batch-norms.
        kernel_regularizer: penalty on the filters.

    Raises:
        UserError: ``turned`` on maps that are not square, when the layer is built.

    References:
        arXiv 2010.03045.
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
