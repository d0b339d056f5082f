"""GhostNet: bottlenecks of ghost modules, five million parameters."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError
from fer_tf.layers import GhostModule
from fer_tf.models.building import (
    BATCH_NORM,
    Weights,
    architecture,
    check_input_shape,
    check_rate,
    logits_layer,
    per_block,
    regularizer,
    with_weights,
)

# All blocks of a stage have maps of one size. A block: kernel, expanded maps, maps, squeeze-and-excitation.
STAGES = (
    ((3, 16, 16, False),),
    ((3, 48, 24, False), (3, 72, 24, False)),
    ((5, 72, 40, True), (5, 120, 40, True)),
    ((3, 240, 80, False), (3, 200, 80, False), (3, 184, 80, False), (3, 184, 80, False), (3, 480, 112, True),
     (3, 672, 112, True)),
    ((5, 672, 160, True), (5, 960, 160, False), (5, 960, 160, True), (5, 960, 160, False), (5, 960, 160, True)),
)  # fmt: skip
EMBEDDING = 1280


@architecture(small={"stem_stride": 1}, bfloat16=False)
def GhostNet(
    num_classes: int = 1000,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.2,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    depth: int | Sequence[int] = (1, 2, 2, 6, 5),
    stem_stride: int = 2,
    name: str = "ghostnet",
) -> keras.Model:
    """Build GhostNet: stem, five stages of ghost bottlenecks, two dense layers.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies the maps of all convolutions, rounded to multiples of 4; the dense layer keeps 1280 units.
        depth: largest number of blocks in each stage: one number for all stages, or one for each.
        stem_stride: stride of the first convolution; 1 prevents 48×48 faces from shrinking to 2×2.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.GhostNet(num_classes=7, input_shape=(48, 48, 1), width=0.1, depth=1)
        >>> network.output_shape
        (None, 7)

    References:
        arXiv 1911.11907
    """
    if not width > 0 or stem_stride not in (1, 2):
        raise UserError(f"width must be above 0 and stem_stride 1 or 2, got {width!r} and {stem_stride!r}.")
    rate, penalty = check_rate("dropout", dropout), regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, 3 + stem_stride), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(images)
    x = _convolution(x, _in_fours(16 * width), 3, stem_stride, penalty, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage, (blocks, count) in enumerate(zip(STAGES, per_block(depth, len(STAGES)), strict=True), start=1):
        for i, (kernel, expanded, maps, squeezed) in enumerate(blocks[:count], start=1):
            stride = 2 if stage > 1 and i == 1 else 1
            sizes = (_in_fours(expanded * width), _in_fours(maps * width))
            x = _bottleneck(x, kernel, *sizes, squeezed, stride, penalty, f"stage{stage}_block{i}")
    x = _convolution(x, _in_fours(960 * width), 1, 1, penalty, "top")
    x = layers.ReLU(name="features")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(EMBEDDING, activation="relu", kernel_regularizer=penalty, name="embedding")(x)
    x = layers.Dropout(rate, name="dropout")(x)
    return with_weights(keras.Model(images, logits_layer(num_classes, penalty)(x), name=name), weights)


def _in_fours(maps: float) -> int:
    """Round to a multiple of 4, at least 4, and never down by more than a tenth."""
    rounded = max(4, int(maps + 2) // 4 * 4)
    return rounded + 4 if rounded < 0.9 * maps else rounded


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Convolve without bias and normalize."""
    x = layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_regularizer=penalty, name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(x)


def _depthwise(x: keras.KerasTensor, kernel: int, stride: int, penalty: Any, name: str) -> keras.KerasTensor:
    """Convolve each map on its own without bias, and normalize."""
    x = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, depthwise_regularizer=penalty, name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(x)


def _bottleneck(
    x: keras.KerasTensor, kernel: int, expanded: int, maps: int, squeezed: bool, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Expand by a ghost module, halve the size, weigh the maps, project by a ghost module, and add the shortcut."""
    y = GhostModule(expanded, kernel_regularizer=penalty, name=f"{name}_expand")(x)
    if stride > 1:
        y = _depthwise(y, kernel, stride, penalty, f"{name}_depthwise")
    if squeezed:
        y = _squeeze_and_excite(y, penalty, f"{name}_squeeze")
    y = GhostModule(maps, relu=False, kernel_regularizer=penalty, name=f"{name}_project")(y)
    if stride > 1 or x.shape[-1] != maps:
        x = _depthwise(x, kernel, stride, penalty, f"{name}_shortcut_depthwise")
        x = _convolution(x, maps, 1, 1, penalty, f"{name}_shortcut")
    return layers.Add(name=name)([x, y])


def _squeeze_and_excite(x: keras.KerasTensor, penalty: Any, name: str) -> keras.KerasTensor:
    """Multiply each map by a gate computed from the means of all maps."""
    maps = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    y = layers.Conv2D(
        _in_fours(maps / 4), 1, activation="relu", kernel_regularizer=penalty, name=f"{name}_reduce"
    )(y)  # fmt: skip
    y = layers.Conv2D(maps, 1, activation="hard_sigmoid", kernel_regularizer=penalty, name=f"{name}_expand")(y)
    return layers.Multiply(name=f"{name}_scale")([x, y])
