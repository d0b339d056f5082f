"""Region Attention Network (RAN): ResNet-18 on weighted crops of a face."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError, unknown_name
from fer_tf.layers import GatherRegions, RegionCrops, SplitLastRegion, WeightedMean
from fer_tf.models.building import (
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
