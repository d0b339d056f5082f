"""Distract your Attention Network: ResNet-18 and heads that should attend to different things."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError
from fer_tf.layers.attention import SumOver
from fer_tf.models.arguments import check_image_shape, check_rate, regularizer, scaled
from fer_tf.models.resnet import halvings, logits_layer, trunk
from fer_tf.models.vgg import BATCH_NORM


def dan(
    num_classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    name: str = "dan",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    heads: int = 4,
) -> keras.Model:
    """Build the trunk, cross-attention heads, log-softmax across the heads, their sum, dense, batch-norm on the logits.

    The objective ``dan`` reads the layers ``features``, the trunk's map, and ``heads``, the log-softmaxed heads
    (N, D, K).

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels).
        dropout: rate before the dense layer, in [0, 1).
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width, filters, depth, stem: the trunk, see ``fer_tf.models.resnet.resnet``.
        heads: K ≥ 2.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C).

    Raises:
        UserError: a value out of range.

    References:
        arXiv 2109.07270.
    """
    if not isinstance(heads, int) or heads < 2:
        raise UserError(f"heads must be a whole number of at least 2, got {heads!r}.")
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_image_shape(image_shape, halvings(stem, filters)), name="images")
    x = trunk(images, scaled(filters, width), depth, stem, penalty)
    attended = [layers.Reshape((-1, 1), name=f"head{k}")(_head(x, penalty, f"head{k}")) for k in range(1, heads + 1)]
    x = layers.Concatenate(axis=-1, name="stack")(attended)
    # Across the heads, not the features: each feature is shared out among the heads.
    x = layers.Activation("log_softmax", name="heads")(x)
    x = SumOver(axis=-1, name="fused")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    x = logits_layer(num_classes, penalty)(x)
    logits = layers.BatchNormalization(**BATCH_NORM, dtype="float32", name="logits_norm")(x)
    return keras.Model(images, logits, name=name)


def _head(x: keras.KerasTensor, penalty: Any, name: str) -> keras.KerasTensor:
    """Attend in space, then over channels; (N, D)."""
    channels = x.shape[-1]
    y = _convolution(x, max(1, channels // 2), 1, penalty, f"{name}_reduce")
    shapes = {"square": 3, "row": (1, 3), "column": (3, 1)}
    parts = [_convolution(y, channels, kernel, penalty, f"{name}_{which}") for which, kernel in shapes.items()]
    y = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")(parts))
    # A sum over channels, neither mean nor sigmoid.
    y = layers.Multiply(name=f"{name}_attended")([x, SumOver(axis=-1, keepdims=True, name=f"{name}_map")(y)])
    y = layers.GlobalAveragePooling2D(name=f"{name}_pool")(y)
    q = _dense(max(1, channels // 16), penalty, f"{name}_squeeze")(y)
    q = layers.ReLU(name=f"{name}_squeeze_relu")(layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(q))
    q = layers.Activation("sigmoid", name=f"{name}_gate")(_dense(channels, penalty, f"{name}_excite")(q))
    return layers.Multiply(name=f"{name}_gated")([y, q])


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int | tuple[int, int], penalty: Any, name: str
) -> keras.KerasTensor:
    x = layers.Conv2D(
        channels, kernel, padding="same", kernel_regularizer=penalty, name=f"{name}_conv",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    )(x)  # fmt: skip
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(x)


def _dense(units: int, penalty: Any, name: str) -> keras.layers.Dense:
    start = keras.initializers.RandomNormal(stddev=0.001)
    return layers.Dense(units, kernel_initializer=start, kernel_regularizer=penalty, name=name)
