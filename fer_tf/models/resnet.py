"""ResNet-18 as FER repositories use it, and ResNet-10 for two CPU cores."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError
from fer_tf.models.building import (
    BATCH_NORM,
    Weights,
    architecture,
    check_input_shape,
    check_rate,
    logits_layer,
    per_block,
    regularizer,
    scaled,
    split_outputs,
    with_weights,
)

# Kernel and stride of the first convolution, whether 3×3 max-pooling of stride 2 follows, and halvings in total.
STEMS = {"cifar": (3, 1, False, 0), "strided": (5, 2, False, 1), "imagenet": (7, 2, True, 2)}


@architecture()
def ResNet18(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (44, 44, 3),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "cifar",
    valence_arousal: bool = False,
    name: str = "resnet18",
) -> keras.Model:
    """Build ResNet-18 with a 3×3 stem, for faces of 40 to 64 pixels.

    Stem, four stages of basic blocks, global average pooling, dropout, logits. Strided convolutions pad as Keras'
    "same"; weights from torch would need explicit padding.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies ``filters``.
        filters: channels of each stage; every stage but the first halves height and width.
        depth: basic blocks (two 3×3 convolutions) in each stage: one number for all stages, or one for each.
        stem: first layers: ``"cifar"`` (3×3), ``"strided"`` (5×5, stride 2) or ``"imagenet"`` (7×7, stride 2,
            max-pooling).
        valence_arousal: predict them too, from the same dense layer.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32; with
        ``valence_arousal`` to ``{"logits": (N, C), "valence_arousal": (N, 2)}``.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet18(num_classes=7, input_shape=(48, 48, 1), width=0.1)
        >>> network.output_shape
        (None, 7)

    References:
        arXiv 1512.03385, 3×3 stem
    """
    rate, penalty = check_rate("dropout", dropout), regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(rate, name="dropout")(x)
    outputs = split_outputs(logits_layer(num_classes + 2 * valence_arousal, penalty)(x), num_classes)
    return with_weights(keras.Model(images, outputs, name=name), weights)


@architecture(small={"stem": "strided"})
def ResNet18ImageNet(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    valence_arousal: bool = False,
    name: str = "resnet18_imagenet",
) -> keras.Model:
    """Build ResNet-18 with the 7×7 stem of ImageNet, for 224×224 faces.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem, valence_arousal: see ``ResNet18``.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> fer_tf.models.ResNet18ImageNet(num_classes=7, width=0.1).input_shape
        (None, 224, 224, 3)

    References:
        arXiv 1512.03385, 7×7 stem
    """
    return ResNet18(
        num_classes, input_shape, weights, dropout, kernel_regularizer, width, filters, depth, stem, valence_arousal,
        name,
    )  # fmt: skip


@architecture(gradcam_layer="stage3_block1")
def ResNet10(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (48, 48, 1),
    weights: Weights = None,
    dropout: float = 0.3,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 1,
    stem: str = "strided",
    valence_arousal: bool = False,
    name: str = "resnet10",
) -> keras.Model:
    """Build ResNet-10: one block in each stage, 5×5 stem of stride 2.

    The shipped networks are of this kind, with ``width=0.5``.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem, valence_arousal: see ``ResNet18``.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.ResNet10(width=0.5, weights="ferplus")
        >>> network.metadata.label_set.classes[:3]
        ('neutral', 'happiness', 'surprise')

    References:
        arXiv 1512.03385, one block in each stage, 5×5 stem of stride 2
    """
    return ResNet18(
        num_classes, input_shape, weights, dropout, kernel_regularizer, width, filters, depth, stem, valence_arousal,
        name,
    )  # fmt: skip


def halvings(stem: str, filters: Sequence[int]) -> int:
    """Count how often a backbone halves height and width.

    Raises:
        UserError: an unknown stem.
    """
    if stem not in STEMS:
        raise UserError(f"Unknown stem {stem!r}. Available: {', '.join(STEMS)}.")
    return STEMS[stem][3] + len(filters) - 1


def backbone(
    images: keras.KerasTensor,
    filters: Sequence[int],
    depth: int | Sequence[int],
    stem: str,
    penalty: Any,
    out: str = "features",
) -> keras.KerasTensor:
    """Turn pixels (N, H, W, channels) into the feature map (N, h, w, D) of the last stage.

    Args:
        images: pixels in 0 to 255.
        filters, depth, stem: see ``ResNet18``.
        penalty: regularizer of every kernel, or ``None``.
        out: name of the last layer.
    """
    kernel, stride, pooled, _ = STEMS[stem]
    depths = per_block(depth, len(filters))
    x = layers.Rescaling(1 / 255, name="scale")(images)
    x = _convolution(x, filters[0], kernel, stride, penalty, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    if pooled:
        x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    last = (len(filters), depths[-1])
    for stage, (channels, blocks) in enumerate(zip(filters, depths, strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage{stage}_block{block}"
            x = _basic_block(x, channels, stride, penalty, name, out if (stage, block) == last else name)
    return x


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Convolve without bias and normalize."""
    x = layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"), kernel_regularizer=penalty,
    )(x)  # fmt: skip
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(x)


def _basic_block(
    x: keras.KerasTensor, channels: int, stride: int, penalty: Any, name: str, out: str
) -> keras.KerasTensor:
    """Add two 3×3 convolutions to a shortcut, which is a strided 1×1 convolution where the shape changes."""
    y = layers.ReLU(name=f"{name}_relu")(_convolution(x, channels, 3, stride, penalty, f"{name}_a"))
    y = _convolution(y, channels, 3, 1, penalty, f"{name}_b")
    if stride > 1 or x.shape[-1] != channels:
        x = _convolution(x, channels, 1, stride, penalty, f"{name}_shortcut")
    return layers.ReLU(name=out)(layers.Add(name=f"{name}_add")([x, y]))
