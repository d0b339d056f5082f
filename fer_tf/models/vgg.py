"""VGG: the network of the optimizer study, VGG13 of FER+, VGG16 and VGG19."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from fer_tf.errors import unknown_name
from fer_tf.layers import FerPlusNormalization
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
    torch_default,
    with_weights,
)

NORMALIZATIONS = {
    "ferplus": lambda: FerPlusNormalization(dtype="float32", name="normalize"),
    "rescale": lambda: layers.Rescaling(1 / 255, name="scale"),
}


@architecture()
def VGG(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (40, 40, 1),
    weights: Weights = None,
    dropout: float = 0.2,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    head: str | Sequence[int | str] = (4096, 4096),
    batch_norm: bool = True,
    spatial_dropout: float = 0.0,
    name: str = "vgg",
) -> keras.Model:
    """Build a VGG; the defaults are the network of the optimizer study.

    Kernels start from torch's default initializer, whose scale batch-norm corrects. Without batch-norm they start
    He-normal, since torch's default would shrink the signal by √6 in each layer.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels; height and width at least 2 ** blocks.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate in the head, in [0, 1). The study's text says 0.1, its code trains with 0.2.
        kernel_regularizer: penalty on every kernel: a Keras regularizer or a call string such as ``"l2(l2=0.0001)"``.
        width: multiplies ``filters`` and ``head``.
        filters: channels of each block, which ends with 2×2 max-pooling.
        depth: convolutions in each block: one number for all blocks, or one for each.
        head: hidden units after flattening, such as (4096, 4096); ``"gap"`` averages each map and goes straight to the
            logits; ``("gap", 512)`` has hidden units after averaging.
        batch_norm: normalize after each convolution.
        spatial_dropout: rate of whole maps dropped after each block, in [0, 1).
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> network = VGG(num_classes=7, width=0.05)
        >>> network.input_shape, network.output_shape
        ((None, 40, 40, 1), (None, 7))

    References:
        arXiv 2105.03588 (the study), arXiv 1409.1556 (VGG)
    """
    penalty = regularizer(kernel_regularizer)
    initial = torch_default if batch_norm else keras.initializers.HeNormal
    rate = check_rate("spatial_dropout", spatial_dropout)
    images = keras.Input(check_input_shape(input_shape, len(filters)), name="images")
    x = layers.Rescaling(1 / 255, name="scale")(images)
    x = _feature_extractor(
        x, scaled(filters, width), per_block(depth, len(filters)), batch_norm, initial, penalty,
        drop=partial(layers.SpatialDropout2D, rate) if rate else None,
    )  # fmt: skip
    logits = _classifier(x, num_classes, head, width, check_rate("dropout", dropout), initial, penalty)
    return with_weights(keras.Model(images, logits, name=name), weights)


@architecture()
def VGG16(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (44, 44, 3),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    depth: int | Sequence[int] = (2, 2, 3, 3, 3),
    head: str | Sequence[int | str] = "gap",
    batch_norm: bool = True,
    spatial_dropout: float = 0.0,
    name: str = "vgg16",
) -> keras.Model:
    """Build VGG16 with batch-norm and global average pooling before the logits.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels; height and width at least 2 ** blocks.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies ``filters`` and ``head``.
        filters, depth, head, batch_norm, spatial_dropout: see ``VGG``.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> network = VGG16(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> network.output_shape
        (None, 7)

    References:
        arXiv 1409.1556, configuration D, with batch-norm
    """
    return VGG(
        num_classes, input_shape, weights, dropout, kernel_regularizer, width, filters, depth, head, batch_norm,
        spatial_dropout, name,
    )  # fmt: skip


@architecture()
def VGG19(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (44, 44, 3),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512, 512),
    depth: int | Sequence[int] = (2, 2, 4, 4, 4),
    head: str | Sequence[int | str] = "gap",
    batch_norm: bool = True,
    spatial_dropout: float = 0.0,
    name: str = "vgg19",
) -> keras.Model:
    """Build VGG19 with batch-norm and global average pooling before the logits.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels; height and width at least 2 ** blocks.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies ``filters`` and ``head``.
        filters, depth, head, batch_norm, spatial_dropout: see ``VGG``.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> network = VGG19(num_classes=7, input_shape=(48, 48, 1), width=0.05)
        >>> network.output_shape
        (None, 7)

    References:
        arXiv 1409.1556, configuration E, with batch-norm
    """
    return VGG(
        num_classes, input_shape, weights, dropout, kernel_regularizer, width, filters, depth, head, batch_norm,
        spatial_dropout, name,
    )  # fmt: skip


@architecture()
def VGG13(
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (64, 64, 1),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 256),
    depth: int | Sequence[int] = (2, 2, 3, 3),
    head: str | Sequence[int | str] = (1024, 1024),
    normalization: str = "ferplus",
    batch_norm: bool = False,
    name: str = "vgg13",
) -> keras.Model:
    """Build the VGG13 of FER+: ten convolutions and three dense layers.

    Kernels start Glorot-uniform.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels; height and width at least 2 ** blocks.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate after the hidden dense layers, in [0, 1); the blocks drop half as much.
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies ``filters`` and ``head``.
        filters, depth, head: see ``VGG``.
        normalization: ``"ferplus"`` (equalize the histogram, subtract the plane of light, unit RMS) or ``"rescale"``
            (to 0...1).
        batch_norm: normalize after each convolution. FER+'s network does not, and takes many epochs to start learning.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> network = VGG13(num_classes=8, input_shape=(48, 48, 1), width=0.05)
        >>> network.output_shape
        (None, 8)

    References:
        arXiv 1608.01041
    """
    if normalization not in NORMALIZATIONS:
        raise unknown_name("normalization", normalization, NORMALIZATIONS)
    penalty = regularizer(kernel_regularizer)
    initial = keras.initializers.GlorotUniform
    rate = check_rate("dropout", dropout)
    images = keras.Input(check_input_shape(input_shape, len(filters)), name="images")
    x = NORMALIZATIONS[normalization]()(images)
    x = _feature_extractor(
        x, scaled(filters, width), per_block(depth, len(filters)), batch_norm, initial, penalty,
        drop=partial(layers.Dropout, rate / 2),
    )  # fmt: skip
    logits = _classifier(x, num_classes, head, width, rate, initial, penalty)
    return with_weights(keras.Model(images, logits, name=name), weights)


def _feature_extractor(
    x: keras.KerasTensor,
    filters: Sequence[int],
    depth: Sequence[int],
    batch_norm: bool,
    kernel_initializer: Callable[[], keras.initializers.Initializer],
    kernel_regularizer: Any,
    drop: Callable[..., keras.Layer] | None,
) -> keras.KerasTensor:
    """Stack blocks of [3×3 convolution, batch-norm, ReLU] × depth, 2×2 max-pooling, dropout.

    The last ReLU, before the last pooling, is named ``features``. ``kernel_initializer`` makes a new initializer for a
    layer, ``drop`` a new dropout layer; ``drop`` may be ``None``.
    """
    for block, (width, convolutions) in enumerate(zip(filters, depth, strict=True), start=1):
        for i in range(1, convolutions + 1):
            x = layers.Conv2D(
                width, 3, padding="same", kernel_initializer=kernel_initializer(),
                kernel_regularizer=kernel_regularizer, name=f"block{block}_conv{i}",
            )(x)  # fmt: skip
            if batch_norm:
                x = layers.BatchNormalization(**BATCH_NORM, name=f"block{block}_norm{i}")(x)
            is_last = block == len(filters) and i == convolutions
            x = layers.ReLU(name="features" if is_last else f"block{block}_relu{i}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
        if drop:
            x = drop(name=f"block{block}_dropout")(x)
    return x


def _classifier(
    x: keras.KerasTensor,
    num_classes: int,
    head: str | Sequence[int | str],
    width: float,
    dropout: float,
    kernel_initializer: Callable[[], keras.initializers.Initializer],
    kernel_regularizer: Any,
) -> keras.KerasTensor:
    """Turn feature maps (N, h, w, c) into logits: flatten or average, [dense, ReLU, dropout] ×, dense.

    ``head`` lists hidden units, see ``VGG``. Dropout follows each hidden layer, or precedes the logits without one.
    """
    head = (head,) if isinstance(head, str) else tuple(head)
    pooled = head[:1] in ((), ("gap",))
    x = layers.GlobalAveragePooling2D(name="pool")(x) if pooled else layers.Flatten(name="flatten")(x)
    hidden = scaled([u for u in head if u != "gap"], width)
    for i, units in enumerate(hidden, start=1):
        x = layers.Dense(
            units, activation="relu", kernel_initializer=kernel_initializer(),
            kernel_regularizer=kernel_regularizer, name=f"dense{i}",
        )(x)  # fmt: skip
        x = layers.Dropout(dropout, name=f"dense{i}_dropout")(x)
    if not hidden:
        x = layers.Dropout(dropout, name="dropout")(x)
    return logits_layer(num_classes, kernel_regularizer)(x)
