"""Corrupt faces in eighteen ways at five severities.

A face's result depends on the seed, the corruption and its id alone, not on batches or order; what is drawn for it
(directions, places, noise before it is scaled) is the same at all severities. Severity 0 is the unchanged face.

A row of ``CORRUPTIONS`` has the facts ``group``; ``amounts``, what its function is given at severities 1 to 5;
``unit``, what they mean; ``exact``, whether the bits are the same on every machine (those of JPEG depend on the library
inside Pillow, those of masks on linear algebra); ``landmarks``, whether faces need them. Lengths are in pixels of a
48-pixel face.

References:
    Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, arXiv 1903.12261.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError
from fer_tf.registry import Registry, Row
from fer_tf.robustness import rng

SEVERITIES = (1, 2, 3, 4, 5)
CORRUPTIONS = Registry("corruption")
for _group, _module, _name, _amounts, _unit in (
    ("light", "effects", "brighter", (38, 77, 115, 147, 179), "gray levels added"),
    ("light", "effects", "darker", (0.6, 0.4, 0.25, 0.15, 0.08), "share of the light left"),
    ("light", "effects", "contrast", (0.6, 0.4, 0.25, 0.15, 0.08), "share of the contrast left"),
    ("noise", "effects", "gaussian_noise", (8, 14, 22, 32, 46), "standard deviation in gray levels"),
    ("noise", "effects", "shot_noise", (400, 150, 70, 35, 16), "photons of white"),
    ("noise", "effects", "impulse_noise", (0.01, 0.03, 0.06, 0.1, 0.16), "share of values black or white"),
    ("blur", "effects", "gaussian_blur", (0.6, 0.9, 1.3, 1.8, 2.5), "standard deviation in pixels"),
    ("blur", "effects", "motion_blur", (3, 5, 7, 10, 14), "length in pixels"),
    ("blur", "effects", "defocus_blur", (1, 1.5, 2.2, 3, 4), "radius in pixels"),
    ("encoding", "effects", "jpeg", (60, 35, 20, 12, 7), "quality"),
    ("encoding", "effects", "pixelate", (32, 24, 19, 16, 12), "cells a side"),
    ("framing", "effects", "rotation", (8, 15, 23, 32, 45), "degrees, one way or the other"),
    ("framing", "effects", "translation", (3, 6, 9, 12, 16), "pixels in one of eight directions"),
    ("framing", "effects", "scale", (1.12, 1.25, 1.45, 1.7, 2.0), "factor, larger or smaller"),
    ("occlusion", "effects", "eyes", (0.4, 0.7, 1, 1.3, 1.6), "height of the band, 1 covers eyes and brows"),
    ("occlusion", "effects", "mouth", (0.4, 0.7, 1, 1.3, 1.6), "height of the band, 1 covers the mouth"),
    ("occlusion", "effects", "patch", (0.05, 0.1, 0.18, 0.28, 0.4), "share of the picture"),
    ("mask", "effects", "mask", (0.9, 0.7, 0.5, 0.25, 0), "eye distances below its place"),
):
    CORRUPTIONS.add(
        _name, f"fer_tf.robustness.{_module}:{_name}", group=_group, amounts=_amounts, unit=_unit,
        exact=_name not in ("jpeg", "mask"), landmarks=_name == "mask",
    )  # fmt: skip

# Lengths are told in pixels of faces of this height, and grow with the picture.
_SIDE = 48
# Faces are corrupted in pieces of so many values, whose temporaries stay in the cache.
_PIECE_VALUES = 300_000


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """Faces to corrupt.

    Attributes:
        images: uint8 (N, H, W, 1 or 3); never changed.
        streams: N keys of ``rng``.
        landmarks: float (N, 5 or 68, 2), x and y in pixels, or ``None``.
    """

    images: np.ndarray
    streams: Sequence[int]
    landmarks: np.ndarray | None = None

    @property
    def scale(self) -> float:
        """Return the size of a pixel of a 48-pixel face, in pixels of these pictures."""
        return self.images.shape[1] / _SIDE


def corrupt(
    images: np.ndarray,
    identifier: str,
    severity: int,
    seed: int = 0,
    ids: Sequence[str] | np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
) -> np.ndarray:
    """Corrupt faces in one way, at one severity.

    Args:
        images: uint8 (N, H, W, 1 or 3); they are not changed.
        identifier: Call string of a row of ``CORRUPTIONS``, such as ``"patch(fill=0)"``.
        severity: 0 to 5; 0 returns a copy.
        seed: ≥ 0.
        ids: N names, by which the random numbers of faces are drawn; ``None`` numbers the faces, and then their order
            matters.
        landmarks: float (N, 5 or 68, 2), x and y in pixels, for rows that need them.

    Returns:
        uint8, the shape of ``images``.

    Raises:
        UserError: The corruption or an option is unknown, the severity is out of range, the pictures have another shape
            or type, or landmarks are missing.

    Example:
        >>> import numpy as np
        >>> from fer_tf import robustness
        >>> faces = np.full((2, 48, 48, 1), 100, np.uint8)
        >>> int(robustness.corrupt(faces, "brighter", severity=1)[0, 0, 0, 0])
        138
        >>> noisy = robustness.corrupt(faces, "gaussian_noise", severity=3, ids=["anna", "ben"])
        >>> noisy.shape, noisy.dtype
        ((2, 48, 48, 1), dtype('uint8'))
    """
    row, _ = CORRUPTIONS.resolve(identifier)
    amount = _amount(row, severity)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(f"images are {images.dtype} {images.shape}. Expected uint8 (N, H, W, 1 or 3).")
    if seed < 0:
        raise UserError(f"seed={seed!r} is negative. Expected 0 or more.")
    ids = range(len(images)) if ids is None else ids
    if len(ids) != len(images):
        raise UserError(f"{len(ids)} ids for {len(images)} images. Expected one for each.")
    out, streams = images.copy(), rng.face_keys(seed, row.name, ids)
    piece = max(1, _PIECE_VALUES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images) if severity else 0, piece):
        part = slice(start, start + piece)
        points = None if landmarks is None else landmarks[part]
        out[part] = CORRUPTIONS.make(identifier, FaceBatch(images[part], streams[part], points), amount)
    return out


def _amount(row: Row, severity: int) -> float | None:
    """Return what a row's function is given at a severity; ``None`` at 0."""
    if isinstance(severity, bool) or severity not in (0, *SEVERITIES):
        raise UserError(f"severity={severity!r} is out of range. Expected 0 to {SEVERITIES[-1]}.")
    return row.facts["amounts"][severity - 1] if severity else None
