"""The Self-Cure network with a third head: where the landmarks of the face are."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.layers.mean_shape import AddMeanShape
from fer_tf.models.arguments import check_image_shape, check_rate, regularizer, scaled
from fer_tf.models.resnet import halvings, logits_layer, trunk
from fer_tf.models.scn import weighted_logits


def landmark_scn(
    num_classes: int,
    image_shape: tuple[int, int, int] = (48, 48, 3),
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    name: str = "landmark_scn",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "cifar",
    points: int = 68,
) -> keras.Model:
    """Build the trunk, global average pooling, dropout, and three heads: weight, weighted logits, landmarks.

    The published network pools 4×4 of its 6×6 map; this one all of it. The objective ``landmarks`` trains it and gives
    it the mean shape, from which the network predicts offsets.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels).
        dropout: rate before the heads, in [0, 1).
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width, filters, depth, stem: the trunk, see ``fer_tf.models.resnet.resnet``.
        points: K, how many landmarks.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to a dict: float32 ``logits`` (N, C), and
        ``landmarks`` (N, K, 2), x and y in pixels of the input.

    Raises:
        UserError: a value out of range.

    References:
        github.com/RainbowRui/Landmark-Driven-Facial-Expression-Recognition; arXiv 2002.10392.
    """
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_image_shape(image_shape, halvings(stem, filters)), name="images")
    x = trunk(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    offsets = logits_layer(2 * points, penalty, "landmark_offsets")(x)
    landmarks = AddMeanShape(points, dtype="float32", name="landmarks")(offsets)
    return keras.Model(images, {"logits": weighted_logits(x, num_classes, penalty), "landmarks": landmarks}, name=name)
