"""Region Attention Network: one ResNet-18 sees several crops of a face and weighs them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from fer_tf.errors import UserError, unknown_name
from fer_tf.layers.attention import GatherRegions, RegionCrops, SplitLastRegion, WeightedMean
from fer_tf.models.arguments import check_image_shape, check_rate, regularizer, scaled
from fer_tf.models.resnet import halvings, logits_layer, trunk

WHOLE = (0.0, 0.0, 1.0, 1.0)
TOP_LEFT, TOP_RIGHT, BOTTOM = (0.0, 0.0, 0.75, 0.75), (0.25, 0.0, 1.0, 0.75), (0.125, 0.25, 0.875, 1.0)
CENTRES = ((0.05, 0.05, 0.95, 0.95), (0.1, 0.1, 0.9, 0.9), (0.125, 0.125, 0.875, 0.875))
# Left, top, right, bottom as fractions; the whole face last. FER+'s figure gives no size for its two central crops:
# they are the first two of AffectNet's.
REGIONS = {
    "ferplus": (TOP_LEFT, TOP_RIGHT, BOTTOM, *CENTRES[:2], WHOLE),
    "affectnet": (BOTTOM, TOP_LEFT, TOP_RIGHT, *CENTRES, (0.125, 0.0, 0.875, 0.75), WHOLE),
}
ATTENTIONS = ("sigmoid", "softmax")


def ran(
    num_classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    dropout: float = 0.0,
    kernel_regularizer: Any = None,
    name: str = "ran",
    width: float = 1.0,
    filters: Sequence[int] = (64, 128, 256, 512),
    depth: int | Sequence[int] = 2,
    stem: str = "imagenet",
    regions: str = "ferplus",
    region_size: int | None = None,
    attention: str = "sigmoid",
) -> keras.Model:
    """Build region crops, the shared trunk on each, self-attention, relation-attention, logits.

    With F the regions' features: μ = σ(w·F + b), F_m = Σ μF / Σ μ, ν = σ(w'·[F; F_m] + b'), and the logits are dense
    of Σ μν[F; F_m] / Σ μν. The objective ``ran`` reads μ, the layer ``region_weights`` (N, K, 1). ``features`` is the
    map of the whole face, the last region.

    Args:
        num_classes: C, how many logits.
        image_shape: (H, W, channels).
        dropout: rate before the logits, in [0, 1).
        kernel_regularizer: penalty on every kernel; see ``fer_tf.models.build``.
        name: the model's name.
        width, filters, depth, stem: the trunk, see ``fer_tf.models.resnet.resnet``.
        regions: ``ferplus`` (K = 6) or ``affectnet`` (K = 8).
        region_size: side in pixels to which regions are brought; ``None`` means the image's size.
        attention: ``sigmoid`` as in the paper, or ``softmax``: μ and ν go through a softmax over the regions too, as
            in the public code.

    Returns:
        A model from float32 pixels (N, H, W, channels) in 0 to 255 to float32 logits (N, C).

    Raises:
        UserError: a value out of range.

    References:
        arXiv 1905.04075.
    """
    if regions not in REGIONS:
        raise unknown_name("regions", regions, REGIONS)
    if attention not in ATTENTIONS:
        raise UserError(f"Unknown attention {attention!r}. Available: {', '.join(ATTENTIONS)}.")
    penalty, boxes = regularizer(kernel_regularizer), REGIONS[regions]
    shape = check_image_shape(image_shape, 0)
    size = shape[:2] if region_size is None else (region_size, region_size)
    check_image_shape((*size, shape[2]), halvings(stem, filters))
    images = keras.Input(shape, name="images")
    x = RegionCrops(boxes, size, name="regions")(images)
    x = trunk(x, scaled(filters, width), depth, stem, penalty, out="region_features")
    x = _vectors(x, len(boxes))
    mu = _weights(x, attention, penalty, "region")
    mean = layers.RepeatVector(len(boxes), name="repeat")(WeightedMean(name="mean")([x, mu]))
    x = layers.Concatenate(name="relation")([x, mean])
    nu = _weights(x, attention, penalty, "relation")
    x = WeightedMean(name="attended")([x, layers.Multiply(name="weights")([mu, nu])])
    x = layers.Dropout(check_rate("dropout", dropout), name="dropout")(x)
    return keras.Model(images, logits_layer(num_classes, penalty)(x), name=name)


def _vectors(maps: keras.KerasTensor, count: int) -> keras.KerasTensor:
    """Pool maps (N·K, h, w, D) to (N, K, D); those of the whole face pass through a layer ``features`` of their own."""
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
