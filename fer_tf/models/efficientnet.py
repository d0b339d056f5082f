"""EfficientNet B0 and B2; on request with valence and arousal."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError
from fer_tf.models.building import (
    Weights,
    architecture,
    check_input_shape,
    check_rate,
    per_block,
    regularizer,
    split_outputs,
    take_layers,
    with_weights,
)

# A variant multiplies the maps and the blocks of B0 by these.
VARIANTS = {"b0": (1.0, 1.0), "b2": (1.1, 1.2)}
# A stage of B0: kernel, blocks, maps, expansion, stride.
STAGES = (
    (3, 1, 16, 1, 1), (3, 2, 24, 6, 2), (5, 2, 40, 6, 2), (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1), (5, 4, 192, 6, 2), (3, 1, 320, 6, 1),
)  # fmt: skip
STEM, TOP = 32, 1280
# Mean and standard deviation of ImageNet's pixels in 0…1, red, green, blue.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@architecture(small={"stem_stride": 1}, bfloat16=False)
def EfficientNetB0(
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.2,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    depth: int | Sequence[int] | None = None,
    stem_stride: int = 2,
    valence_arousal: bool = False,
    name: str = "efficientnet_b0",
) -> keras.Model:
    """Build EfficientNet-B0, with layer names of ``keras.applications``.

    Unlike those of ``keras.applications``, it takes a regularizer, a width, and a stem that suits small faces. Gray
    images are repeated to three channels; pixels are standardized by mean and deviation of ImageNet.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels, 1 or 3 channels.
        weights: ``None`` for random ones, ``"imagenet"`` for the backbone (downloaded by Keras), the name of a shipped
            network, or the path of a ``.keras``, ``.weights.h5`` or ``.h5`` file. With a ``.keras`` file
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1); blocks are skipped at a rate that grows up to it.
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies the maps of all convolutions, rounded to multiples of 8.
        depth: blocks in each stage: one number for all stages, or one for each; ``None`` for the published ones.
        stem_stride: stride of the first convolution; 1 lets 48×48 faces shrink to 3×3 and not to 2×2.
        valence_arousal: predict them too, from the same dense layer.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32; with
        ``valence_arousal`` to ``{"logits": (N, C), "valence_arousal": (N, 2)}``.

    Raises:
        UserError: a value out of range, or weights that are not available or of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.EfficientNetB0(num_classes=8, width=0.1, depth=1)
        >>> network.output_shape
        (None, 8)

    References:
        arXiv 1905.11946; arXiv 2103.17107 (the heads)
    """
    return _efficientnet(
        "b0", num_classes, input_shape, weights, dropout, kernel_regularizer, width, depth, stem_stride,
        valence_arousal, name,
    )  # fmt: skip


@architecture(small={"stem_stride": 1}, bfloat16=False)
def EfficientNetB2(
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (260, 260, 3),
    weights: Weights = None,
    dropout: float = 0.3,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    depth: int | Sequence[int] | None = None,
    stem_stride: int = 2,
    valence_arousal: bool = False,
    name: str = "efficientnet_b2",
) -> keras.Model:
    """Build EfficientNet-B2, with layer names of ``keras.applications``.

    Unlike those of ``keras.applications``, it takes a regularizer, a width, and a stem that suits small faces. Gray
    images are repeated to three channels; pixels are standardized by mean and deviation of ImageNet.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels, 1 or 3 channels.
        weights: ``None`` for random ones, ``"imagenet"`` for the backbone (downloaded by Keras), the name of a shipped
            network, or the path of a ``.keras``, ``.weights.h5`` or ``.h5`` file. With a ``.keras`` file
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1); blocks are skipped at a rate that grows up to it.
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width: multiplies the maps of all convolutions, rounded to multiples of 8.
        depth: blocks in each stage: one number for all stages, or one for each; ``None`` for the published ones.
        stem_stride: stride of the first convolution; 1 lets 48×48 faces shrink to 3×3 and not to 2×2.
        valence_arousal: predict them too, from the same dense layer.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32; with
        ``valence_arousal`` to ``{"logits": (N, C), "valence_arousal": (N, 2)}``.

    Raises:
        UserError: a value out of range, or weights that are not available or of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.EfficientNetB2(num_classes=8, width=0.1, depth=1)
        >>> network.output_shape
        (None, 8)

    References:
        arXiv 1905.11946; arXiv 2103.17107 (the heads)
    """
    return _efficientnet(
        "b2", num_classes, input_shape, weights, dropout, kernel_regularizer, width, depth, stem_stride,
        valence_arousal, name,
    )  # fmt: skip


def _efficientnet(
    variant: str,
    num_classes: int,
    input_shape: tuple[int, int, int],
    weights: Weights,
    dropout: float,
    kernel_regularizer: Any,
    width: float,
    depth: int | Sequence[int] | None,
    stem_stride: int,
    valence_arousal: bool,
    name: str,
) -> keras.Model:
    if not width > 0 or stem_stride not in (1, 2):
        raise UserError(f"width must be above 0 and stem_stride 1 or 2, got {width!r} and {stem_stride!r}.")
    shape = check_input_shape(input_shape, 3 + stem_stride)
    if shape[2] not in (1, 3):
        raise UserError(f"EfficientNet takes images of 1 or 3 channels, got input_shape {shape}.")
    if depth is None:
        depth = [math.ceil(blocks * VARIANTS[variant][1]) for _, blocks, *_ in STAGES]
    rate, penalty = check_rate("dropout", dropout), regularizer(kernel_regularizer)
    images = keras.Input(shape, name="images")
    x = layers.Concatenate(name="repeat")([images] * 3) if shape[2] == 1 else images
    x = layers.Rescaling(
        [1 / (255 * d) for d in DEVIATION], offset=[-m / d for m, d in zip(MEAN, DEVIATION, strict=True)], name="scale"
    )(x)
    x = _backbone(x, width * VARIANTS[variant][0], per_block(depth, len(STAGES)), stem_stride, rate, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(rate, name="dropout")(x)
    x = layers.Dense(
        num_classes + 2 * valence_arousal, kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_out"),
        kernel_regularizer=penalty, dtype="float32", name="logits",
    )(x)  # fmt: skip
    network = keras.Model(images, split_outputs(x, num_classes), name=name)
    if weights == "imagenet":
        _take_imagenet(network, variant)
        return network
    return with_weights(network, weights)


def _backbone(
    x: keras.KerasTensor, width: float, depth: Sequence[int], stem_stride: int, rate: float, penalty: Any
) -> keras.KerasTensor:
    """Turn standardized pixels into the last feature map, the output of the layer ``features``."""
    x = _convolution(x, _in_eights(STEM * width), 3, stem_stride, penalty, "stem")
    x = layers.Activation("silu", name="stem_activation")(x)
    done = 0
    for stage, ((kernel, _, maps, expansion, stride), blocks) in enumerate(zip(STAGES, depth, strict=True), start=1):
        for i in range(blocks):
            x = _block(
                x, kernel, _in_eights(maps * width), expansion, stride if i == 0 else 1,
                rate * done / sum(depth), penalty, f"block{stage}{chr(ord('a') + i)}_",
            )  # fmt: skip
            done += 1
    x = _convolution(x, _in_eights(TOP * width), 1, 1, penalty, "top")
    return layers.Activation("silu", name="features")(x)


def _block(
    x: keras.KerasTensor, kernel: int, maps: int, expansion: int, stride: int, skip_rate: float, penalty: Any, name: str
) -> keras.KerasTensor:
    """Expand, convolve each map on its own, weigh the maps, project; add the input where the shape is kept."""
    inside = x.shape[-1] * expansion
    y = x
    if expansion > 1:
        y = _convolution(y, inside, 1, 1, penalty, f"{name}expand")
        y = layers.Activation("silu", name=f"{name}expand_activation")(y)
    y = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, depthwise_initializer=_initial(),
        depthwise_regularizer=penalty, name=f"{name}dwconv",
    )(y)  # fmt: skip
    y = layers.Activation("silu", name=f"{name}activation")(layers.BatchNormalization(name=f"{name}bn")(y))
    y = _squeeze_and_excite(y, max(1, x.shape[-1] // 4), penalty, name)
    y = _convolution(y, maps, 1, 1, penalty, f"{name}project")
    if stride > 1 or x.shape[-1] != maps:
        return y
    if skip_rate:
        y = layers.Dropout(skip_rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(y)
    return layers.Add(name=f"{name}add")([x, y])


def _squeeze_and_excite(x: keras.KerasTensor, squeezed: int, penalty: Any, name: str) -> keras.KerasTensor:
    """Multiply each map by a gate computed from the means of all maps."""
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}se_squeeze")(x)
    for units, activation, step in ((squeezed, "silu", "reduce"), (x.shape[-1], "sigmoid", "expand")):
        y = layers.Conv2D(
            units, 1, activation=activation, kernel_initializer=_initial(), kernel_regularizer=penalty,
            name=f"{name}se_{step}",
        )(y)  # fmt: skip
    return layers.Multiply(name=f"{name}se_excite")([x, y])


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Convolve without bias and normalize."""
    x = layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_initializer=_initial(),
        kernel_regularizer=penalty, name=f"{name}_conv",
    )(x)  # fmt: skip
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def _initial() -> keras.initializers.Initializer:
    """Return a new initializer: Keras draws the same numbers again from a shared one."""
    return keras.initializers.VarianceScaling(2.0, "fan_out")


def _in_eights(maps: float) -> int:
    """Round to a multiple of 8, at least 8, and never down by more than a tenth."""
    rounded = max(8, int(maps + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * maps else rounded


def _take_imagenet(network: keras.Model, variant: str) -> None:
    """Copy the backbone's weights of ``keras.applications``, which Keras downloads."""
    application = getattr(keras.applications, f"EfficientNet{variant.upper()}")
    try:
        source = application(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise UserError(
            f"Cannot download ImageNet's weights of {application.__name__}: {' '.join(str(error).split())} "
            "Give weights='PATH' of a file, or leave weights out."
        ) from error
    take_layers(network, {layer.name: layer.get_weights() for layer in source.layers})
