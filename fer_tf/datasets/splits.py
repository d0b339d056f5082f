"""Names of the three splits on disk, and splits for datasets that come without them."""

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
    """Return ``train``, ``validation`` or ``test`` for a name used on disk, ``None`` for any other name."""
    return _NAMES.get(name.strip().casefold())


def check_shares(shares: Sequence[float]) -> tuple[float, float, float]:
    """Check the option ``split=(train, validation, test)``.

    Raises:
        UserError: not three numbers ≥ 0 that sum to 1.
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
    """Take the missing validation or test rows out of train; rows of the splits that are there stay.

    Every class (or, with ``groups``, the dataset) gives its share. Which rows go depends on their ids and the seed
    only, not on pixels or on the order of files, so that adding faces moves few others.

    Args:
        split: str (N,); all ``train`` for a dataset without splits.
        ids: unique names (N,).
        labels: ints (N,), the classes to stratify by.
        shares: (train, validation, test).
        seed: another seed, another split.
        groups: str (N,) or ``None``; rows of one group, such as a person, stay together.

    Returns:
        str (N,), a new array.
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
    units = sorted(set(keys), key=lambda k: hashlib.blake2b(f"{seed}:{k}".encode("utf-8", "surrogateescape")).digest())
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
    """Round the share; from three units on, a split that is asked for gets at least one."""
    least = 1 if share > 0 and units >= 3 else 0
    return max(round(share * rows), least)
