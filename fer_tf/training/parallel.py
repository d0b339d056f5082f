"""Train one network on several devices of a machine.

The batch stays the configuration's, so that the loss is one device's within rounding, and a run may be continued on
another number of devices.

On JAX (``keras.distribution.DataParallel``) the devices compute the step of one device together: batch-norm, dropout,
clipping and losses that compare the faces of a batch are those of the whole batch. On TensorFlow (``MirroredStrategy``)
each device takes a step on its share alone, and the gradients are summed. There batch-norm shares its moments while it
trains (Keras leaves them apart by default), dropout draws one mask for all shares and so another one than a single
device would, and what needs the whole batch is refused.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from fer_tf.errors import UserError
from fer_tf.training.config import RunConfig
from fer_tf.training.objectives import OBJECTIVES


def check_devices(config: RunConfig, faces: int, devices: int) -> None:
    """Refuse what several devices cannot do.

    Args:
        config: the run.
        faces: rows of the training split.
        devices: how many should share each batch.

    Raises:
        UserError: fewer devices than that, a batch that they cannot share equally, another backend than JAX and
            TensorFlow, or a setting that needs the whole batch on one device.
    """
    if devices == 1:
        return
    backend = keras.backend.backend()
    if backend not in ("jax", "tensorflow"):
        raise UserError(f"{devices} devices need Keras on JAX or TensorFlow; KERAS_BACKEND is {backend}.")
    found = _devices()
    if devices > len(found):
        names = ", ".join(found)
        raise UserError(f"{devices} devices were asked for; Keras on {backend} sees {len(found)} here: {names}.")
    batch = min(config.batch_size, faces)
    if batch % devices:
        raise UserError(
            f"{devices} devices cannot share a batch of {batch} faces equally. Expected a multiple of {devices}."
        )
    wanted = _wanting_whole_batches(config) if backend == "tensorflow" else []
    if wanted:
        raise UserError(
            f"Several devices on TensorFlow cannot train with {wanted[0]}: each sees its share of a batch alone. "
            "Set KERAS_BACKEND=jax, or leave it out."
        )


@contextlib.contextmanager
def distributed(devices: int) -> Iterator[int]:
    """Let what is built and fitted inside be trained on this many devices.

    Enter after ``keras.utils.clear_session``, which forgets the devices.

    Yields:
        In how many parts each step is computed apart: 1, or on TensorFlow the number of devices. An objective wants
        it as its ``replicas``, and ``fit`` the ``callbacks`` for it.
    """
    if devices == 1:
        yield 1
    elif keras.backend.backend() == "jax":
        with keras.distribution.DataParallel(devices=_devices()[:devices]).scope():
            yield 1
    else:
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(_devices()[:devices]).scope():
            yield devices


def replica_callbacks(replicas: int) -> list[keras.callbacks.Callback]:
    """Return what ``fit`` needs, before all other callbacks."""
    return [SharedMoments()] if replicas > 1 else []


class SharedMoments(keras.callbacks.Callback):
    """Have the batch-norms of ``model.network`` take their moments over the shares of all replicas while it trains.

    Only then, for files of networks with this setting cannot be read on other backends.
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Share moments before the step is traced."""
        self._set(True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Be as built when the network is scored and saved."""
        self._set(False)

    def _set(self, synchronized: bool) -> None:
        for layer in self.model.network._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = synchronized


def _devices() -> list[str]:
    """Return the names of this machine's graphics cards, or, without any, of its (virtual) processors."""
    if keras.backend.backend() == "jax":
        return keras.distribution.list_devices()
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.removeprefix("/device:") for device in found]


def _wanting_whole_batches(config: RunConfig) -> list[str]:
    """Return the settings that do not work on shares of a batch."""
    row, keywords = OBJECTIVES.resolve(config.objective)
    by_face = row.facts["by_face"] and keywords.get("class_weights", "none") == "none"
    # Keras clips before it sums the gradients of the replicas, and its XLA step cannot sum them at all.
    clipped = any(limit is not None for limit in (config.clipnorm, config.global_clipnorm, config.clipvalue))
    found = {
        "jit_compile (--jit)": config.jit_compile,
        "gradient clipping": clipped,
        "sharpness": bool(config.sharpness),
        f"objective {config.objective!r}": not by_face,
    }
    return [name for name, asked in found.items() if asked]
