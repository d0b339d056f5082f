"""Split datasets, find duplicate faces in them, and add label noise.

Exact copies have the same pixels. Near copies are the same photograph with another compression, brightness or
watermark, and their thumbnails correlate. Of 160 such pairs in FER2013, with correlations from 0.965 to 1, two showed
different photographs, both almost uniformly black or white. Mirrored or differently cropped copies are not found.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.labels import one_hot

_NAMES: Mapping[str, str] = {
    "train": "train", "training": "train", "fer2013train": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "publictest": "validation",
    "fer2013valid": "validation",
    "test": "test", "testing": "test", "privatetest": "test", "fer2013test": "test",
}  # fmt: skip
ACCEPTED = "train, validation (valid, val, PublicTest) or test (PrivateTest)"


def split_of(name: str) -> str | None:
    """Return the split that a folder or usage name means, or ``None``."""
    return _NAMES.get(name.strip().casefold())


def folders_of(name: str) -> tuple[str, str]:
    """Return class and split of ``class/a.png`` or ``split/class/a.png``; empty strings if there is none."""
    folders = name.split("/")[:-1]
    split = folders.pop(0) if folders and split_of(folders[0]) else ""
    return folders[0] if folders else "", split


def check_shares(shares: Sequence[float]) -> tuple[float, float, float]:
    """Check the option ``split=(train, validation, test)``.

    Raises:
        UserError: The shares are not three numbers of at least 0 that sum to 1.
    """
    numbers = isinstance(shares, tuple | list) and all(isinstance(s, int | float) and s >= 0 for s in shares)
    if not numbers or len(shares) != 3 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"split={shares!r} is no (train, validation, test) such as (0.8, 0.1, 0.1).")
    return tuple(shares)


def carve(
    split: np.ndarray,
    ids: Sequence[str],
    labels: np.ndarray,
    shares: Sequence[float],
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Take missing validation or test splits from the training rows.

    The share is taken from every class, or, with ``groups``, from all groups. The choice depends only on ids and seed,
    not on pixels or the order of files, so that adding faces moves few others.

    Args:
        split: str array (N,); all ``train`` for a dataset without splits.
        ids: N unique names.
        labels: int array (N,) of classes, for stratification.
        shares: Shares (train, validation, test).
        seed: Seed of the choice.
        groups: str array (N,) or ``None``; rows of one group, such as a person, stay together.

    Returns:
        A new str array (N,).
    """
    split = np.array(split, dtype="U10")
    missing = {s: share for s, share in (("test", shares[2]), ("validation", shares[1])) if s not in split}
    train = np.flatnonzero(split == "train")
    if groups is None:
        keys, strata = np.array(ids, dtype=object), np.asarray(labels)
    else:
        keys, strata = np.asarray(groups).astype(object), np.zeros(len(split), int)
    for stratum in np.unique(strata[train]):
        rows = train[strata[train] == stratum]
        _carve_stratum(split, rows, keys[rows], missing, seed)
    return split


def _carve_stratum(split: np.ndarray, rows: np.ndarray, keys: np.ndarray, missing: Mapping[str, float], seed: int):
    units = sorted(set(keys), key=lambda k: _hash(seed, k))
    members: dict[str, list[int]] = {unit: [] for unit in units}
    for row, key in zip(rows, keys, strict=True):
        members[key].append(row)
    queue = iter(units)
    for name, share in missing.items():
        wanted, taken = _wanted(share, len(rows), len(units)), 0
        while taken < wanted and (unit := next(queue, None)) is not None:
            chosen = members[unit]
            split[chosen] = name
            taken += len(chosen)


def _wanted(share: float, rows: int, units: int) -> int:
    """Round the share to rows; with three or more units, a requested split gets at least one."""
    least = 1 if share > 0 and units >= 3 else 0
    return max(round(share * rows), least)


def check_share(share: float) -> float:
    """Check the option ``validation``, a share of the training faces.

    Raises:
        UserError: The share is not a number of at least 0 and below 1.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise UserError(f"validation={share!r} is no share of the training faces. Expected 0 ≤ share < 1, such as 0.1.")
    return share


def hashed_split(groups: Sequence[str], shares: Sequence[float], seed: int) -> np.ndarray:
    """Assign each group (a person) to a split by its name and the seed alone.

    Unlike with ``carve``, a person gets the same split in every dataset; the shares hold on average over groups.

    Args:
        groups: N group names.
        shares: Shares (train, validation, test).
        seed: Seed of the assignment.

    Returns:
        A str array (N,).
    """
    train, validation, _ = check_shares(shares)
    places = {name: int.from_bytes(_hash(seed, name)[:8], "big") / 2**64 for name in set(groups)}
    split = {n: "train" if p < train else "validation" if p < train + validation else "test" for n, p in places.items()}
    return np.array([split[name] for name in groups], dtype="U10")


def group_folds(groups: Sequence[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assign groups (people) to folds so that every fold has about the same share of each class.

    The largest group is assigned first, always to the fold with the least of its classes; the seed breaks ties.

    Args:
        groups: N group names; rows of one group share a fold.
        labels: int array (N,) of the classes to balance.
        folds: Number of folds, at most the number of groups.
        seed: Seed that breaks ties.

    Returns:
        An int64 array (N,) of folds from 0 to ``folds − 1``.

    Raises:
        UserError: There are more folds than groups.
    """
    names, rows = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if folds > len(names):
        raise UserError(f"folds={folds!r}, but there are {len(names)} people. Expected at most one fold a person.")
    counts = np.zeros((len(names), int(np.max(labels)) + 1))
    np.add.at(counts, (rows, labels), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    held, fold_of = np.zeros((folds, counts.shape[1])), np.empty(len(names), np.int64)
    for i in sorted(range(len(names)), key=lambda i: (-counts[i].sum(), _hash(seed, names[i]))):
        rise = ((held + shares[i]) ** 2 - held**2).sum(axis=1)
        fold_of[i] = np.lexsort((np.arange(folds), held.sum(axis=1), rise))[0]
        held[fold_of[i]] += shares[i]
    return fold_of[rows]


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()


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
