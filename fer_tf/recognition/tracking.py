"""Who is who from frame to frame of a video, and distributions smoothed over time.

A face is taken for the one of an earlier frame whose box it overlaps most (intersection over union), the pairs with the
largest overlap first. Nothing is known of a person but the place: two who change places in a moment change numbers.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from fer_tf.errors import UserError
from fer_tf.recognition.records import Analysed, Face

OVERLAP = 0.3
# Seconds after which a face that was not seen is forgotten.
PATIENCE = 1.0


@dataclass
class _Track:
    number: int
    box: np.ndarray
    time: float
    values: np.ndarray


def tracked(pictures: Iterable[Analysed], smooth: float = 0.0) -> Iterator[Analysed]:
    """Number the faces of videos by person, and smooth their distributions if asked; photographs pass as they are.

    Smoothing is exponential: after Δt seconds a new distribution has the weight 1 − exp(−Δt / ``smooth``), the earlier
    ones the rest, so that frames left out or a changing frame rate make no difference. Only the past is used.

    Args:
        pictures: frames of a video one after another; those of one source follow each other.
        smooth: time constant in seconds; 0 leaves distributions as they are.

    Raises:
        UserError: ``smooth`` is negative or no number.
    """
    if not 0 <= smooth < math.inf:
        raise UserError(f"smooth={smooth} is no time. Expected seconds, 0 or more.")
    return _tracked(pictures, smooth)


def _tracked(pictures: Iterable[Analysed], smooth: float) -> Iterator[Analysed]:
    source, people = None, _People(smooth)
    for picture in pictures:
        if picture.source != source:
            source, people = picture.source, _People(smooth)
        if picture.time is not None and picture.faces:
            picture = replace(picture, faces=people.see(picture.faces, picture.time))
        yield picture


class _People:
    """The faces that were seen lately in one video."""

    def __init__(self, smooth: float):
        self._smooth, self._seen, self._count = smooth, [], 0

    def see(self, faces: tuple[Face, ...], time: float) -> tuple[Face, ...]:
        """Return the faces of a frame with their numbers and smoothed distributions."""
        self._seen = [t for t in self._seen if time - t.time <= PATIENCE]
        boxes = np.array([face.box for face in faces], float)
        known = pairs(np.array([t.box for t in self._seen]).reshape(-1, 4), boxes)
        return tuple(self._follow(face, boxes[i], time, known.get(i)) for i, face in enumerate(faces))

    def _follow(self, face: Face, box: np.ndarray, time: float, known: int | None) -> Face:
        values = np.array(list(face.distribution.values()))
        if known is None:
            self._seen.append(_Track(self._count, box, time, values))
            self._count += 1
            return replace(face, track=self._count - 1)
        track = self._seen[known]
        if self._smooth:
            new = 1 - math.exp(-max(0.0, time - track.time) / self._smooth)
            values = new * values + (1 - new) * track.values
        track.box, track.time, track.values = box, time, values
        if not self._smooth:
            return replace(face, track=track.number)
        return face.with_distribution(dict(zip(face.distribution, map(float, values), strict=True)), track.number)


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each box (A, 4) with each (B, 4), as (A, B)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=-1) for b in (first, second)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)


def pairs(seen: np.ndarray, boxes: np.ndarray) -> dict[int, int]:
    """Return the index in ``seen`` of each of ``boxes`` that has one, the best overlaps first."""
    shares = overlaps(seen, boxes)
    found: dict[int, int] = {}
    for flat in np.argsort(-shares, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(boxes))
        if shares[i, j] < OVERLAP:
            break
        if j not in found and i not in found.values():
            found[j] = i
    return found
