"""Add label noise, to study how robust a method is to wrong labels."""

from dataclasses import replace

import numpy as np

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import one_hot


def flip_labels(table: FaceTable, rate: float, seed: int = 0) -> tuple[FaceTable, np.ndarray]:
    """Replace the labels of a share of the faces by other labels (symmetric noise).

    Exactly ``round(rate · N)`` faces change; each gets one of the other classes with equal probability and a one-hot
    target. The other targets stay as they are.

    Args:
        table: N faces.
        rate: Share of the faces to change, from 0 to 1.
        seed: Seed of the choice of faces and classes. A larger rate changes the same faces and more.

    Returns:
        The new table, and a bool array (N,) that marks the changed faces.

    Raises:
        UserError: ``rate`` is out of range.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_synthetic(faces=100)
        >>> noisy, changed = datasets.flip_labels(faces, rate=0.2)
        >>> int(changed.sum())
        20
    """
    if not 0 <= rate <= 1:
        raise UserError(f"label noise of {rate}. Expected a share, 0 to 1.")
    rng = np.random.default_rng([seed, 0x10A5E])
    order = rng.permutation(len(table))
    steps = rng.integers(1, len(table.label_set), len(table))
    changed = np.zeros(len(table), dtype=bool)
    changed[order[: round(rate * len(table))]] = True
    wrong = one_hot((table.labels + steps) % len(table.label_set), len(table.label_set))
    return replace(table, targets=np.where(changed[:, None], wrong, table.targets)), changed
