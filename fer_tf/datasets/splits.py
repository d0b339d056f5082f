"""Recognize split names on disk, and split datasets that come without splits."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from fer_tf.errors import UserError

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
