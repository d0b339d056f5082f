"""Find duplicate faces, within and across splits; FER2013 has both.

Exact copies have the same pixels. Near copies are the same photograph with another compression, brightness or
watermark, and their thumbnails correlate. Of 160 such pairs in FER2013, with correlations from 0.965 to 1, two showed
different photographs, both almost uniformly black or white. Mirrored or differently cropped copies are not found.
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
    """Mark the faces of a split that an earlier split already contains.

    Attributes:
        exact: bool array (N,): the earlier split has the same pixels.
        near: bool array (N,): it has the same photograph, exact copies included.
    """

    exact: np.ndarray
    near: np.ndarray


def duplicates(table: FaceTable) -> list[np.ndarray]:
    """Group faces whose pixels (or, for a table of paths, whose files) are identical.

    Returns:
        One int64 array for each group, with at least two ascending row indices, ordered by the first row.
    """
    groups: dict[bytes, list[int]] = {}
    for i in range(len(table)):
        content = table.images[i].tobytes() if table.images is not None else Path(table.paths[i]).read_bytes()
        groups.setdefault(hashlib.blake2b(content, digest_size=16).digest(), []).append(i)
    return [np.array(rows, dtype=np.int64) for rows in groups.values() if len(rows) > 1]


def leaks(table: FaceTable) -> list[np.ndarray]:
    """Return the groups of ``duplicates`` whose faces are in more than one split."""
    return [rows for rows in duplicates(table) if len(set(table.split[rows])) > 1]


def near_copies(images: np.ndarray, others: np.ndarray, threshold: float = NEAR) -> np.ndarray:
    """Find pairs of faces whose thumbnails correlate, exact copies included.

    A thumbnail is the gray face at ``THUMBNAIL``² pixels, normalized to mean 0 and norm 1, so that brightness and
    contrast do not matter. A uniform face has no copies.

    Args:
        images: uint8 (N, H, W, C).
        others: uint8 (M, H, W, C).
        threshold: Smallest correlation of a pair.

    Returns:
        int64 array (K, 2): a row of ``images`` and a row of ``others``, in ascending order.
    """
    ours, theirs = _thumbnails(images), _thumbnails(others)
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(ours), BLOCK):
        found = np.argwhere(ours[start : start + BLOCK] @ theirs.T >= threshold)
        found[:, 0] += start
        pairs.append(found)
    return np.concatenate(pairs)


def copies_in(earlier: FaceTable, later: FaceTable, threshold: float = NEAR) -> Copies:
    """Mark the faces of ``later`` that have a copy in ``earlier``.

    Raises:
        UserError: The table holds paths, not images.
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
    """Leave out faces of which a later split has a copy.

    A training face is left out if validation or test has a copy, a validation face if test has one. The test split
    stays whole, so that its scores are comparable with those of others.

    Args:
        table: Faces of any splits.
        leaks: ``keep`` (no change), ``drop`` (exact copies) or ``drop_near`` (near copies too).

    Raises:
        UserError: ``leaks`` has another value, or is ``drop_near`` for a table of paths.
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
    """Return float32 (N, THUMBNAIL²) with rows of mean 0 and norm 1; zeros for a uniform face."""
    gray = images[..., 0] if images.shape[-1] == 1 else images.mean(axis=-1).round().astype(np.uint8)
    # Pixels without overlap: the wider filters blur, and blurred faces are all alike.
    size, box = (THUMBNAIL, THUMBNAIL), Image.Resampling.BOX
    small = np.array([np.asarray(Image.fromarray(face).resize(size, box)) for face in gray], np.float32)
    small = small.reshape(len(images), THUMBNAIL**2)
    small -= small.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(small, axis=1, keepdims=True)
    return np.divide(small, norm, out=np.zeros_like(small), where=norm > 0)
