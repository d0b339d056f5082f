"""Corrupt faces in eighteen ways; divide errors by those of a reference.

Each face has a stream of its own, named by seed, corruption and the face's id, so that neither batches nor order
matter. Only the raw words of NumPy's Philox generator are used, which NumPy promises never to change; its
distributions, which may change and use the machine's mathematical library, are not.

A face's result depends on the seed, the corruption and its id alone, not on batches or order; what is drawn for it
(directions, places, noise before it is scaled) is the same at all severities. Severity 0 is the unchanged face.

A row of ``CORRUPTIONS`` has the facts ``group``; ``amounts``, what its function is given at severities 1 to 5;
``unit``, what they mean; ``exact``, whether the bits are the same on every machine (those of JPEG depend on the library
inside Pillow, those of masks on linear algebra); ``landmarks``, whether faces need them. Lengths are in pixels of a
48-pixel face.

References:
    Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, arXiv 1903.12261; the errors
    are those of its section 4.2.
"""

import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from fer_tf.errors import UserError
from fer_tf.registry import Registry, Row

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
    out, streams = images.copy(), face_keys(seed, row.name, ids)
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


# The network that plays the part of ImageNet-C's AlexNet: it stays when a better one becomes the default.
NETWORK = "fer2013"
# Its errors on FER2013's test faces: robustness.json of ``fer-tf robustness fer2013 --dataset fer2013``.
STORED = Path(__file__).parent / "reference.json"


def corruption_error(errors: Sequence[float], reference: Sequence[float]) -> float:
    """Divide the sum of a network's errors over all severities by that of a reference (CE).

    Args:
        errors: Shares in [0, 1] of misclassified faces, one a severity.
        reference: Those of the reference network on the same faces.

    Returns:
        1 for a network like the reference, less for a better one; NaN where the reference makes no errors.

    Example:
        >>> corruption_error([0.1, 0.2, 0.3], reference=[0.2, 0.4, 0.6])
        0.5
    """
    return _ratio(math.fsum(errors), math.fsum(reference))


def relative_corruption_error(
    errors: Sequence[float], clean: float, reference: Sequence[float], reference_clean: float
) -> float:
    """Divide the sum of what corruption adds to the error by that of a reference (relative CE).

    Args:
        errors: Shares in [0, 1] of misclassified faces, one a severity.
        clean: The error on the same faces without corruption.
        reference: Errors of the reference network.
        reference_clean: Its error without corruption.

    Returns:
        1 for a network that loses as much as the reference; NaN where the reference loses nothing.

    Example:
        >>> round(relative_corruption_error([0.2, 0.3], 0.1, reference=[0.3, 0.5], reference_clean=0.1), 3)
        0.5
    """
    return _ratio(math.fsum(e - clean for e in errors), math.fsum(r - reference_clean for r in reference))


def mean_of_known(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan


@dataclass(frozen=True)
class NetworkErrors:
    """Errors of a network on some faces.

    Attributes:
        name: The network.
        clean: By corruption, share of misclassified faces among those that it is applied to, without corruption.
        corrupted: By corruption, shares at severities 1 to 5.
    """

    name: str
    clean: Mapping[str, float]
    corrupted: Mapping[str, Sequence[float]]

    def to_json(self, settings: Mapping[str, Any], landmarks: str | None) -> dict[str, Any]:
        """Return what ``read_errors`` reads.

        Args:
            settings: What must be equal for any errors to be compared.
            landmarks: Digest of the faces' landmarks.
        """
        rows = {
            text: {**known, "clean_error": self.clean[text], "errors": list(self.corrupted[text])}
            for text, known in _described(list(self.corrupted), landmarks).items()
        }
        return {"network": self.name, "settings": dict(settings), "corruptions": rows}


def read_errors(
    path: Path | str, settings: Mapping[str, Any], corruptions: Sequence[str], landmarks: str | None
) -> NetworkErrors:
    """Read the errors of an earlier run.

    Args:
        path: Its ``robustness.json``.
        settings: Settings of this run, see ``NetworkErrors.to_json``.
        corruptions: Corruptions of this run.
        landmarks: Digest of the landmarks of this run.

    Raises:
        UserError: There is no such file, or its errors are of other faces, another seed, or other corruptions.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        rows, theirs, name = stored["corruptions"], stored["settings"], stored["network"]
        for key, value in settings.items():
            if theirs.get(key) != value:
                raise UserError(f"{path} was measured with {key} {theirs.get(key)!r}, this run has {value!r}.")
        for text, known in _described(corruptions, landmarks).items():
            row = rows.get(text)
            if row is None or {key: row[key] for key in known} != known or len(row["errors"]) != len(SEVERITIES):
                raise UserError(f"{path} has no errors of {text!r} at the same severities and landmarks.")
        return NetworkErrors(
            name,
            {text: rows[text]["clean_error"] for text in corruptions},
            {text: tuple(rows[text]["errors"]) for text in corruptions},
        )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no robustness.json of an earlier run ({error}).") from None


def _described(corruptions: Sequence[str], landmarks: str | None) -> dict[str, dict[str, Any]]:
    """Return what must be equal for errors of a corruption to be compared: severities, and digest of landmarks."""
    rows = {text: CORRUPTIONS.resolve(text)[0].facts for text in corruptions}
    return {
        text: {"amounts": list(facts["amounts"]), "landmarks": landmarks if facts["landmarks"] else None}
        for text, facts in rows.items()
    }
