"""Corruptions by noise: each value of each channel on its own."""

import functools
import math

import numpy as np

from fer_tf.robustness import draws
from fer_tf.robustness.faces import Faces

_LEVELS = 65_536


def gaussian_noise(faces: Faces, deviation: int) -> np.ndarray:
    """Add normal noise of a standard deviation in whole gray levels."""
    drawn = draws.normal(faces.streams, faces.images.shape[1:])
    added = (drawn * deviation + draws.NORMAL_UNIT // 2) // draws.NORMAL_UNIT
    return np.clip(faces.images + added, 0, 255).astype(np.uint8)


def shot_noise(faces: Faces, photons: int) -> np.ndarray:
    """Count photons: a Poisson number of which white has ``photons`` in the mean, in 65,536ths of probability."""
    drawn = draws.sixteen(faces.streams, faces.images.shape[1:])
    edges = _poisson_edges(photons)
    steps = len(edges) // 256
    # One sorted table for all 256 levels: those of level v lie in [v, v + 1) · 2¹⁷.
    place = np.searchsorted(edges, (faces.images.astype(np.int32) << 17) + drawn, side="right")
    counts = place - faces.images.astype(np.int64) * steps
    return np.minimum((510 * counts + photons) // (2 * photons), 255).astype(np.uint8)


def impulse_noise(faces: Faces, share: float) -> np.ndarray:
    """Make a share of the values, in 65,536ths, black or white, half of them each."""
    drawn = draws.sixteen(faces.streams, faces.images.shape[1:])
    black, hit = round(_LEVELS * share / 2), round(_LEVELS * share)
    return np.where(drawn < black, np.uint8(0), np.where(drawn < hit, np.uint8(255), faces.images))


@functools.lru_cache(maxsize=16)
def _poisson_edges(photons: int) -> np.ndarray:
    """Return the cumulative probabilities of 0, 1, … photons at each of 256 levels, in 65,536ths, level by level."""
    means = np.arange(256) * (photons / 255)
    highest = math.ceil(photons + 6 * math.sqrt(photons) + 8)
    terms = np.empty((256, highest + 1))
    terms[:, 0] = np.exp(-means)
    for count in range(1, highest + 1):
        terms[:, count] = terms[:, count - 1] * means / count
    edges = np.rint(np.minimum(np.cumsum(terms, axis=1), 1) * _LEVELS).astype(np.int32)
    return (edges + (np.arange(256, dtype=np.int32) << 17)[:, None]).reshape(-1)
