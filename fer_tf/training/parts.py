"""Build the parts of a run from its configuration."""

from dataclasses import dataclass

import keras

from fer_tf import losses, models
from fer_tf.input_pipeline.batches import BatchSource
from fer_tf.training import compute, objectives, optimizers, parallel, schedules, sharpness
from fer_tf.training.config import RunConfig
from fer_tf.training.objectives.base import Objective
from fer_tf.training.schedules import Schedule
from fer_tf.training.tables import Tables


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

    >>> from fer_tf.training.tables import load_tables
    >>> config = RunConfig("a", dataset="synthetic(faces=60)", batch_size=8, epochs=5)
    >>> parts = build_parts(config, load_tables(config))
    >>> len(parts.schedule.table) == 5 * parts.source.steps
    True
    """
    parallel.check_devices(config, len(tables["train"]), devices)
    source = BatchSource(
        tables["train"], config.batch_size, config.augment, seed=config.seed, crop=config.crop,
        repeats=sharpness.BATCH_REPEATS if config.sharpness else 1, columns=config.columns,
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

    >>> from fer_tf.training.tables import load_tables
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

    >>> from fer_tf.training.tables import load_tables
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
        replicas: in how many parts each step is computed apart (``fer_tf.training.parallel``).

    Example:

    >>> from fer_tf.training.tables import load_tables
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
