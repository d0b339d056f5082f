"""Faces of a video between the frames that the detector looks at.

Detection takes most of a frame's time, and faces move little within a tenth of a second. So some frames are looked at,
and between two of them each face goes in a straight line from one box to the other.
"""

import bisect
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces.detectors import Detections
from fer_tf.faces.reading import Reading
from fer_tf.recognition.tracking import pairs

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
