"""GhostNet and GhostFace: light networks of ghost modules."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError, unknown_name
from fer_tf.layers import GhostModule, TripletAttention
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


# Keras' defaults, which the public code uses.
NORM = {"momentum": 0.99, "epsilon": 1e-3}
# Variants differ in the arguments of their ghost modules and of their attention.
VARIANTS = {
    "public": ({"kernel_size": 3, "combine": "add"}, {"turned": True, **NORM}),
    "fixed": ({"kernel_size": 3, "combine": "add"}, {}),
    "ghostnet": ({"kernel_size": 1, "combine": "concatenate"}, {}),
}
FUSED_STAGES = 2


@architecture(gradcam_layer="stage4", small={"strides": (1, 2, 1, 1, 2, 1, 1)}, bfloat16=False)
def GhostFace(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (8, 16, 16, 32, 64, 128, 240),
    depth: int | Sequence[int] = (3, 3, 4, 3, 1, 1, 1),
    strides: Sequence[int] = (1, 2, 2, 2, 2, 2, 2),
    stem_stride: int = 2,
    variant: str = "fixed",
    name: str = "ghostface",
) -> keras.Model:
    """Build GhostFace: 5×5 stem, two stages of fused blocks, ghost stages, dense.

    ``"fixed"`` is the default variant: the published network has no attention between width and channels, adds a map
    that is mirrored at its diagonal, and takes square images only. The repair costs 39 parameters less. The original
    standardizes pixels by mean and variance of its training array; here they become −1...1 for any dataset.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels; square for ``"public"``.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1); the original has none.
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies ``filters``.
        filters: channels of each stage; the first two stages have fused blocks. The last is also the size of the
            embedding.
        depth: blocks in each stage: one number for all stages, or one for each.
        strides: 1 or 2 for each stage, in its first block; a fused block of stride 2 divides height and width by 4.
        stem_stride: stride of the first convolution, 1 or 2.
        variant: ``"public"`` (as published), ``"fixed"`` (triplet attention as its authors define it) or
            ``"ghostnet"`` (also ghost modules as their authors define them).
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, weights of another network, or an image that is not square for ``"public"``.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.GhostFace(num_classes=7, width=0.2, depth=1)
        >>> network.output_shape
        (None, 7)

    References:
        JiaHui-TANG/Robust-Lightweight-Facial-Expression-Recognition-Model, repaired; arXiv 1911.11907 (ghost modules),
        arXiv 2010.03045 (triplet attention)
    """
    if variant not in VARIANTS:
        raise unknown_name("variant", variant, VARIANTS)
    if len(strides) != len(filters) or not {*strides, stem_stride} <= {1, 2}:
        raise UserError(f"strides must be {len(filters)} of 1 or 2, stem_stride 1 or 2; got {strides}, {stem_stride}.")
    rate, penalty = check_rate("dropout", dropout), regularizer(kernel_regularizer)
    # Stages 5 to 7 may shrink to 1×1, as they do at 224 pixels; heat maps read stage 4.
    halvings = sum(s == 2 for s in (stem_stride, *strides[:4], *strides[:FUSED_STAGES]))
    images = keras.Input(check_input_shape(input_shape, halvings), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(images)
    filters = scaled(filters, width)
    x = _normalized_convolution(x, filters[0], 5, stem_stride, penalty, "stem")
    x = _stages(x, filters, per_block(depth, len(filters)), strides, VARIANTS[variant], penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(filters[-1], kernel_regularizer=penalty, name="embedding")(x)
    x = layers.Dropout(rate, name="dropout")(x)
    return with_weights(keras.Model(images, logits_layer(num_classes, penalty)(x), name=name), weights)


def _stages(
    x: keras.KerasTensor,
    filters: Sequence[int],
    depth: Sequence[int],
    strides: Sequence[int],
    variant: tuple[dict, dict],
    penalty: Any,
) -> keras.KerasTensor:
    """Stack the fused and the ghost blocks; the last layer of stage n is named ``stage<n>``."""
    module, attention = ({**keywords, "kernel_regularizer": penalty} for keywords in variant)
    for stage, (channels, blocks) in enumerate(zip(filters, depth, strict=True), start=1):
        for i in range(1, blocks + 1):
            stride = strides[stage - 1] if i == 1 else 1
            name = f"stage{stage}_block{i}"
            out = f"stage{stage}" if i == blocks else f"{name}_out"
            if stage <= FUSED_STAGES:
                attends = stride == 2 or i == blocks
                x = _fused_block(x, channels, stride, attention if attends else None, penalty, name, out)
            else:
                x = _ghost_block(x, channels, stride, module, attention, name, out)
    return x


def _normalized_convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Convolve without bias, normalize, rectify."""
    x = layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_regularizer=penalty, name=f"{name}_conv"
    )(x)
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(**NORM, name=f"{name}_norm")(x))


def _fused_block(
    x: keras.KerasTensor, filters: int, stride: int, attention: dict | None, penalty: Any, name: str, out: str
) -> keras.KerasTensor:
    """Convolve 3×3, attend, convolve with kernel and stride ``stride``; a shortcut where the shape is kept."""
    y = _normalized_convolution(x, filters, 3, stride, penalty, f"{name}_a")
    if attention is not None:
        y = TripletAttention(**attention, name=f"{name}_attention")(y)
    y = layers.Conv2D(
        filters, stride, stride, use_bias=False, padding="same", kernel_regularizer=penalty, name=f"{name}_b_conv"
    )(y)
    if stride == 2 or x.shape[-1] != filters:
        return layers.BatchNormalization(**NORM, name=out)(y)
    return layers.Add(name=out)([x, layers.BatchNormalization(**NORM, name=f"{name}_b_norm")(y)])


def _ghost_block(
    x: keras.KerasTensor, filters: int, stride: int, module: dict, attention: dict, name: str, out: str
) -> keras.KerasTensor:
    """Add a shortcut to two ghost modules with attention in between; a depthwise convolution then halves the maps."""
    penalty = module["kernel_regularizer"]
    y = GhostModule(filters, **module, **NORM, name=f"{name}_ghost1")(x)
    y = layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(**NORM, name=f"{name}_norm1")(y))
    y = TripletAttention(**attention, name=f"{name}_attention")(y)
    y = GhostModule(filters, relu=False, **module, **NORM, name=f"{name}_ghost2")(y)
    y = layers.BatchNormalization(**NORM, name=f"{name}_norm2")(y)
    if stride == 1 and x.shape[-1] == filters:
        return layers.Add(name=out)([x, y])
    x = layers.DepthwiseConv2D(1, use_bias=False, depthwise_regularizer=penalty, name=f"{name}_shortcut_depthwise")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, kernel_regularizer=penalty, name=f"{name}_shortcut_conv")(x)
    if stride == 1:
        return layers.Add(name=out)([x, y])
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.DepthwiseConv2D(
        3, 2, padding="same", use_bias=False, depthwise_regularizer=penalty, name=out
    )(x)  # fmt: skip
