"""Draw random numbers for single faces, the same on every machine.

Each face has a stream of its own, named by seed, corruption and the face's id, so that neither batches nor order
matter. Only the raw words of NumPy's Philox generator are used, which NumPy promises never to change; its
distributions, which may change and use the machine's mathematical library, are not.
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np

# Normal draws are whole numbers of this part of a standard deviation: rounding so coarsely hides the last digit of
# logarithms, in which libraries differ.
NORMAL_UNIT = 1024
_LEVELS = 65_536


def face_keys(seed: int, stream: str, ids: Iterable[str]) -> list[int]:
    """Return a generator's key, 128 bits, for each face.

    Args:
        seed: ≥ 0.
        stream: tells apart what is drawn for one face.
        ids: the faces' names.
    """
    begin = f"{int(seed)}\0{stream}\0"
    named = [f"{begin}{name}".encode("utf-8", "surrogateescape") for name in ids]
    return [int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "big") for name in named]


def random_words(streams: Sequence[int], count: int) -> np.ndarray:
    """Return the first ``count`` words of each stream, uint64 (N, count); a longer row begins with the shorter one."""
    rows = [np.random.Philox(key=key).random_raw(count) for key in streams]
    return np.array(rows, np.uint64).reshape(len(rows), count)


def sixteen(streams: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return whole numbers from 0 to 65,535, uint16 (N, \\*shape)."""
    count = int(np.prod(shape))
    drawn = random_words(streams, -(-count // 4)).astype("<u8").view("<u2")
    return drawn[:, :count].reshape(len(streams), *shape)


def normal(streams: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return normal draws in units of 1/``NORMAL_UNIT``, int32 (N, \\*shape), at most 4.32 deviations from 0."""
    return _quantiles()[sixteen(streams, shape)]


def fractions(streams: Sequence[int], count: int) -> np.ndarray:
    """Return multiples of 2⁻⁵³ from 0 up to but without 1, float64 (N, count)."""
    return (random_words(streams, count) >> np.uint64(11)) * 2.0**-53


def below(fraction: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """Turn fractions in [0, 1) into int64 from 0 to ``count`` − 1."""
    return np.floor(fraction * count).astype(np.int64)


@functools.cache
def _quantiles() -> np.ndarray:
    """Return the middle quantile of each of 65,536 equal shares of the normal distribution, int32."""
    curve = NormalDist()
    upper = [round(NORMAL_UNIT * curve.inv_cdf((k + 0.5) / _LEVELS)) for k in range(_LEVELS // 2, _LEVELS)]
    return np.array([-q for q in reversed(upper)] + upper, np.int32)
