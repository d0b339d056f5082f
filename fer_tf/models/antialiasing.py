"""Put low-pass filters into the strided convolutions of a trained network."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf.errors import UserError
from fer_tf.layers import AntialiasedConv2D

if TYPE_CHECKING:
    import keras

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
