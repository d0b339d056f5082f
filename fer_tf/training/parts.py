"""Build the parts of a run from its configuration: faces, devices, networks.

The batch stays the configuration's, so that the loss is one device's within rounding, and a run may be continued on
another number of devices.

On JAX (``keras.distribution.DataParallel``) the devices compute the step of one device together: batch-norm, dropout,
clipping and losses that compare the faces of a batch are those of the whole batch. On TensorFlow (``MirroredStrategy``)
each device takes a step on its share alone, and the gradients are summed. There batch-norm shares its moments while it
trains (Keras leaves them apart by default), dropout draws one mask for all shares and so another one than a single
device would, and what needs the whole batch is refused.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fer_tf import datasets, losses, models
from fer_tf.datasets.landmarks import with_landmarks
from fer_tf.datasets.splits import flip_labels
from fer_tf.errors import UserError
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.input_pipeline.batches import BatchSource
from fer_tf.io.pictures import resized
from fer_tf.training import compute, objectives, optimizer_mixin, optimizers, schedules
from fer_tf.training.config import RunConfig
from fer_tf.training.objectives import OBJECTIVES
from fer_tf.training.objectives.base import Objective
from fer_tf.training.schedules import Schedule


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
        """Share batch-norm moments between devices before the step is traced."""
        self._set(True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restore the layers before the network is scored and saved."""
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


Tables = Mapping[str, FaceTable]


def load_tables(config: RunConfig) -> Tables:
    """Read the dataset of a configuration into one table a split.

    Raises:
        DataError: unreadable data.
        UserError: a split without rows.

    Example:

    >>> tables = load_tables(RunConfig("a", dataset="synthetic(faces=60)", limit=5))
    >>> {split: len(table) for split, table in tables.items()}
    {'train': 5, 'validation': 5, 'test': 5}
    """
    table = datasets.get(config.dataset, config.data, skip_bad=config.skip_bad)
    if config.landmarks:
        table = with_landmarks(table, config.landmarks)
    tables = {split: _prepared(table.select(split), config, split) for split in SPLITS}
    if config.label_noise:
        tables["train"], _ = flip_labels(tables["train"], config.label_noise, config.seed)
    return tables


def _prepared(table: FaceTable, config: RunConfig, split: str) -> FaceTable:
    if config.limit and config.limit < len(table):
        # Evenly spaced, because class folders come class by class.
        table = table.take(np.linspace(0, len(table), config.limit, endpoint=False).astype(int))
    if config.cover:
        table = datasets.COVERS.make(config.cover).apply(table, split)
    if config.image_size:
        table = table.with_images(resized(table.images, config.image_size))
    return table


@dataclass(frozen=True)
class Parts:
    """All that a run trains with, but its network; ``build_parts`` makes them.

    Attributes:
        source: the training batches.
        loss: of targets and logits.
        schedule: the learning rate of each step.
        optimizer: follows the schedule.
    """

    source: BatchSource
    loss: keras.losses.Loss
    schedule: Schedule
    optimizer: keras.optimizers.Optimizer


def build_parts(config: RunConfig, tables: Tables, devices: int = 1) -> Parts:
    """Build all that a run needs but its network, which takes longer.

    Args:
        config: the run.
        tables: its faces, a table a split.
        devices: how many share each batch.

    Raises:
        UserError: a value that an optimizer, schedule, loss or augmentation refuses, a crop larger than the face,
            data without a column that the objective needs, or devices that cannot share the run.

    Example:

    >>> from fer_tf.training.parts import load_tables
    >>> config = RunConfig("a", dataset="synthetic(faces=60)", batch_size=8, epochs=5)
    >>> parts = build_parts(config, load_tables(config))
    >>> len(parts.schedule.table) == 5 * parts.source.steps
    True
    """
    check_devices(config, len(tables["train"]), devices)
    source = BatchSource(
        tables["train"], config.batch_size, config.augment, seed=config.seed, crop=config.crop,
        repeats=optimizer_mixin.BATCH_REPEATS if config.sharpness else 1, columns=config.columns,
    )  # fmt: skip
    schedule = schedules.get(config.schedule, config.learning_rate, config.epochs, source.steps)
    optimizer = optimizers.get(
        config.optimizer, schedule.learning_rate, weight_decay=config.weight_decay, l2=config.l2,
        clipnorm=config.clipnorm, global_clipnorm=config.global_clipnorm, clipvalue=config.clipvalue,
        averaging=config.averaging, sharpness=config.sharpness, total_steps=config.epochs * source.steps,
    )  # fmt: skip
    return Parts(source, losses.get(config.loss), schedule, optimizer)


def build_network(config: RunConfig, tables: Tables) -> keras.Model:
    """Build the network of a run for its faces.

    Raises:
        UserError: a value that the network refuses, a network that lacks what the objective needs, or a start of
            another shape.

    Example:

    >>> from fer_tf.training.parts import load_tables
    >>> config = RunConfig("a", dataset="synthetic(faces=60)", model="vgg(width=0.05)", crop=40)
    >>> build_network(config, load_tables(config)).input_shape
    (None, 40, 40, 1)
    """
    height, width, channels = tables["train"].image_shape
    penalty = keras.regularizers.L1L2(config.kernel_l1, config.kernel_l2)
    network = models.get(
        config.model,
        num_classes=len(tables["train"].label_set),
        input_shape=(config.crop, config.crop, channels) if config.crop else (height, width, channels),
        dropout=config.dropout,
        kernel_regularizer=penalty if config.kernel_l1 or config.kernel_l2 else None,
    )
    objectives.check_network(config.objective, network)
    if config.start:
        models.initialize_from(network, config.start, tables["train"].label_set)
    return network


def build_objective(config: RunConfig, tables: Tables) -> Objective:
    """Build the network of a run, and the objective around it.

    Raises:
        UserError: as ``build_network``; or a value that the objective refuses.

    Example:

    >>> from fer_tf.training.parts import load_tables
    >>> config = RunConfig("a", dataset="synthetic(faces=60)", model="vgg(width=0.05)")
    >>> build_objective(config, load_tables(config)).num_classes
    7
    """
    return objectives.get(config.objective, build_network(config, tables), tables["train"])


def compiled(config: RunConfig, tables: Tables, parts: Parts, replicas: int = 1) -> Objective:
    """Build the objective of a run, ready to fit: compiled, in the run's precision, with its optimizer's variables.

    Args:
        config, tables: the run and its faces.
        parts: what ``build_parts`` made of them.
        replicas: in how many parts each step is computed apart (``fer_tf.training.parts``).

    Example:

    >>> from fer_tf.training.parts import load_tables
    >>> config = RunConfig("a", dataset="synthetic(faces=60)", model="vgg(width=0.05)", loss="kl")
    >>> tables = load_tables(config)
    >>> compiled(config, tables, build_parts(config, tables)).loss.name
    'kl'
    """
    objective = build_objective(config, tables)
    objective.speed_up(compute.resolve_precision(config.precision, config.model))
    objective.replicas = replicas
    objective.compile(
        optimizer=parts.optimizer,
        loss=parts.loss,
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=config.jit_compile,
    )
    parts.optimizer.build(objective.trainable_variables)
    return objective
