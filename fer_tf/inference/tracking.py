"""Track faces through a video and smooth their predictions.

A face gets the identity of the earlier face whose box it overlaps most (intersection over union); pairs with the
largest overlap are matched first. Only positions are used, so two people who change places swap identities.

Detection takes most of a frame's time, and faces move little within a tenth of a second. Therefore the detector sees
some frames only, the key frames, and boxes are interpolated linearly between them.
"""

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces.detectors import Detections, iou
from fer_tf.inference.output import Face, ImageResult
from fer_tf.io.video import InputImage

OVERLAP = 0.3
# Seconds after which a face that has not been seen is dropped.
PATIENCE = 1.0


@dataclass
class _Track:
    number: int
    box: np.ndarray
    time: float
    values: np.ndarray


def tracked(pictures: Iterable[ImageResult], smooth: float = 0.0) -> Iterator[ImageResult]:
    """Assign track numbers to the faces of videos and smooth their distributions.

    Smoothing is exponential and causal: after Δt seconds a new distribution has the weight 1 − exp(−Δt / ``smooth``)
    and the earlier ones have the rest, so that skipped frames or a changing frame rate make no difference. Photographs
    pass unchanged.

    Args:
        pictures: Results in the order of time; the frames of one source follow each other.
        smooth: Time constant in seconds; 0 means no smoothing.

    Returns:
        An iterator over the results, with ``Face.track`` set.

    Raises:
        UserError: ``smooth`` is negative or not finite.
    """
    if not 0 <= smooth < math.inf:
        raise UserError(f"smooth={smooth} is no time. Expected seconds, 0 or more.")
    return _tracked(pictures, smooth)


def _tracked(pictures: Iterable[ImageResult], smooth: float) -> Iterator[ImageResult]:
    source, last, people = None, -math.inf, _People(smooth)
    for picture in pictures:
        now = -math.inf if picture.frame is None else picture.frame
        # The same video may be given twice, so that its frames begin again.
        if picture.source != source or now < last:
            source, people = picture.source, _People(smooth)
        last = now
        if picture.time is not None and picture.faces:
            picture = replace(picture, faces=people.see(picture.faces, picture.time))
        yield picture


class _People:
    """Keep the faces that were seen lately in one video."""

    def __init__(self, smooth: float):
        self._smooth, self._seen, self._count = smooth, [], 0

    def see(self, faces: tuple[Face, ...], time: float) -> tuple[Face, ...]:
        """Return the faces of a frame with track numbers and smoothed distributions."""
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


def pairs(seen: np.ndarray, boxes: np.ndarray) -> dict[int, int]:
    """Match boxes to earlier ones by overlap; return a dict from the index in ``boxes`` to that in ``seen``."""
    shares = iou(seen, boxes)
    found: dict[int, int] = {}
    for flat in np.argsort(-shares, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(boxes))
        if shares[i, j] < OVERLAP:
            break
        if j not in found and i not in found.values():
            found[j] = i
    return found


# Seconds between key frames: every fourth frame at 25 or 30 frames a second.
GAP = 0.16
# A mean difference of gray levels above SCENE starts a new scene; every STRIDE-th pixel is compared.
SCENE, STRIDE = 24.0, 16
Detect = Callable[[list[np.ndarray]], list[Detections]]


def detect_key_frames(readings: Sequence[InputImage], detect: Detect, gap: float = GAP) -> list[Detections]:
    """Detect faces in key frames and interpolate them in the frames between.

    A face whose boxes overlap in two key frames gets linearly interpolated boxes and landmarks and the lower of both
    scores; the line also extends before the first and after the last key frame. A face that is in only one of the two
    stays unchanged in the frames nearer to that one.

    Args:
        readings: Images; the frames of one video follow each other.
        detect: Function from a list of images to the detections in each.
        gap: Largest interval between key frames, in seconds; with 0 every frame is a key frame. A photograph always is.

    Returns:
        The detections in each image.
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
    """Return ``gap`` in seconds; raise a ``UserError`` if it is negative or not finite."""
    if not 0 <= gap < math.inf:
        raise UserError(f"follow={gap} is no time. Expected seconds, 0 or more.")
    return gap


def _keys(scene: range, readings: Sequence[InputImage], gap: float) -> list[int]:
    """Return the key frames of a scene: the middle of every ``step`` frames, and the last frame if it is far away.

    A scene of three or more frames has at least two key frames, since interpolation needs two.
    """
    step = 1
    if len(scene) > 1:
        apart = (readings[scene[-1]].time - readings[scene[0]].time) / (len(scene) - 1)
        step = max(1, int(gap / apart + 1e-6)) if apart > 0 else 1
    keys = list(scene[(min(step, len(scene)) - 1) // 2 :: step])
    if len(scene) > 2 and len(keys) == 1 < step:
        return [scene[0], scene[-1]]
    return keys if scene[-1] - keys[-1] <= step // 2 else [*keys, scene[-1]]


def _scenes(readings: Sequence[InputImage]) -> Iterator[range]:
    """Split images into scenes: consecutive similar frames of one video, or a single photograph."""
    start = 0
    for i in range(1, len(readings) + 1):
        if i == len(readings) or not _goes_on(readings[i - 1], readings[i]):
            yield range(start, i)
            start = i


def _goes_on(first: InputImage, second: InputImage) -> bool:
    if first.time is None or second.time is None or first.source != second.source:
        return False
    if first.picture.shape != second.picture.shape:
        return False
    before, now = (r.picture[::STRIDE, ::STRIDE].astype(np.int16) for r in (first, second))
    return float(np.abs(now - before).mean()) < SCENE


def _between(before: Detections, after: Detections, share: float) -> Detections:
    """Interpolate detections at the fraction ``share`` of the way from one frame to another."""
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
