"""VGG with batch-norm: the network of the optimisation study on FER2013, and VGG16 and VGG19 by their arguments."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from fer_tf.models.arguments import check_image_shape, check_rate, per_block, regularizer, scaled

# torch's defaults, under which the published figures were made: momentum 0.1 there is 0.9 here.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


def torch_default() -> keras.initializers.Initializer:
    """Return a new initialiser U(±1/√fan_in). A new one a layer: Keras repeats the draw of a shared one."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def feature_extractor(
    x: keras.KerasTensor,
    filters: Sequence[int],
    depth: Sequence[int],
    batch_norm: bool,
    kernel_initializer: Callable[[], keras.initializers.Initializer],
    kernel_regularizer: Any,
    drop: Callable[..., keras.Layer] | None,
) -> keras.KerasTensor:
    """Stack blocks of [3×3 convolution, batch-norm, ReLU] × depth, 2×2 max-pooling, dropout.

    The last ReLU, the one before the last pooling, is named ``features``. ``kernel_initializer`` and ``drop`` are
    functions that make a new initialiser and a new dropout layer; ``drop`` may be ``None``.
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


def classifier(
    x: keras.KerasTensor,
    num_classes: int,
    head: str | Sequence[int | str],
    width: float,
    dropout: float,
    kernel_initializer: Callable[[], keras.initializers.Initializer],
    kernel_regularizer: Any,
) -> keras.KerasTensor:
    """Turn feature maps into logits: flatten or pool, [dense, ReLU, dropout] a hidden layer, dense.

    Args:
        x: feature maps (N, h, w, c).
        num_classes: C.
        head: hidden units after flattening, such as (4096, 4096); ``"gap"`` or ``()`` averages each map and goes
            straight to the logits; ``("gap", 512)`` has hidden units after averaging.
        width: multiplies the hidden units.
        dropout: rate after each hidden layer, or before the logits where there is none.
        kernel_initializer: makes a new initialiser for a hidden layer.
        kernel_regularizer: penalty on each kernel.
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
    return layers.Dense(
        num_classes, kernel_initializer=torch_default(), kernel_regularizer=kernel_regularizer,
        dtype="float32", name="logits",
    )(x)  # fmt: skip


def vgg(
    num_classes: int,
    image_shape: tuple[int, int, int] = (40, 40, 1),
    dropout: float = 0.2,
    kernel_regularizer: Any = None,
    name: str = "vgg",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    head: str | Sequence[int | str] = (4096, 4096),
    batch_norm: bool = True,
    spatial_dropout: float = 0.0,
) -> keras.Model:
    """Build a VGG; the defaults are the network of the study.

    Kernels start as torch's default draws them, which batch-norm evens out; without batch-norm they start He-normal,
    for torch's default would shrink the signal by √6 a layer.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels); H and W at least 2 to the number of blocks.
        dropout: rate in the head, in [0, 1). The study sets 0.1 and trains with 0.2.
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width: multiplies ``filters`` and ``head``.
        filters: channels of each block; a 2×2 max-pooling ends a block.
        depth: convolutions in each block, one number or one a block.
        head: hidden units, or ``"gap"``; see ``classifier``.
        batch_norm: batch-norm after each convolution.
        spatial_dropout: rate of whole maps dropped after each block, in [0, 1).

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C).

    Raises:
        UserError: a value out of range.

    References:
        arXiv 2105.03588 (the study), arXiv 1409.1556 (VGG).
    """
    penalty = regularizer(kernel_regularizer)
    initial = torch_default if batch_norm else keras.initializers.HeNormal
    rate = check_rate("spatial_dropout", spatial_dropout)
    images = keras.Input(check_image_shape(image_shape, len(filters)), name="images")
    x = layers.Rescaling(1 / 255, name="scale")(images)
    x = feature_extractor(
        x, scaled(filters, width), per_block(depth, len(filters)), batch_norm, initial, penalty,
        drop=partial(layers.SpatialDropout2D, rate) if rate else None,
    )  # fmt: skip
    logits = classifier(x, num_classes, head, width, check_rate("dropout", dropout), initial, penalty)
    return keras.Model(images, logits, name=name)
