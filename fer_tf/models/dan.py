"""Distract your Attention Network (DAN): ResNet-18 and several attention heads."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError
from fer_tf.layers import SumOver
from fer_tf.models.building import (
    BATCH_NORM,
    Weights,
    architecture,
    check_input_shape,
    check_rate,
    logits_layer,
    regularizer,
    scaled,
    with_weights,
)
from fer_tf.models.resnet import backbone, halvings


@architecture(small={"width": 0.5, "depth": 1, "stem": "strided"})
def DAN(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    heads: int = 4,
    name: str = "dan",
) -> keras.Model:
    """Build the Distract your Attention Network.

    Backbone, cross-attention heads, log-softmax across the heads, their sum, dense, batch-norm of the logits. The
    objective ``dan`` reads two layers: ``features``, the map of the backbone, and ``heads``, the log-softmax of the
    heads (N, D, K).

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the dense layer, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        heads: number of attention heads K, at least 2.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.DAN(num_classes=7, input_shape=(48, 48, 1), width=0.1, stem="strided")
        >>> network.get_layer("heads").output.shape
        (None, 51, 4)

    References:
        arXiv 2109.07270
    """
    if not isinstance(heads, int) or heads < 2:
        raise UserError(f"heads must be a whole number of at least 2, got {heads!r}.")
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    attended = [layers.Reshape((-1, 1), name=f"head{k}")(_head(x, penalty, f"head{k}")) for k in range(1, heads + 1)]
    x = layers.Concatenate(axis=-1, name="stack")(attended)
    # Across the heads, not the features: the heads share each feature.
    x = layers.Activation("log_softmax", name="heads")(x)
    x = SumOver(axis=-1, name="fused")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    x = logits_layer(num_classes, penalty)(x)
    logits = layers.BatchNormalization(**BATCH_NORM, dtype="float32", name="logits_norm")(x)
    return with_weights(keras.Model(images, logits, name=name), weights)


def _head(x: keras.KerasTensor, penalty: Any, name: str) -> keras.KerasTensor:
    """Attend in space, then over channels; returns (N, D)."""
    channels = x.shape[-1]
    y = _convolution(x, max(1, channels // 2), 1, penalty, f"{name}_reduce")
    shapes = {"square": 3, "row": (1, 3), "column": (3, 1)}
    parts = [_convolution(y, channels, kernel, penalty, f"{name}_{which}") for which, kernel in shapes.items()]
    y = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")(parts))
    # A sum over channels, not a mean and without sigmoid.
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
