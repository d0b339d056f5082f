"""Fusion of two networks: a dense layer on the probabilities of both."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_tf import models, registry
from fer_tf.errors import UserError
from fer_tf.models.building import Weights, architecture, check_input_shape, regularizer, with_weights
from fer_tf.models.saving import load_model

PREFIXES = ("first", "second")


@architecture(gradcam_layer="first_features")
def Fusion(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (44, 44, 3),
    weights: Weights = None,
    dropout: float | None = None,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    members: Sequence[str] = ("vgg19", "resnet18"),
    frozen: bool = False,
    name: str = "fusion",
) -> keras.Model:
    """Build two networks and a dense layer that weighs their probabilities.

    Softmax of each, concatenated, Dense from 2C to C. The dense layer starts as the mean of both probabilities, times
    four and centered, so that fusion starts where averaging ends.

    Args:
        num_classes: number of classes C; also of members that are files.
        input_shape: (height, width, channels) of the faces in pixels; also of members that are files.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate of members that are call strings; ``None`` means their own defaults.
        kernel_regularizer: penalty on every kernel of members that are call strings, and on the dense layer's.
        width: multiplies the channels of members that are call strings.
        members: two ``.keras`` files, or call strings of models that are trained with the rest.
        frozen: do not change the members, batch-norm statistics included; only the dense layer learns.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32. The names of the members' layers
        get the prefix ``first_`` or ``second_``.

    Raises:
        UserError: not two members, a file with other shapes, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.Fusion(num_classes=7, members=("vgg16", "resnet10"), width=0.05)
        >>> network.output_shape
        (None, 7)

    References:
        WuJie1010/Facial-Expression-Recognition.Pytorch for the members
    """
    if len(members) != len(PREFIXES):
        raise UserError(f"fusion joins two networks, got members={tuple(members)!r}.")
    images = keras.Input(check_input_shape(input_shape, 0), name="images")
    probabilities = []
    for prefix, text in zip(PREFIXES, members, strict=True):
        member = _member(text, width, num_classes, input_shape, dropout, kernel_regularizer)
        logits = _inlined(member, images, prefix, frozen)
        probabilities.append(layers.Softmax(name=f"{prefix}_probabilities")(logits))
    x = layers.Concatenate(name="probabilities")(probabilities)
    penalty = regularizer(kernel_regularizer)
    weigh = layers.Dense(num_classes, kernel_regularizer=penalty, dtype="float32", name="logits")
    fused = keras.Model(images, weigh(x), name=name)
    weigh.set_weights([np.tile(2 * np.eye(num_classes), (len(PREFIXES), 1)), np.full(num_classes, -4 / num_classes)])
    return with_weights(fused, weights)


def _member(
    text: str, width: float, num_classes: int, input_shape: Sequence[int], dropout: float | None, penalty: Any
) -> keras.Model:
    shape = tuple(input_shape)
    if not text.endswith(".keras"):
        row, keywords = registry.parse(text)
        text = registry.render(row, {**keywords, "width": width * keywords.get("width", 1.0)})
        return models.get(text, num_classes, shape, dropout=dropout, kernel_regularizer=penalty)
    member = load_model(text)
    if member.input_shape[1:] != shape or member.output_shape != (None, num_classes):
        raise UserError(
            f"{text} takes {member.input_shape[1:]} and gives {member.output_shape[1:]}. "
            f"Expected {shape} and ({num_classes},)."
        )
    return member


def _inlined(member: keras.Model, images: keras.KerasTensor, prefix: str, frozen: bool) -> keras.KerasTensor:
    """Copy the member's layers and weights onto ``images``, with a prefix to their names."""

    def renamed(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "name": f"{prefix}_{layer.name}"})

    copy = keras.models.clone_model(member, input_tensors=images, clone_function=renamed)
    copy.set_weights(member.get_weights())
    for layer in copy.layers:
        layer.trainable = layer.trainable and not frozen
    return copy.outputs[0]
