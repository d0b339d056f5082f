"""The VGG13 of FER+, without batch-norm."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from fer_tf.errors import unknown_name
from fer_tf.layers.ferplus import FerPlusNormalisation
from fer_tf.models.arguments import check_image_shape, check_rate, per_block, regularizer, scaled
from fer_tf.models.vgg import classifier, feature_extractor

NORMALIZATIONS = {
    "ferplus": lambda: FerPlusNormalisation(dtype="float32", name="normalise"),
    "rescale": lambda: layers.Rescaling(1 / 255, name="scale"),
}


def vgg13(
    num_classes: int,
    image_shape: tuple[int, int, int] = (64, 64, 1),
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    name: str = "vgg13",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 256),
    depth: int | Sequence[int] = (2, 2, 3, 3),
    head: str | Sequence[int | str] = (1024, 1024),
    normalization: str = "ferplus",
    batch_norm: bool = False,
) -> keras.Model:
    """Build the VGG13 of FER+: ten convolutions and three dense layers, Glorot-uniform kernels.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels); H and W at least 2 to the number of blocks.
        dropout: rate after the hidden dense layers, in [0, 1); the blocks drop half as much (0.5 and 0.25 in FER+).
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width: multiplies ``filters`` and ``head``.
        filters: channels of each block; a 2×2 max-pooling ends a block.
        depth: convolutions in each block, one number or one a block.
        head: hidden units, or ``"gap"``; see ``fer_tf.models.vgg.classifier``.
        normalization: ``"ferplus"`` (equalise, remove the light's plane, unit RMS) or ``"rescale"`` (to 0…1).
        batch_norm: batch-norm after each convolution. FER+'s network has none, and needs many epochs to begin to learn.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C).

    Raises:
        UserError: a value out of range.

    References:
        arXiv 1608.01041.
    """
    if normalization not in NORMALIZATIONS:
        raise unknown_name("normalization", normalization, NORMALIZATIONS)
    penalty = regularizer(kernel_regularizer)
    initial = keras.initializers.GlorotUniform
    rate = check_rate("dropout", dropout)
    images = keras.Input(check_image_shape(image_shape, len(filters)), name="images")
    x = NORMALIZATIONS[normalization]()(images)
    x = feature_extractor(
        x, scaled(filters, width), per_block(depth, len(filters)), batch_norm, initial, penalty,
        drop=partial(layers.Dropout, rate / 2),
    )  # fmt: skip
    return keras.Model(images, classifier(x, num_classes, head, width, rate, initial, penalty), name=name)
