"""Fusion of two networks: their probabilities side by side, and a dense layer that weighs them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_tf import callstring, models
from fer_tf.errors import UserError
from fer_tf.models.arguments import check_image_shape, regularizer

PREFIXES = ("first", "second")


def fusion(
    num_classes: int,
    image_shape: tuple[int, int, int] = (44, 44, 3),
    dropout: float | None = None,
    kernel_regularizer: Any = None,
    name: str = "fusion",
    width: float = 1.0,
    members: Sequence[str] = ("vgg19", "resnet18"),
    frozen: bool = False,
) -> keras.Model:
    """Join two networks: softmax of each, concatenated, Dense from 2C to C.

    The dense layer starts as the mean of the members' probabilities, four times as large and centred, so that fusion
    begins where averaging ends.

    Args:
        num_classes: C, how many logits; the members' own, where they are files.
        image_shape: (H, W, channels), also of members that are files.
        dropout: of members that are call strings; ``None`` means each one's own.
        kernel_regularizer: penalty on every kernel of members that are call strings, and on the dense layer's.
        name: the model's name.
        width: multiplies the channels of members that are call strings.
        members: two ``.keras`` files, or call strings of ``MODELS`` for members that are trained with the rest.
        frozen: keep the members as they are, batch-norm statistics included; only the dense layer learns.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C). The members' layers are
        its own, by names that begin with ``first_`` and ``second_``.

    Raises:
        UserError: not two members, or a file with other shapes.
    """
    if len(members) != len(PREFIXES):
        raise UserError(f"fusion joins two networks, got members={tuple(members)!r}.")
    images = keras.Input(check_image_shape(image_shape, 0), name="images")
    probabilities = []
    for prefix, text in zip(PREFIXES, members, strict=True):
        member = _member(text, width, num_classes, image_shape, dropout, kernel_regularizer)
        logits = _inlined(member, images, prefix, frozen)
        probabilities.append(layers.Softmax(name=f"{prefix}_probabilities")(logits))
    x = layers.Concatenate(name="probabilities")(probabilities)
    penalty = regularizer(kernel_regularizer)
    weigh = layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")
    fused = keras.Model(images, weigh(x), name=name)
    weigh.set_weights([np.tile(2 * np.eye(num_classes), (len(PREFIXES), 1)), np.full(num_classes, -4 / num_classes)])
    return fused


def _member(
    text: str, width: float, num_classes: int, image_shape: Sequence[int], dropout: float | None, penalty: Any
) -> keras.Model:
    if not text.endswith(".keras"):
        row, keywords = callstring.parse(text)
        text = callstring.render(row, {**keywords, "width": width * keywords.get("width", 1.0)})
        return models.build(text, num_classes, tuple(image_shape), dropout, penalty)
    member = models.load(text)
    if member.input_shape[1:] != tuple(image_shape) or member.output_shape != (None, num_classes):
        raise UserError(
            f"{text} takes {member.input_shape[1:]} and gives {member.output_shape[1:]}. "
            f"Expected {tuple(image_shape)} and ({num_classes},)."
        )
    return member


def _inlined(member: keras.Model, images: keras.KerasTensor, prefix: str, frozen: bool) -> keras.KerasTensor:
    """Repeat the member's layers and weights on ``images``, under names of their own."""

    def renamed(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "name": f"{prefix}_{layer.name}"})

    copy = keras.models.clone_model(member, input_tensors=images, clone_function=renamed)
    copy.set_weights(member.get_weights())
    for layer in copy.layers:
        layer.trainable = layer.trainable and not frozen
    return copy.outputs[0]
