"""DAN, RAN and SCN: networks that weigh faces, heads or regions by attention."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError, unknown_name
from fer_tf.layers import AddMeanShape, GatherRegions, RegionCrops, SplitLastRegion, SumOver, WeightedMean
from fer_tf.models.building import (
    BATCH_NORM,
    Weights,
    architecture,
    check_input_shape,
    check_rate,
    logits_layer,
    regularizer,
    scaled,
    with_weights,
)
from fer_tf.models.resnet import backbone, halvings


@architecture(small={"width": 0.5, "depth": 1, "stem": "strided"})
def DAN(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    heads: int = 4,
    name: str = "dan",
) -> keras.Model:
    """Build the Distract your Attention Network.

    Backbone, cross-attention heads, log-softmax across the heads, their sum, dense, batch-norm of the logits. The
    objective ``dan`` reads two layers: ``features``, the map of the backbone, and ``heads``, the log-softmax of the
    heads (N, D, K).

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the dense layer, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        heads: number of attention heads K, at least 2.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.DAN(num_classes=7, input_shape=(48, 48, 1), width=0.1, stem="strided")
        >>> network.get_layer("heads").output.shape
        (None, 51, 4)

    References:
        arXiv 2109.07270
    """
    if not isinstance(heads, int) or heads < 2:
        raise UserError(f"heads must be a whole number of at least 2, got {heads!r}.")
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    attended = [layers.Reshape((-1, 1), name=f"head{k}")(_head(x, penalty, f"head{k}")) for k in range(1, heads + 1)]
    x = layers.Concatenate(axis=-1, name="stack")(attended)
    # Across the heads, not the features: the heads share each feature.
    x = layers.Activation("log_softmax", name="heads")(x)
    x = SumOver(axis=-1, name="fused")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    x = logits_layer(num_classes, penalty)(x)
    logits = layers.BatchNormalization(**BATCH_NORM, dtype="float32", name="logits_norm")(x)
    return with_weights(keras.Model(images, logits, name=name), weights)


def _head(x: keras.KerasTensor, penalty: Any, name: str) -> keras.KerasTensor:
    """Attend in space, then over channels; returns (N, D)."""
    channels = x.shape[-1]
    y = _convolution(x, max(1, channels // 2), 1, penalty, f"{name}_reduce")
    shapes = {"square": 3, "row": (1, 3), "column": (3, 1)}
    parts = [_convolution(y, channels, kernel, penalty, f"{name}_{which}") for which, kernel in shapes.items()]
    y = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")(parts))
    # A sum over channels, not a mean and without sigmoid.
    y = layers.Multiply(name=f"{name}_attended")([x, SumOver(axis=-1, keepdims=True, name=f"{name}_map")(y)])
    y = layers.GlobalAveragePooling2D(name=f"{name}_pool")(y)
    q = _dense(max(1, channels // 16), penalty, f"{name}_squeeze")(y)
    q = layers.ReLU(name=f"{name}_squeeze_relu")(layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(q))
    q = layers.Activation("sigmoid", name=f"{name}_gate")(_dense(channels, penalty, f"{name}_excite")(q))
    return layers.Multiply(name=f"{name}_gated")([y, q])


def _convolution(
    x: keras.KerasTensor, channels: int, kernel: int | tuple[int, int], penalty: Any, name: str
) -> keras.KerasTensor:
    x = layers.Conv2D(
        channels, kernel, padding="same", kernel_regularizer=penalty, name=f"{name}_conv",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    )(x)  # fmt: skip
    return layers.BatchNormalization(**BATCH_NORM, name=f"{name}_norm")(x)


def _dense(units: int, penalty: Any, name: str) -> keras.layers.Dense:
    start = keras.initializers.RandomNormal(stddev=0.001)
    return layers.Dense(units, kernel_initializer=start, kernel_regularizer=penalty, name=name)


WHOLE = (0.0, 0.0, 1.0, 1.0)
TOP_LEFT, TOP_RIGHT, BOTTOM = (0.0, 0.0, 0.75, 0.75), (0.25, 0.0, 1.0, 0.75), (0.125, 0.25, 0.875, 1.0)
CENTERS = ((0.05, 0.05, 0.95, 0.95), (0.1, 0.1, 0.9, 0.9), (0.125, 0.125, 0.875, 0.875))
# Left, top, right, bottom as fractions; the whole face last. The paper gives no size for the two central crops of
# FER+: here they are the first two of AffectNet's.
REGIONS = {
    "ferplus": (TOP_LEFT, TOP_RIGHT, BOTTOM, *CENTERS[:2], WHOLE),
    "affectnet": (BOTTOM, TOP_LEFT, TOP_RIGHT, *CENTERS, (0.125, 0.0, 0.875, 0.75), WHOLE),
}
ATTENTIONS = ("sigmoid", "softmax")


@architecture(small={"width": 0.5, "depth": 1, "stem": "strided", "region_size": 32})
def RAN(
    num_classes: int = 8,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    regions: str = "ferplus",
    region_size: int | None = None,
    attention: str = "sigmoid",
    name: str = "ran",
) -> keras.Model:
    """Build the Region Attention Network: crops, shared backbone, two attentions.

    With F the features of a region: μ = σ(w·F + b), F_m = Σ μF / Σ μ, ν = σ(w'·[F; F_m] + b'), and the logits are a
    dense layer on Σ μν[F; F_m] / Σ μν. The objective ``ran`` reads μ, the layer ``region_weights`` (N, K, 1). The layer
    ``features`` is the map of the whole face, the last region.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        regions: ``"ferplus"`` (K = 6 regions) or ``"affectnet"`` (K = 8).
        region_size: side in pixels to which regions are resized; ``None`` means the size of the image.
        attention: ``"sigmoid"`` as in the paper; with ``"softmax"`` μ and ν also pass a softmax over the regions, as in
            the public code.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.RAN(num_classes=8, input_shape=(48, 48, 1), width=0.1, stem="strided")
        >>> network.get_layer("region_weights").output.shape
        (None, 6, 1)

    References:
        arXiv 1905.04075
    """
    if regions not in REGIONS:
        raise unknown_name("regions", regions, REGIONS)
    if attention not in ATTENTIONS:
        raise UserError(f"Unknown attention {attention!r}. Available: {', '.join(ATTENTIONS)}.")
    penalty, boxes = regularizer(kernel_regularizer), REGIONS[regions]
    shape = check_input_shape(input_shape, 0)
    size = shape[:2] if region_size is None else (region_size, region_size)
    check_input_shape((*size, shape[2]), halvings(stem, filters))
    images = keras.Input(shape, name="images")
    x = RegionCrops(boxes, size, name="regions")(images)
    x = backbone(x, scaled(filters, width), depth, stem, penalty, out="region_features")
    x = _vectors(x, len(boxes))
    mu = _weights(x, attention, penalty, "region")
    mean = layers.RepeatVector(len(boxes), name="repeat")(WeightedMean(name="mean")([x, mu]))
    x = layers.Concatenate(name="relation")([x, mean])
    nu = _weights(x, attention, penalty, "relation")
    x = WeightedMean(name="attended")([x, layers.Multiply(name="weights")([mu, nu])])
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    return with_weights(keras.Model(images, logits_layer(num_classes, penalty)(x), name=name), weights)


def _vectors(maps: keras.KerasTensor, count: int) -> keras.KerasTensor:
    """Average maps (N·K, h, w, D) to (N, K, D); those of the whole face are the output of the layer ``features``."""
    others, whole = SplitLastRegion(count, name="split")(maps)
    whole = layers.Activation("linear", name="features")(whole)
    whole = layers.GlobalAveragePooling2D(name="pool_whole")(whole)
    others = GatherRegions(count - 1, name="others")(layers.GlobalAveragePooling2D(name="pool")(others))
    return layers.Concatenate(axis=1, name="vectors")([others, layers.Reshape((1, -1), name="whole")(whole)])


def _weights(x: keras.KerasTensor, attention: str, penalty: Any, name: str) -> keras.KerasTensor:
    """Return attention weights (N, K, 1) of vectors (N, K, D)."""
    score = logits_layer(1, penalty, f"{name}_score")(x)
    if attention == "sigmoid":
        return layers.Activation("sigmoid", dtype="float32", name=f"{name}_weights")(score)
    score = layers.Activation("sigmoid", dtype="float32", name=f"{name}_sigmoid")(score)
    return layers.Softmax(axis=1, dtype="float32", name=f"{name}_weights")(score)


@architecture(small={"depth": 1, "stem": "strided"})
def SCN(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    weights: Weights = None,
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    name: str = "scn",
) -> keras.Model:
    """Build the Self-Cure Network: ResNet-18 with logits α·(W·h + b).

    α = sigmoid(w·h + b'), the layer ``alpha`` with output (N, 1), is the weight of a face. It cannot change the argmax;
    after training it tells how certain the network is. Train it with the objective ``scn``.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before both dense layers, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to logits (N, C), float32.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.SCN(num_classes=7, input_shape=(48, 48, 1), width=0.1, stem="strided")
        >>> network.get_layer("alpha").output.shape
        (None, 1)

    References:
        arXiv 2002.10392
    """
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    return with_weights(keras.Model(images, _weighted_logits(x, num_classes, penalty), name=name), weights)


@architecture(small={"depth": 1, "stem": "strided"})
def LandmarkSCN(
    num_classes: int = 7,
    input_shape: tuple[int, int, int] = (48, 48, 3),
    weights: Weights = None,
    dropout: float = 0.5,
    kernel_regularizer: Any = None,
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "cifar",
    points: int = 68,
    name: str = "landmark_scn",
) -> keras.Model:
    """Build the Self-Cure Network with a third head, which predicts facial landmarks.

    The published network averages 4×4 positions of its 6×6 map; this one averages all. Train it with the objective
    ``landmarks``, which also sets the mean shape from which the network predicts offsets.

    Args:
        num_classes: number of classes C.
        input_shape: (height, width, channels) of the faces in pixels.
        weights: ``None`` for random ones, the name of a shipped network, or the path of a ``.keras`` file. Then
            ``num_classes`` and ``input_shape`` default to those of the file.
        dropout: dropout rate before the heads, in [0, 1).
        kernel_regularizer: penalty on every kernel, such as ``"l2(l2=0.0001)"``.
        width, filters, depth, stem: backbone, see ``ResNet18``.
        points: number of landmarks K.
        name: name of the model.

    Returns:
        A model from pixels (N, H, W, channels) in 0 to 255 to a dict of float32: ``logits`` (N, C), and ``landmarks``
        (N, K, 2) as x, y in pixels of the input.

    Raises:
        UserError: a value out of range, or weights of another network.

    Example:
        >>> import fer_tf
        >>> network = fer_tf.models.LandmarkSCN(num_classes=7, width=0.1)
        >>> network.output["landmarks"].shape
        (None, 68, 2)

    References:
        github.com/RainbowRui/Landmark-Driven-Facial-Expression-Recognition; arXiv 2002.10392
    """
    penalty = regularizer(kernel_regularizer)
    images = keras.Input(check_input_shape(input_shape, halvings(stem, filters)), name="images")
    x = backbone(images, scaled(filters, width), depth, stem, penalty)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    offsets = logits_layer(2 * points, penalty, "landmark_offsets")(x)
    landmarks = AddMeanShape(points, dtype="float32", name="landmarks")(offsets)
    outputs = {"logits": _weighted_logits(x, num_classes, penalty), "landmarks": landmarks}
    return with_weights(keras.Model(images, outputs, name=name), weights)


def _weighted_logits(features: keras.KerasTensor, num_classes: int, penalty: Any) -> keras.KerasTensor:
    """Return logits (N, C), multiplied by the weight of the face, the output of the layer ``alpha``."""
    alpha = logits_layer(1, penalty, "alpha_score")(features)
    alpha = layers.Activation("sigmoid", dtype="float32", name="alpha")(alpha)
    logits = logits_layer(num_classes, penalty)(features)
    return layers.Multiply(dtype="float32", name="weighted_logits")([logits, alpha])
