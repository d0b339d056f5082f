"""The same picture more than once: FER2013 has it, and a copy in another split is a leak.

Exact copies have the same pixels. Near copies are the same photograph after another compression, brightness or
watermark: their thumbnails correlate. Of 160 such pairs of FER2013 between 0.965 and 1 that were looked at, two were
of different photographs, both black or white all over; copies that are mirrored or cut otherwise are not found.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.facetable import SPLITS, FaceTable

# Side of the thumbnails in pixels, and the correlation from which two faces count as one photograph.
THUMBNAIL, NEAR = 12, 0.97
LEAKS = ("keep", "drop", "drop_near")
# Rows of a block: a block against 4,000 faces takes 32 MB.
BLOCK = 2048


@dataclass(frozen=True)
class Copies:
    """How many faces of a split an earlier split has already.

    Attributes:
        exact: bool (N,), the earlier split has the same pixels.
        near: bool (N,), it has the same photograph, exact copies included.
    """

    exact: np.ndarray
    near: np.ndarray


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


def near_copies(images: np.ndarray, others: np.ndarray, threshold: float = NEAR) -> np.ndarray:
    """Return the pairs of faces whose thumbnails correlate, exact copies among them.

    A thumbnail is the gray face in ``THUMBNAIL``² pixels, mean 0 and norm 1, so that brightness and contrast do not
    matter. A face of one colour has no copies.

    Args:
        images: uint8 (N, H, W, C).
        others: uint8 (M, H, W, C).
        threshold: correlation from which two are a pair.

    Returns:
        int64 (K, 2), a row of ``images`` and one of ``others``, in ascending order.
    """
    ours, theirs = _thumbnails(images), _thumbnails(others)
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(ours), BLOCK):
        found = np.argwhere(ours[start : start + BLOCK] @ theirs.T >= threshold)
        found[:, 0] += start
        pairs.append(found)
    return np.concatenate(pairs)


def copies_in(earlier: FaceTable, later: FaceTable, threshold: float = NEAR) -> Copies:
    """Tell which faces of ``later`` have a copy in ``earlier``.

    Raises:
        UserError: a table of paths.
    """
    for table in (earlier, later):
        if table.images is None:
            raise UserError("Near copies are looked for in pictures in memory; this table holds paths.")
    known = {image.tobytes() for image in earlier.images}
    exact = np.array([image.tobytes() in known for image in later.images], dtype=bool)
    near = exact.copy()
    near[near_copies(earlier.images, later.images, threshold)[:, 1]] = True
    return Copies(exact, near)


def treat_leaks(table: FaceTable, leaks: str) -> FaceTable:
    """Keep a table as it is, or leave out every face of which a later split has a copy.

    A training face goes when validation or test has it, a validation face when test has it; test stays whole, so that
    its figures compare with everybody's.

    Args:
        table: faces of any splits.
        leaks: ``keep``; ``drop`` exact copies; or ``drop_near``, near copies too.

    Raises:
        UserError: another word, or ``drop_near`` for a table of paths.
    """
    if leaks not in LEAKS:
        raise UserError(f"leaks={leaks!r} is unknown. Expected {', '.join(map(repr, LEAKS[:-1]))} or {LEAKS[-1]!r}.")
    if leaks == "keep":
        return table
    rank = np.array([SPLITS.index(split) for split in table.split.tolist()])
    kept = np.ones(len(table), dtype=bool)
    for rows in duplicates(table):
        kept[rows] = rank[rows] == rank[rows].max()
    if leaks == "drop_near":
        for number in range(len(SPLITS) - 1):
            earlier, later = np.flatnonzero(rank == number), np.flatnonzero(rank > number)
            kept[earlier[copies_in(table.take(later), table.take(earlier)).near]] = False
    return table.take(kept)


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """Return float32 (N, THUMBNAIL²), rows of mean 0 and norm 1; zeros for a face of one colour."""
    gray = images[..., 0] if images.shape[-1] == 1 else images.mean(axis=-1).round().astype(np.uint8)
    # Pixels without overlap: the wider filters blur, and blurred faces are all alike.
    size, box = (THUMBNAIL, THUMBNAIL), Image.Resampling.BOX
    small = np.array([np.asarray(Image.fromarray(face).resize(size, box)) for face in gray], np.float32)
    small = small.reshape(len(images), THUMBNAIL**2)
    small -= small.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(small, axis=1, keepdims=True)
    return np.divide(small, norm, out=np.zeros_like(small), where=norm > 0)
