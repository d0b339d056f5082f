"""Build networks from trained ones: fusion, averaged crops, low-pass filters."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from fer_tf import models, registry
from fer_tf.errors import UserError
from fer_tf.layers import AntialiasedConv2D
from fer_tf.models import logits_of
from fer_tf.models.building import Weights, architecture, check_input_shape, regularizer, with_weights
from fer_tf.models.saving import load_model, metadata_of

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


FILTER = np.array([1.0, 2.0, 1.0]) / 4


def antialias(network: "keras.Model") -> "keras.Model":
    """Copy a network with low-pass filters in its convolutions of stride 2.

    The copy changes its predictions less when a face shifts. Filters reduce the variance of the maps: estimate the
    statistics of batch-norm again before the copy is used, see ``fer_tf.training.averaging.estimate_batch_norm``.
    Depthwise convolutions, those inside layers of this package, and poolings are not changed.

    Args:
        network: a functional model with convolutions of stride 2 and padding "same".

    Returns:
        A new model with the metadata, the name and the layer names of the network.

    Raises:
        UserError: no convolution that can be filtered.

    Example:
        >>> import fer_tf
        >>> copy = fer_tf.models.antialias(fer_tf.models.ResNet10(width=0.05))
        >>> type(copy.get_layer("stem_conv")).__name__
        'AntialiasedConv2D'
    """
    import keras

    changed = [layer.name for layer in network.layers if _is_strided(layer)]
    if not changed:
        raise UserError(f"Network {network.name!r} has no convolution of stride 2 that could be filtered.")
    copy = keras.models.clone_model(network, clone_function=_counterpart)
    for layer in network.layers:
        weights = layer.get_weights()
        if not weights:
            continue
        if layer.name in changed:
            weights[0] = filter_kernel(weights[0])
        copy.get_layer(layer.name).set_weights(weights)
    copy.metadata = getattr(network, "metadata", None)
    return copy


def filter_kernel(kernel: np.ndarray) -> np.ndarray:
    """Convolve a kernel (h, w, channels, filters) with ``FILTER`` in both directions; h and w grow by 2."""
    for axis in (0, 1):
        wide = [(0, 0)] * kernel.ndim
        wide[axis] = (2, 2)
        padded, length = np.pad(kernel, wide), kernel.shape[axis] + 2
        kernel = sum(share * np.take(padded, range(i, i + length), axis) for i, share in enumerate(FILTER))
    return kernel.astype(np.float32)


def _is_strided(layer: Any) -> bool:
    import keras

    return (
        type(layer) is keras.layers.Conv2D
        and tuple(layer.strides) == (2, 2)
        and layer.padding == "same"
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.data_format == "channels_last"
    )


def _counterpart(layer: Any) -> Any:
    config = layer.get_config()
    if not _is_strided(layer):
        return type(layer).from_config(config)
    config["kernel_size"] = tuple(side + 2 * AntialiasedConv2D.REACH for side in layer.kernel_size)
    return AntialiasedConv2D.from_config({k: v for k, v in config.items() if k not in ("strides", "padding")})


# A crop: its top and left as shares, 0 to 1, of the possible positions, and whether it is mirrored.
Crop = tuple[float, float, bool]


def crop_grid(side: int) -> list[Crop]:
    """Return ``side`` × ``side`` evenly spread crops, every other one mirrored.

    Args:
        side: crops in each direction, from corner to corner.

    Returns:
        A list of (top, left, mirrored), see ``average_crops``.

    Raises:
        UserError: fewer than two crops in each direction.

    Example:
        >>> crop_grid(2)
        [(0.0, 0.0, False), (0.0, 1.0, True), (1.0, 0.0, True), (1.0, 1.0, False)]
    """
    if side < 2:
        raise UserError(f"A grid of {side} crops in each direction has no corners. Expected 2 or more.")
    shares = [i / (side - 1) for i in range(side)]
    return [(y, x, (i + j) % 2 == 1) for i, y in enumerate(shares) for j, x in enumerate(shares)]


def average_crops(network: "keras.Model", crops: Sequence[Crop]) -> "keras.Model":
    """Make a model that averages a network's logits over several crops of the face.

    The weights are shared with the network, not copied.

    Args:
        network: a model with metadata whose face size is larger than its input.
        crops: (top, left, mirrored) of each crop: its position as shares, 0 to 1, of the possible ones, rounded to
            whole pixels (halves to the even one), and whether it is mirrored.

    Returns:
        A model of whole faces (N, S, S, channels) with the metadata of the network, the number of ``views``, and no
        layer for heat maps.

    Raises:
        UserError: no crop, or a network that sees the whole face.

    Example:
        >>> import fer_tf
        >>> average_crops(fer_tf.load_model("ferplus"), crop_grid(2)).metadata.views
        4
    """
    import keras
    from keras import ops

    facts = metadata_of(network)
    height, width, channels = network.input_shape[1:]
    room = facts.face_size - height, facts.face_size - width
    if not crops or min(room) <= 0:
        raise UserError(
            f"Network {network.name!r} sees the whole face: there is no room for several crops. "
            "Expected a face size above the input size."
        )
    faces = keras.Input((facts.face_size, facts.face_size, channels), name="faces")
    windows = []
    for down, right, mirrored in crops:
        top, left = round(down * room[0]), round(right * room[1])
        window = faces[:, top : top + height, left : left + width]
        windows.append(ops.flip(window, axis=2) if mirrored else window)
    # One call for all crops: as many calls make as many copies of the graph.
    logits = logits_of(network(ops.concatenate(windows, axis=0)))
    outputs = ops.mean(ops.reshape(logits, (len(crops), -1, len(facts.label_set))), axis=0)
    model = keras.Model(faces, outputs, name=f"{network.name}_views")
    model.metadata = dataclasses.replace(facts, gradcam_layer=None, views=len(crops))
    return model
