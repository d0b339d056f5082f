"""Self-Cure Network (SCN), also with a landmark head."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.layers import AddMeanShape
from fer_tf.models.building import (
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


@architecture(small={"depth": 1, "stem": "strided"})
def SCN(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    name: str = "scn",
) -> keras.Model:
    """Build the Self-Cure Network: ResNet-18 with logits α·(W·h + b).

    α = sigmoid(w·h + b'), the layer ``alpha`` with output (N, 1), is the weight of a face. It cannot change the argmax;
    after training it tells how certain the network is. Train it with the objective ``scn``.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before both dense layers, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.SCN(num_classes=7, input_shape=(48, 48, 1), width=0.1, stem="strided")
        >>> network.get_layer("alpha").output.shape
        (None, 1)

    References:
        arXiv 2002.10392
    """
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    return with_weights(keras.Model(images, _weighted_logits(x, num_classes, penalty), name=name), weights)


@architecture(small={"depth": 1, "stem": "strided"})
def LandmarkSCN(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (48, 48, 3),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "cifar",
    points: int = 68,
    name: str = "landmark_scn",
) -> keras.Model:
    """Build the Self-Cure Network with a third head, which predicts facial landmarks.

    The published network averages 4×4 positions of its 6×6 map; this one averages all. Train it with the objective
    ``landmarks``, which also sets the mean shape from which the network predicts offsets.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the heads, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        points: number of landmarks K.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to a dict of float32: ``logits`` (N, C), and ``landmarks``
        (N, K, 2) as x, y in pixels of the input.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.LandmarkSCN(num_classes=7, width=0.1)
        >>> network.output["landmarks"].shape
        (None, 68, 2)

    References:
        github.com/RainbowRui/Landmark-Driven-Facial-Expression-Recognition; arXiv 2002.10392
    """
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    offsets = logits_layer(2 * points, penalty, "landmark_offsets")(x)
    landmarks = AddMeanShape(points, dtype="float32", name="landmarks")(offsets)
    outputs = {"logits": _weighted_logits(x, num_classes, penalty), "landmarks": landmarks}
    return with_weights(keras.Model(images, outputs, name=name), weights)


def _weighted_logits(features: keras.KerasTensor, num_classes: int, penalty: Any) -> keras.KerasTensor:
    """Return logits (N, C), multiplied by the weight of the face, the output of the layer ``alpha``."""
    alpha = logits_layer(1, penalty, "alpha_score")(features)
    alpha = layers.Activation("sigmoid", dtype="float32", name="alpha")(alpha)
    logits = logits_layer(num_classes, penalty)(features)
    return layers.Multiply(dtype="float32", name="weighted_logits")([logits, alpha])
