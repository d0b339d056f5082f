"""Load and prepare the faces of a run."""

from collections.abc import Mapping

import numpy as np

from fer_tf import datasets
from fer_tf.datasets.label_noise import flip_labels
from fer_tf.datasets.landmarks import with_landmarks
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.io.pictures import resized
from fer_tf.training.config import RunConfig

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
