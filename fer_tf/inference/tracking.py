"""Who is who from frame to frame of a video, and distributions smoothed over time.

A face is taken for the one of an earlier frame whose box it overlaps most (intersection over union), the pairs with the
largest overlap first. Nothing is known of a person but the place: two who change places in a moment change numbers.
"""

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces.detectors import Detections
from fer_tf.faces.reading import Reading
from fer_tf.inference.records import Face, ImageResult

OVERLAP = 0.3
# Seconds after which a face that was not seen is forgotten.
PATIENCE = 1.0


@dataclass
class _Track:
    number: int
    box: np.ndarray
    time: float
    values: np.ndarray


def tracked(pictures: Iterable[ImageResult], smooth: float = 0.0) -> Iterator[ImageResult]:
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


def _tracked(pictures: Iterable[ImageResult], smooth: float) -> Iterator[ImageResult]:
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


# Seconds from one look to the next: every fourth frame of 25 or 30 a second.
GAP = 0.16
# Mean difference of two frames' levels from which on the second is taken for another scene, and the pixels compared.
SCENE, STRIDE = 24.0, 16
Detect = Callable[[list[np.ndarray]], list[Detections]]


def detected(readings: Sequence[Reading], detect: Detect, gap: float = GAP) -> list[Detections]:
    """Return the faces of pictures of which the detector sees the key frames.

    A face that overlaps itself in two key frames has its box and landmarks on the straight line between them, and the
    lower of both scores; the line goes on before the first key frame and after the last one. A face that is in one of
    the two only is in the frames nearer to it, as it was there.

    Args:
        readings: pictures; frames of one video follow each other.
        detect: returns the faces of each of several pictures.
        gap: seconds from one key frame to the next at most; 0 makes every frame one. Photographs always are.
    """
    looks = [(scene, _keys(scene, readings, gap)) for scene in _scenes(readings)]
    keys = [i for _, seen in looks for i in seen]
    found = dict(zip(keys, detect([readings[i].picture for i in keys]), strict=True))
    for scene, seen in looks:
        for i in scene:
            if i not in found:
                later = min(max(bisect.bisect(seen, i), 1), len(seen) - 1)
                before, after = seen[later - 1], seen[later]
                found[i] = _between(found[before], found[after], (i - before) / max(1, after - before))
    return [found[i] for i in range(len(readings))]


def check_gap(gap: float) -> float:
    """Return the seconds from one look to the next, or raise a ``UserError`` where they are negative or no number."""
    if not 0 <= gap < math.inf:
        raise UserError(f"follow={gap} is no time. Expected seconds, 0 or more.")
    return gap


def _keys(scene: range, readings: Sequence[Reading], gap: float) -> list[int]:
    """Return the middles of ``step`` frames each, and the last frame where the last of them is far from it.

    Three frames and more have two keys at least, without which there would be no line.
    """
    step = 1
    if len(scene) > 1:
        apart = (readings[scene[-1]].time - readings[scene[0]].time) / (len(scene) - 1)
        step = max(1, int(gap / apart + 1e-6)) if apart > 0 else 1
    keys = list(scene[(min(step, len(scene)) - 1) // 2 :: step])
    if len(scene) > 2 and len(keys) == 1 < step:
        return [scene[0], scene[-1]]
    return keys if scene[-1] - keys[-1] <= step // 2 else [*keys, scene[-1]]


def _scenes(readings: Sequence[Reading]) -> Iterator[range]:
    """Yield the pictures in runs of one scene of one video; each photograph is a run."""
    start = 0
    for i in range(1, len(readings) + 1):
        if i == len(readings) or not _goes_on(readings[i - 1], readings[i]):
            yield range(start, i)
            start = i


def _goes_on(first: Reading, second: Reading) -> bool:
    if first.time is None or second.time is None or first.source != second.source:
        return False
    if first.picture.shape != second.picture.shape:
        return False
    before, now = (r.picture[::STRIDE, ::STRIDE].astype(np.int16) for r in (first, second))
    return float(np.abs(now - before).mean()) < SCENE


def _between(before: Detections, after: Detections, share: float) -> Detections:
    """Return the faces ``share`` of the way from one frame to another."""
    known = pairs(before.boxes, after.boxes)
    i, j = (np.array(list(rows), int) for rows in (known.values(), known))
    both = Detections(
        np.minimum(before.scores[i], after.scores[j]),
        (1 - share) * before.boxes[i] + share * after.boxes[j],
        (1 - share) * before.landmarks[i] + share * after.landmarks[j],
    )
    nearer, known_there = (before, i) if share <= 0.5 else (after, j)
    alone = nearer.take(np.setdiff1d(np.arange(len(nearer)), known_there))
    columns = (np.concatenate([getattr(d, name) for d in (both, alone)]) for name in ("scores", "boxes", "landmarks"))
    found = Detections(*columns)
    return found.take(np.argsort(-found.scores, kind="stable"))
