"""What the methods of heat maps read, and what they give."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a network computed of N faces; every method is a function from it to raw maps float32 (N, h, w).

    Attributes:
        images: float32 (N, H, W, channels), the network's input, 0 to 255.
        activations: float32 (N, h, w, D), output of the explained layer.
        gradients: float32 (N, h, w, D), of each face's explained logit by its activations; ``None`` for methods whose
            row says ``gradient=False``.
        classes: int32 (N,), the explained classes.
        logits: the network's logits (M, C) of other images (M, H, W, channels).
    """

    images: tf.Tensor
    activations: tf.Tensor
    gradients: tf.Tensor | None
    classes: tf.Tensor
    logits: Callable[[tf.Tensor], tf.Tensor]


def normalised(raw: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Turn raw maps into heat maps.

    Args:
        raw: float32 (N, h, w), any sign.
        size: int32 (2,), H and W of the result.

    Returns:
        float32 (N, H, W): what is below 0 cut off, resized (bilinear), each divided by its largest value; a map of
        zeros stays one.
    """
    heat = tf.image.resize(tf.nn.relu(raw)[..., None], size)[..., 0]
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True))
