"""Faces made worse on purpose, in eighteen ways and five severities, and how a network bears it.

``corrupted(images, "gaussian_noise", severity=3, ids=ids)`` gives uint8 faces for uint8 faces. A face's result depends
on the seed, the corruption and its id alone, not on batches or order; what is drawn for it (directions, places, noise
before it is scaled) is the same at all severities. Severity 0 is the face as it is.

Facts of a row: ``group``; ``amounts`` of severities 1 to 5, given to the row's function; ``unit``, what they mean;
``exact``, whether the bits are the same on every machine (those of JPEG depend on the library inside Pillow, those of
masks on linear algebra); ``landmarks``, whether faces need them. Lengths are in pixels of a 48-pixel face.

References:
    Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, arXiv 1903.12261.
"""

from collections.abc import Sequence

import numpy as np

from fer_tf.errors import UserError
from fer_tf.registry import Registry, Row
from fer_tf.robustness import draws
from fer_tf.robustness.faces import Faces

SEVERITIES = (1, 2, 3, 4, 5)
# Faces are corrupted in pieces of so many values, whose temporaries stay in the cache.
PIECE_VALUES = 300_000
CORRUPTIONS = Registry("corruption")


def _add(group: str, module: str, name: str, amounts: tuple, unit: str, exact: bool = True, landmarks: bool = False):
    CORRUPTIONS.add(
        name, f"fer_tf.robustness.{module}:{name}",
        group=group, amounts=amounts, unit=unit, exact=exact, landmarks=landmarks,
    )  # fmt: skip


_add("light", "light", "brighter", (38, 77, 115, 147, 179), "gray levels added")
_add("light", "light", "darker", (0.6, 0.4, 0.25, 0.15, 0.08), "share of the light left")
_add("light", "light", "contrast", (0.6, 0.4, 0.25, 0.15, 0.08), "share of the contrast left")
_add("noise", "noise", "gaussian_noise", (8, 14, 22, 32, 46), "standard deviation in gray levels")
_add("noise", "noise", "shot_noise", (400, 150, 70, 35, 16), "photons of white")
_add("noise", "noise", "impulse_noise", (0.01, 0.03, 0.06, 0.1, 0.16), "share of values black or white")
_add("blur", "blurs", "gaussian_blur", (0.6, 0.9, 1.3, 1.8, 2.5), "standard deviation in pixels")
_add("blur", "blurs", "motion_blur", (3, 5, 7, 10, 14), "length in pixels")
_add("blur", "blurs", "defocus_blur", (1, 1.5, 2.2, 3, 4), "radius in pixels")
_add("encoding", "encoding", "jpeg", (60, 35, 20, 12, 7), "quality", exact=False)
_add("encoding", "encoding", "pixelate", (32, 24, 19, 16, 12), "cells a side")
_add("framing", "geometry", "rotation", (8, 15, 23, 32, 45), "degrees, one way or the other")
_add("framing", "geometry", "translation", (3, 6, 9, 12, 16), "pixels in one of eight directions")
_add("framing", "geometry", "scale", (1.12, 1.25, 1.45, 1.7, 2.0), "factor, larger or smaller")
_add("occlusion", "occlusion", "eyes", (0.4, 0.7, 1, 1.3, 1.6), "height of the band, 1 covers eyes and brows")
_add("occlusion", "occlusion", "mouth", (0.4, 0.7, 1, 1.3, 1.6), "height of the band, 1 covers the mouth")
_add("occlusion", "occlusion", "patch", (0.05, 0.1, 0.18, 0.28, 0.4), "share of the picture")
_add("mask", "masks", "mask", (0.9, 0.7, 0.5, 0.25, 0), "eye distances below its place", exact=False, landmarks=True)


def corrupted(
    images: np.ndarray,
    text: str,
    severity: int,
    seed: int = 0,
    ids: Sequence[str] | np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
) -> np.ndarray:
    """Corrupt faces.

    Args:
        images: uint8 (N, H, W, 1 or 3); they are not changed.
        text: call string of a row of ``CORRUPTIONS``, such as ``"patch(fill=0)"``.
        severity: 0 to 5; 0 returns a copy.
        seed: ≥ 0.
        ids: N names by which faces draw; ``None`` numbers them, and then the order matters.
        landmarks: float (N, 5 or 68, 2), x and y in pixels, for rows that need them.

    Returns:
        uint8, the shape of ``images``.

    Raises:
        UserError: an unknown corruption or option, a severity out of range, other pictures, missing landmarks.
    """
    row, _ = CORRUPTIONS.resolve(text)
    amount = amount_of(row, severity)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(f"images are {images.dtype} {images.shape}. Expected uint8 (N, H, W, 1 or 3).")
    if seed < 0:
        raise UserError(f"seed={seed!r} is negative. Expected 0 or more.")
    ids = range(len(images)) if ids is None else ids
    if len(ids) != len(images):
        raise UserError(f"{len(ids)} ids for {len(images)} images. Expected one for each.")
    out, streams = images.copy(), draws.keys(seed, row.name, ids)
    piece = max(1, PIECE_VALUES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images) if severity else 0, piece):
        part = slice(start, start + piece)
        points = None if landmarks is None else landmarks[part]
        out[part] = CORRUPTIONS.make(text, Faces(images[part], streams[part], points), amount)
    return out


def amount_of(row: Row, severity: int) -> float | None:
    """Return what a row's function is given at a severity; ``None`` at 0.

    Raises:
        UserError: a severity that is not 0 to 5.
    """
    if isinstance(severity, bool) or severity not in (0, *SEVERITIES):
        raise UserError(f"severity={severity!r} is out of range. Expected 0 to {SEVERITIES[-1]}.")
    return row.facts["amounts"][severity - 1] if severity else None
