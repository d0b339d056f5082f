"""ResNet of basic blocks: ResNet-18 as the FER repositories use it, and ResNet-10 small enough for two CPU cores."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError
from fer_tf.models.arguments import check_image_shape, check_rate, per_block, regularizer, scaled
from fer_tf.models.vgg import BATCH_NORM, torch_default

# Kernel and stride of the first convolution, whether a 3×3 max-pooling of stride 2 follows, and halvings in all.
STEMS = {"cifar": (3, 1, False, 0), "strided": (5, 2, False, 1), "imagenet": (7, 2, True, 2)}


def resnet(
    num_classes: int,
    image_shape: tuple[int, int, int] = (44, 44, 3),
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    name: str = "resnet18",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "cifar",
    valence_arousal: bool = False,
) -> keras.Model:
    """Build a ResNet of basic blocks: stem, four stages, global average pooling, dropout, logits.

    Strided convolutions pad as Keras' "same"; weights of torch need explicit padding instead.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels).
        dropout: rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width: multiplies ``filters``.
        filters: channels of each stage; each but the first halves height and width.
        depth: basic blocks (two 3×3 convolutions each) a stage, one number or one a stage.
        stem: ``cifar`` (3×3), ``strided`` (5×5, stride 2) or ``imagenet`` (7×7, stride 2, max-pooling).
        valence_arousal: predict them too, from the same dense layer.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C); with
        ``valence_arousal`` to ``{"logits": (N, C), "valence_arousal": (N, 2)}``.

    Raises:
        UserError: a value out of range.

    References:
        arXiv 1512.03385.
    """
    rate, penalty = check_rate("dropout", dropout), regularizer(kernel_regularizer)
    images = keras.Input(check_image_shape(image_shape, halvings(stem, filters)), name="images")
    x = trunk(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(rate, name="dropout")(x)
    x = logits_layer(num_classes + 2 * valence_arousal, penalty)(x)
    return keras.Model(images, parted(x, num_classes), name=name)


def halvings(stem: str, filters: Sequence[int]) -> int:
    """Return how often a trunk halves height and width.

    Raises:
        UserError: an unknown stem.
    """
    if stem not in STEMS:
        raise UserError(f"Unknown stem {stem!r}. Available: {', '.join(STEMS)}.")
    return STEMS[stem][3] + len(filters) - 1


def trunk(
    images: keras.KerasTensor,
    filters: Sequence[int],
    depth: int | Sequence[int],
    stem: str,
    penalty: Any,
    out: str = "features",
) -> keras.KerasTensor:
    """Turn pixels into the feature map of the last stage, the output of the layer called ``out``.

    Args:
        images: pixels (N, H, W, channels) in 0 to 255.
        filters, depth, stem: see ``resnet``.
        penalty: regulariser of every kernel, or ``None``.
        out: name of the last layer.
    """
    kernel, stride, pooled, _ = STEMS[stem]
    depths = per_block(depth, len(filters))
    x = layers.Rescaling(1 / 255, name="scale")(images)
    x = _convolution(x, filters[0], kernel, stride, penalty, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    if pooled:
        x = layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    last = (len(filters), depths[-1])
    for stage, (channels, blocks) in enumerate(zip(filters, depths, strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            name = f"stage{stage}_block{block}"
            x = _basic_block(x, channels, stride, penalty, name, out if (stage, block) == last else name)
    return x


def logits_layer(num_classes: int, penalty: Any, name: str = "logits") -> keras.layers.Dense:
    """Make the dense layer that ends a classifier, in float32 whatever the policy."""
    return layers.Dense(
        num_classes, kernel_initializer=torch_default(), kernel_regularizer=penalty, dtype="float32", name=name
    )


def parted(dense: keras.KerasTensor, num_classes: int) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Return logits as they are; from a dense layer of two more units, logits and valence and arousal by name."""
    if dense.shape[-1] == num_classes:
        return dense
    return {"logits": dense[:, :num_classes], "valence_arousal": dense[:, num_classes:]}


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int, stride: int, penalty: Any, name: str
) -> keras.KerasTensor:
    """Convolve without bias, and normalise."""
    x = layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"), kernel_regularizer=penalty,
    )(x)  # fmt: skip
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(x)


def _basic_block(
    x: keras.KerasTensor, channels: int, stride: int, penalty: Any, name: str, out: str
) -> keras.KerasTensor:
    """Add two 3×3 convolutions to a shortcut, which is a strided 1×1 convolution where the shape changes."""
    y = layers.ReLU(name=f"{name}_relu")(_convolution(x, channels, 3, stride, penalty, f"{name}_a"))
    y = _convolution(y, channels, 3, 1, penalty, f"{name}_b")
    if stride > 1 or x.shape[-1] != channels:
        x = _convolution(x, channels, 1, stride, penalty, f"{name}_shortcut")
    return layers.ReLU(name=out)(layers.Add(name=f"{name}_add")([x, y]))
