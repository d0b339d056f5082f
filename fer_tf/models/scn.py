"""The network of Self-Cure: ResNet-18 whose logits are multiplied by the weight that the face deserves."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.models.arguments import check_image_shape, check_rate, regularizer, scaled
from fer_tf.models.resnet import halvings, logits_layer, trunk


def scn(
    num_classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    name: str = "scn",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
) -> keras.Model:
    """Build the trunk, global average pooling, dropout, and α·(W·h + b) with α = sigmoid(w·h + b').

    The weight α, layer ``alpha`` of outputs (N, 1), cannot change the argmax: after training it tells how certain the
    network is. The objective ``scn`` trains it.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels).
        dropout: rate before both dense layers, in [0, 1).
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width, filters, depth, stem: the trunk, see ``fer_tf.models.resnet.resnet``.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C).

    Raises:
        UserError: a value out of range.

    References:
        arXiv 2002.10392.
    """
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_image_shape(image_shape, halvings(stem, filters)), name="images")
    x = trunk(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    return keras.Model(images, weighted_logits(x, num_classes, penalty), name=name)


def weighted_logits(features: keras.KerasTensor, num_classes: int, penalty: Any) -> keras.KerasTensor:
    """Return logits (N, C) times the face's weight, the output of the layer ``alpha``."""
    alpha = logits_layer(1, penalty, "alpha_score")(features)
    alpha = layers.Activation("sigmoid", dtype="float32", name="alpha")(alpha)
    logits = logits_layer(num_classes, penalty)(features)
    return layers.Multiply(dtype="float32", name="weighted_logits")([logits, alpha])
