"""Set precision and fused batch-norm while a network trains.

Files and evaluation see the network as it was built: float32, and plain ``keras.layers.BatchNormalization``. A run
gives its network the faster form with ``speed_up``, and takes it back for a while with ``as_built``.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from fer_tf.models import MODELS
from fer_tf.training import processor

_MIXED = "mixed_bfloat16"


def resolve_precision(precision: str, model: str) -> str:
    """Return what a run computes in here: ``float32`` or ``bfloat16``.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on a graphics card, and on a processor that
            computes in it if the network is faster so; float32 elsewhere.
        model: call string of the network.

    Example:

    >>> resolve_precision("bfloat16", "resnet10"), resolve_precision("float32", "resnet10")
    ('bfloat16', 'float32')
    """
    if precision != "auto":
        return precision
    is_faster = processor.has_bfloat16() and MODELS.resolve(model)[0].load().bfloat16
    return "bfloat16" if _has_gpu() or is_faster else "float32"


def speed_up(network: keras.Model, precision: str) -> None:
    """Let a network compute its training steps faster.

    In ``bfloat16``, the layers between its pixels and its vectors compute in it: those that give maps (N, H, W, C),
    from the first one with weights on. Weights, batch-norm statistics and logits stay float32. On TensorFlow,
    batch-norms become one operation in training.

    Args:
        network: functional model from pixels (N, H, W, C) to logits.
        precision: ``float32`` or ``bfloat16``.

    Example:

    >>> from fer_tf import models
    >>> network = models.get("vgg(width=0.05, depth=1)", num_classes=7, input_shape=(44, 44, 1))
    >>> speed_up(network, "bfloat16")
    >>> [network.get_layer(name).compute_dtype for name in ("block1_conv1", "logits")]
    ['bfloat16', 'float32']
    """
    for layer in _layers_of_maps(network) if precision == "bfloat16" else ():
        layer.dtype_policy = _MIXED
    for layer in network._flatten_layers() if keras.backend.backend() == "tensorflow" else ():
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = FusedBatchNormalization


@contextlib.contextmanager
def as_built(network: keras.Model) -> Iterator[None]:
    """Take back ``speed_up`` inside the context: evaluate and save there.

    Example:

    >>> from fer_tf import models
    >>> network = models.get("vgg(width=0.05, depth=1)", num_classes=7, input_shape=(44, 44, 1))
    >>> speed_up(network, "bfloat16")
    >>> with as_built(network):
    ...     network.get_layer("block1_conv1").compute_dtype
    'float32'
    """
    mixed = [layer for layer in network._flatten_layers() if layer.dtype_policy.name == _MIXED]
    fused = [layer for layer in network._flatten_layers() if type(layer) is FusedBatchNormalization]
    try:
        for layer in mixed:
            layer.dtype_policy = "float32"
        for layer in fused:
            layer.__class__ = keras.layers.BatchNormalization
        yield
    finally:
        for layer in mixed:
            layer.dtype_policy = _MIXED
        for layer in fused:
            layer.__class__ = FusedBatchNormalization


def _layers_of_maps(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Give the layers that compute maps, parts of layers included, from the first layer with weights on."""
    begun = False
    for layer in network.layers:
        begun = begun or bool(layer.weights)
        if begun and all(len(output.shape) == 4 for output in keras.tree.flatten(layer.output)):
            yield from layer._flatten_layers()


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch-norm whose training step on TensorFlow is one operation in place of a dozen.

    Outputs, gradients and moving statistics are those of the Keras layer within rounding. What the operation cannot
    do is left to the Keras layer: inference, frozen layers, masks, moments over several devices, renormalization, and
    inputs that are not maps (N, H, W, C) in float32 or bfloat16.

    Example:

    >>> layer = FusedBatchNormalization()
    >>> maps = layer(keras.ops.reshape(keras.ops.arange(8.0), (1, 2, 2, 2)), training=True)
    >>> print(keras.ops.convert_to_numpy(keras.ops.sum(maps, axis=(0, 1, 2))))
    [0. 0.]
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize maps (N, H, W, C) by the moments of the batch in training, by the moving ones otherwise."""
        if not (training and self.trainable and self._can_fuse(inputs, mask)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        # Not `tf.nn.fused_batch_norm`, which raises an epsilon of 1e-5 to 1.001e-5.
        outputs = tf.raw_ops.FusedBatchNormV3(
            # oneDNN normalizes bfloat16 maps quickly in blocks of 16 channels only; others take ten times as long.
            x=tf.cast(inputs, tf.float32) if channels % 16 else inputs,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels),
            offset=tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // channels, tf.float32)
        # The operation's variance is Σ(x − mean)² / (n − 1), 0 for one value; Keras keeps Σ(x − mean)² / n.
        biased = outputs.batch_variance * ((count - 1) / count)
        for moving, new in ((self.moving_mean, outputs.batch_mean), (self.moving_variance, biased)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return tf.cast(outputs.y, inputs.dtype)

    def _can_fuse(self, inputs: Any, mask: Any) -> bool:
        import tensorflow as tf

        maps = len(inputs.shape) == 4 and self.axis in (-1, 3) and inputs.shape[-1] is not None
        kinds = self.variable_dtype == "float32" and self.compute_dtype == inputs.dtype.name in ("float32", "bfloat16")
        alone = not self.synchronized and tf.distribute.get_strategy().num_replicas_in_sync == 1
        return maps and kinds and alone and mask is None and not self.renorm


def _has_gpu() -> bool:
    """Tell whether Keras computes on a graphics card."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    if backend == "jax":
        return any(name.startswith(("gpu", "cuda", "rocm")) for name in keras.distribution.list_devices())
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
