"""GhostFace: a light network of fused and ghost blocks with triplet attention; as published, repaired, and lighter."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError, unknown_name
from fer_tf.layers.ghost import GhostModule
from fer_tf.layers.triplet_attention import TripletAttention
from fer_tf.models.arguments import check_image_shape, check_rate, per_block, regularizer, scaled
from fer_tf.models.resnet import logits_layer

# Keras' defaults, which the public code has.
NORM = {"momentum": 0.99, "epsilon": 1e-3}
# What tells the variants apart: the keywords of their ghost modules and of their attention.
VARIANTS = {
    "public": ({"kernel_size": 3, "combine": "add"}, {"turned": True, **NORM}),
    "fixed": ({"kernel_size": 3, "combine": "add"}, {}),
    "ghostnet": ({"kernel_size": 1, "combine": "concatenate"}, {}),
}
FUSED_STAGES = 2


def ghostface(
    num_classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    name: str = "ghostface",
    width: float = 1.0,
    filters: Sequence[int] = (8, 16, 16, 32, 64, 128, 240),
    depth: int | Sequence[int] = (3, 3, 4, 3, 1, 1, 1),
    strides: Sequence[int] = (1, 2, 2, 2, 2, 2, 2),
    stem_stride: int = 2,
    variant: str = "fixed",
) -> keras.Model:
    """Build GhostFace: 5×5 stem, two stages of fused blocks, ghost stages, pooling, dense, dropout, logits.

    ``fixed`` is the default because the network as published cannot see width against channels, adds a map turned
    by its diagonal, and takes square images only; it costs 39 parameters less. The original standardises pixels by
    the mean and variance of its training array, one number each; here they become −1…1, which no data can change.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels); square for ``public``.
        dropout: rate before the logits, in [0, 1); the original has none.
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width: multiplies ``filters``.
        filters: channels of each stage; the first two have fused blocks. The last is also the size of the embedding.
        depth: blocks a stage, one number or one a stage.
        strides: 1 or 2 a stage, of its first block; a fused block of stride 2 reduces height and width by 4.
        stem_stride: of the first convolution, 1 or 2.
        variant: ``public`` (as published), ``fixed`` (triplet attention as its authors define it) or ``ghostnet``
            (also ghost modules as their authors define them).

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C).

    Raises:
        UserError: a value out of range, or an image that is not square for ``public``.

    References:
        arXiv 1911.11907 (ghost modules), arXiv 2010.03045 (triplet attention).
    """
    if variant not in VARIANTS:
        raise unknown_name("variant", variant, VARIANTS)
    if len(strides) != len(filters) or not {*strides, stem_stride} <= {1, 2}:
        raise UserError(f"strides must be {len(filters)} of 1 or 2, stem_stride 1 or 2; got {strides}, {stem_stride}.")
    rate, penalty = check_rate("dropout", dropout), regularizer(kernel_regularizer)
    # Stages 5 to 7 may end at 1×1, as they do at 224 pixels; heat maps read stage 4.
    halvings = sum(s == 2 for s in (stem_stride, *strides[:4], *strides[:FUSED_STAGES]))
    images = keras.Input(check_image_shape(image_shape, halvings), name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(images)
    filters = scaled(filters, width)
    x = _normalised_convolution(x, filters[0], 5, stem_stride, penalty, "stem")
    x = _stages(x, filters, per_block(depth, len(filters)), strides, VARIANTS[variant], penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(filters[-1], kernel_regularizer=penalty, name="embedding")(x)
    x = layers.Dropout(rate, name="dropout")(x)
    return keras.Model(images, logits_layer(num_classes, penalty)(x), name=name)


def _stages(
    x: keras.KerasTensor,
    filters: Sequence[int],
    depth: Sequence[int],
    strides: Sequence[int],
    variant: tuple[dict, dict],
    penalty: Any,
) -> keras.KerasTensor:
    """Stack the fused and the ghost blocks; the last layer of stage 4, say, is named ``stage4``."""
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


def _normalised_convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Convolve without bias, normalise, rectify."""
    x = layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_regularizer=penalty, name=f"{name}_conv"
    )(x)
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(**NORM, name=f"{name}_norm")(x))


def _fused_block(
    x: keras.KerasTensor, filters: int, stride: int, attention: dict | None, penalty: Any, name: str, out: str
) -> keras.KerasTensor:
    """Convolve 3×3, attend, convolve with kernel and stride ``stride``; a shortcut where the shape stays."""
    y = _normalised_convolution(x, filters, 3, stride, penalty, f"{name}_a")
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
    """Add two ghost modules with attention between them to a shortcut; a depthwise convolution then halves the maps."""
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
