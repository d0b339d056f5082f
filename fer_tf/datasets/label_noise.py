"""Labels made wrong on purpose, to see what a method makes of them."""

from dataclasses import replace

import numpy as np

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import one_hot


def flip_labels(table: FaceTable, rate: float, seed: int = 0) -> tuple[FaceTable, np.ndarray]:
    """Give a share of the faces one of the other labels (symmetric noise).

    Exactly ``round(rate · N)`` faces are changed; each gets any other class with the same probability. A changed face's
    target becomes one-hot, an unchanged one's stays as it is.

    Args:
        table: any faces.
        rate: share of the faces, in [0, 1].
        seed: of the choice of faces and of classes; the same faces change first when only the rate grows.

    Returns:
        The table, and a bool mask (N,) of the changed faces.

    Raises:
        UserError: a rate out of range.

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
