"""Make a trained network less sensitive to where a face lies: low-pass filters inside its strided convolutions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf.errors import UserError

if TYPE_CHECKING:
    import keras

FILTER = np.array([1.0, 2.0, 1.0]) / 4


def antialiased(network: "keras.Model") -> "keras.Model":
    """Copy a network with filtered kernels in its convolutions of stride 2; it is not trained further.

    Filters leave less variance than batch-norm was made for: estimate its statistics anew before the copy is used, see
    ``fer_tf.training.averaging.estimate_batch_norm``. Convolutions inside layers of this package and depthwise ones
    stay as they are, and so do poolings.

    Args:
        network: a functional model with convolutions of stride 2 and padding "same".

    Returns:
        A new model with the network's facts, name, and names of layers.

    Raises:
        UserError: no convolution that can be filtered.
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
            weights[0] = filtered(weights[0])
        copy.get_layer(layer.name).set_weights(weights)
    copy.metadata = getattr(network, "metadata", None)
    return copy


def filtered(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel (h, w, channels, filters) followed by ``FILTER`` in both directions, (h + 2, w + 2, …)."""
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
    from fer_tf.layers import AntialiasedConv2D

    config = layer.get_config()
    if not _is_strided(layer):
        return type(layer).from_config(config)
    config["kernel_size"] = tuple(side + 2 * AntialiasedConv2D.REACH for side in layer.kernel_size)
    return AntialiasedConv2D.from_config({k: v for k, v in config.items() if k not in ("strides", "padding")})
