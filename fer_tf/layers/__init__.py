"""Provide Keras layers that Keras lacks, on every backend.

To add a layer, write its class in a module of this package and add one line below. Layers are found by their public
names here, and ``register`` makes them known to ``keras.saving.load_model``.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from fer_tf.errors import UserError
from fer_tf.registry import Registry, attach

if TYPE_CHECKING:
    import keras

LAYERS = Registry("layer")
LAYERS.add("add_mean_shape", "fer_tf.layers.attention:AddMeanShape")
LAYERS.add("antialiased_conv2d", "fer_tf.layers.convolution:AntialiasedConv2D")
LAYERS.add("ferplus_normalization", "fer_tf.layers.convolution:FerPlusNormalization")
LAYERS.add("gather_regions", "fer_tf.layers.attention:GatherRegions")
LAYERS.add("ghost_module", "fer_tf.layers.convolution:GhostModule")
LAYERS.add("region_crops", "fer_tf.layers.attention:RegionCrops")
LAYERS.add("split_last_region", "fer_tf.layers.attention:SplitLastRegion")
LAYERS.add("sum_over", "fer_tf.layers.attention:SumOver")
LAYERS.add("triplet_attention", "fer_tf.layers.attention:TripletAttention")
LAYERS.add("weighted_mean", "fer_tf.layers.attention:WeightedMean")


def get(identifier: "str | keras.layers.Layer", **common: Any) -> "keras.layers.Layer":
    """Return a layer for its call string.

    Args:
        identifier: a name of ``LAYERS`` with keywords of its class, such as ``"ghost_module(filters=16)"``; or a layer,
            which is returned as it is.
        **common: more keywords for the class, such as ``name`` and ``dtype``.

    Returns:
        A Keras layer.

    Raises:
        UserError: an unknown name or keyword, a value out of range, or keywords beside a layer that is built already.

    Example:
        >>> import fer_tf
        >>> fer_tf.layers.get("ghost_module(filters=16)", name="ghost").filters
        16
    """
    if isinstance(identifier, str):
        return LAYERS.make(identifier, **common)
    if not callable(identifier) or common:
        raise UserError(
            f"Expected a call string such as 'sum_over(axis=1)', or a layer without more keywords, got {identifier!r}."
        )
    return identifier


def register() -> None:
    """Import every layer, so that Keras can read files that hold them.

    Example:
        >>> import fer_tf, keras
        >>> fer_tf.layers.register()
        >>> keras.saving.get_registered_object("fer_tf>GhostModule").__name__
        'GhostModule'
    """
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)


__getattr__, __dir__, __all__ = attach(
    __name__, *LAYERS.targets, "fer_tf.layers.attention:mean_shape", own=("LAYERS", "get", "register")
)
