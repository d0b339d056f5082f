"""Random values for many rows at once, where each row has a generator of its own.

Row i then depends on the seed and on i alone, and not on how many rows are asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np

Record = TypeVar("Record")


class RowDraws:
    """Draws a value, or a few, for each of N rows; results have shape (N, columns).

    Args:
        seed: ≥ 0.
        kind: tells apart the streams of one seed.
        numbers: the N row numbers.
        uniforms: how many uniform columns may be drawn in all.
        normals: the same for normal ones.
    """

    def __init__(self, seed: int, kind: int, numbers: Iterable[int], uniforms: int = 64, normals: int = 176):
        self.rngs = [np.random.default_rng(np.random.SeedSequence((seed, kind, n))) for n in numbers]
        self._uniform = iter(np.array([rng.random(uniforms) for rng in self.rngs]).T)
        self._normal = iter(np.array([rng.standard_normal(normals) for rng in self.rngs]).T)

    def uniform(self, low: float = 0.0, high: float = 1.0, columns: int = 1) -> np.ndarray:
        """Draw float (N, columns) between ``low`` and ``high``."""
        return low + (high - low) * np.stack([next(self._uniform) for _ in range(columns)], axis=1)

    def normal(self, mean: float = 0.0, spread: float = 1.0, columns: int = 1) -> np.ndarray:
        """Draw float (N, columns) with that mean and standard deviation."""
        return mean + spread * np.stack([next(self._normal) for _ in range(columns)], axis=1)

    def integers(self, count: int) -> np.ndarray:
        """Draw int (N, 1) from 0 to ``count`` − 1."""
        return (self.uniform() * count).astype(np.int64)

    def choice(self, shares: Sequence[float] | np.ndarray) -> np.ndarray:
        """Draw int (N, 1) with the given probabilities, shape (K,) or a row each (N, K)."""
        return (self.uniform() > np.atleast_2d(np.cumsum(shares, axis=-1))[:, :-1]).sum(axis=1, keepdims=True)

    def happens(self, probability: float) -> np.ndarray:
        """Draw bool (N, 1)."""
        return self.uniform() < probability


def take_rows(record: Record, index: np.ndarray | slice) -> Record:
    """Return a dataclass of arrays with the rows of ``index`` in every field."""
    return type(record)(**{f.name: getattr(record, f.name)[index] for f in fields(record)})
