"""The same picture more than once: FER2013 has it, and a copy in another split is a leak."""

import hashlib
from pathlib import Path

import numpy as np

from fer_tf.errors import UserError
from fer_tf.facetable import SPLITS, FaceTable


def duplicates(table: FaceTable) -> list[np.ndarray]:
    """Return the groups of faces whose pixels (or, for a table of paths, whose files) are identical.

    Returns:
        One int64 array of at least two ascending row indices a group, ordered by first row.
    """
    groups: dict[bytes, list[int]] = {}
    for i in range(len(table)):
        content = table.images[i].tobytes() if table.images is not None else Path(table.paths[i]).read_bytes()
        groups.setdefault(hashlib.blake2b(content, digest_size=16).digest(), []).append(i)
    return [np.array(rows, dtype=np.int64) for rows in groups.values() if len(rows) > 1]


def leaks(table: FaceTable) -> list[np.ndarray]:
    """Return the groups of ``duplicates`` that reach over more than one split."""
    return [rows for rows in duplicates(table) if len(set(table.split[rows])) > 1]


def treat_leaks(table: FaceTable, leaks: str) -> FaceTable:
    """Keep a table as it is, or leave out every face whose exact copy is in a later split.

    A training face goes when validation or test has the same pixels, a validation face when test has them; test stays
    whole, so that its figures compare with everybody's.

    Args:
        table: faces of any splits.
        leaks: ``keep`` or ``drop``.

    Raises:
        UserError: another word.
    """
    if leaks not in ("keep", "drop"):
        raise UserError(f"leaks={leaks!r} is unknown. Expected 'keep' or 'drop'.")
    if leaks == "keep":
        return table
    rank = np.array([SPLITS.index(split) for split in table.split.tolist()])
    kept = np.ones(len(table), dtype=bool)
    for rows in duplicates(table):
        kept[rows] = rank[rows] == rank[rows].max()
    return table.take(kept)
