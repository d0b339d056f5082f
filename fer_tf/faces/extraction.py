"""Detect, align and crop faces in a TensorFlow graph.

All operations have fixed output shapes and run eagerly, in ``tf.data.Dataset.map``, and in a SavedModel.
``RetinaFaceDetector.detect`` instead uses LiteRT and NumPy for photographs in memory, which is twice as fast.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.faces import detectors, retinaface
from fer_tf.faces.crop import check_photograph, cut
from fer_tf.faces.detectors import Detections
from fer_tf.faces.retinaface import GRID, anchors, decode
from fer_tf.models import complexity

# By so many quarters photographs are turned, one after the other, until their faces fit.
QUARTERS = (2, 1, 3)
# Where most faces fit, only the surroundings of so many others are turned; sides in sides of the face.
TURNED, AROUND = 8, 3.0
# Share of the union by which two detections are of one face, of which one does not fit, and by how much its score may
# be lower in the turned photograph.
SAME_FACE, LESS_SURE = 0.25, 0.02
# With size="auto": sides of faces below which smaller ones are looked for, and up to which size of photographs.
SMALL, LARGEST = 24, 2560
# Smaller photographs are enlarged for detection, since faces that fill them would be missed.
SMALLEST = 192
OVERLAP = 0.4
Tensors = dict[str, tf.Tensor]


class RetinaFaceDetector(tf.Module):
    """Detect faces with RetinaFace (arXiv 1905.00641), eagerly or in a graph.

    Example:
        >>> import numpy as np
        >>> from fer_tf.faces import RetinaFaceDetector
        >>> [found] = RetinaFaceDetector(threshold=0.8).detect([np.zeros((96, 96, 3), np.uint8)])
        >>> found.boxes.shape
        (0, 4)
    """

    concurrent = True

    def __init__(self, threshold: float = 0.9, size: int | str = 640, max_faces: int = 256, fast: bool = False):
        """Load the shipped network.

        Args:
            threshold: Lowest score of a face, between 0 and 1.
            size: Longer side in pixels to which larger photographs are scaled for detection; a larger value finds
                smaller faces and takes longer. ``"auto"`` means 640, and in ``detect`` twice and four times as much for
                larger photographs where no face was found, or one of fewer than ``SMALL`` pixels there.
            max_faces: Largest number of faces in a photograph.
            fast: Let ``detect`` use 8-bit weights after the backbone, which takes three quarters of the time.

        Raises:
            UserError: A value is out of range.
        """
        super().__init__(name="retinaface")
        self.auto = size == "auto"
        size = 640 if self.auto else size
        if not all(isinstance(n, int) for n in (size, max_faces)):
            raise UserError(f"size={size}, max_faces={max_faces}. Expected whole numbers, or size='auto'.")
        if not 0 < threshold < 1:
            raise UserError(f"threshold={threshold} is not a score. Expected a number between 0 and 1.")
        if not 64 <= size <= 8192:
            raise UserError(f"size={size} is out of range. Expected 64 to 8192 pixels.")
        if max_faces < 1:
            raise UserError(f"max_faces={max_faces}. Expected at least 1.")
        self.threshold, self.size, self.max_faces = threshold, size, max_faces
        self._parts = tuple(map(_runner, retinaface.FAST if fast else (retinaface.LITERT,)))

    def load(self) -> None:
        """Build the network for use in graphs."""
        if not hasattr(self, "_network"):
            self._network = retinaface.load()
            # Only raw variables are saved so that TensorFlow Serving finds them.
            self._weights = [v.value for v in self._network.variables]

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)], autograph=False)
    def prepare(self, photograph: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale a photograph for detection and pad it at the right and bottom.

        Args:
            photograph: RGB, uint8 (H, W, 3), not empty.

        Returns:
            uint8 (h, w, 3) with h and w multiples of ``GRID``, and the applied scale (float32).
        """
        shape = tf.shape(photograph)[:2]
        longer, one = tf.cast(tf.reduce_max(shape), tf.float64), tf.constant(1, tf.float64)
        # As ``_framed`` computes it, with the same roundings.
        scale = tf.cast(tf.maximum(tf.minimum(one, self.size / longer), SMALLEST / longer), tf.float32)
        size = tf.round(tf.cast(shape, tf.float64) * tf.cast(scale, tf.float64))
        wanted = tf.maximum(1, tf.cast(size, tf.int32))
        scaled = tf.cond(tf.equal(scale, 1.0), lambda: photograph, lambda: resize_like_pillow(photograph, wanted))
        missing = -wanted % GRID
        mean = tf.constant(retinaface.MEAN, tf.uint8)
        right = tf.broadcast_to(mean, (wanted[0], missing[1], 3))
        below = tf.broadcast_to(mean, (missing[0], wanted[1] + missing[1], 3))
        return tf.concat([tf.concat([scaled, right], 1), below], 0), scale

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((None,), tf.float32)],
        autograph=False,
    )
    def detect_batch(self, prepared: tf.Tensor, scales: tf.Tensor) -> Tensors:
        """Find the faces of prepared photographs.

        Args:
            prepared: uint8 (N, h, w, 3), see ``prepare``.
            scales: float32 (N,).

        Returns:
            ``count`` int32 (N,); ``scores`` float32 (N, M), ``boxes`` (N, M, 4) and ``landmarks`` (N, M, 5, 2) in
            pixels of the photographs, by falling score and zero after ``count``; M is ``max_faces``.
        """
        shape = tf.shape(prepared)
        found = self._network(prepared, training=False)
        places = anchors(shape[1], shape[2])
        signature = {
            "count": tf.TensorSpec((), tf.int32),
            "scores": tf.TensorSpec((self.max_faces,), tf.float32),
            "boxes": tf.TensorSpec((self.max_faces, 4), tf.float32),
            "landmarks": tf.TensorSpec((self.max_faces, 5, 2), tf.float32),
        }
        rows = (found["scores"], found["boxes"], found["landmarks"], scales)
        return tf.map_fn(lambda row: self._best(*row, places), rows, fn_output_signature=signature)

    def _best(
        self, scores: tf.Tensor, boxes: tf.Tensor, landmarks: tf.Tensor, scale: tf.Tensor, places: tf.Tensor
    ) -> Tensors:
        """Keep the anchors above the threshold after non-maximum suppression."""
        passing = tf.where(scores > self.threshold)[:, 0]
        scores, boxes, landmarks, places = (tf.gather(x, passing) for x in (scores, boxes, landmarks, places))
        boxes, landmarks = decode(boxes, landmarks, places)
        kept = tf.image.non_max_suppression(boxes, scores, self.max_faces, OVERLAP)
        scores, boxes, landmarks = (tf.gather(x, kept) for x in (scores, boxes / scale, landmarks / scale))
        return {
            "count": tf.size(kept),
            "scores": _filled(scores, self.max_faces),
            "boxes": _filled(boxes, self.max_faces),
            "landmarks": _filled(landmarks, self.max_faces),
        }

    def detect(self, photographs: Sequence[np.ndarray]) -> list[Detections]:
        """Find the faces of each photograph.

        Args:
            photographs: RGB, uint8 (H, W, 3), each of its own size.

        Raises:
            UserError: An array has another shape or type.
        """
        for photograph in photographs:
            check_photograph(photograph)
        if len(photographs) == 1:
            return [self._detected(photographs[0], alone=True)]
        return complexity.in_parallel(functools.partial(self._detected, alone=False), photographs)

    def _detected(self, photograph: np.ndarray, alone: bool) -> Detections:
        """Find the faces of a photograph, and look again for those that seem to be turned where they are upright."""
        found = self._upright(photograph, alone)
        doubtful = np.flatnonzero(~_fit(found))
        if not len(doubtful):
            return found
        if 2 * len(doubtful) >= len(found):
            return _joined(found, self._turned(photograph, found, alone), self.max_faces)
        new = []
        for i in doubtful[:TURNED]:
            part, corner = _around(photograph, found.boxes[i])
            one = _moved(found.take([i]), -corner)
            seen = self._turned(part, one, alone)
            new.append(_moved(seen.take(_overlap(seen, one).any(axis=1)), corner))
        return _joined(found, _together(new), self.max_faces)

    def _turned(self, picture: np.ndarray, found: Detections, alone: bool) -> Detections:
        """Find the faces that are upright in turned pictures, until all that did not fit are among them."""
        doubtful = found.take(~_fit(found))
        angle = np.median(detectors.aligned_frames(doubtful.landmarks)[:, 3])
        first, new = int(np.round(angle / (np.pi / 2))) % 4, found.take([])
        for quarter in sorted(QUARTERS, key=lambda q: q != first):
            seen = self._upright(np.ascontiguousarray(np.rot90(picture, quarter)), alone)
            new = _together([new, _turned_back(seen.take(_fit(seen)), quarter, picture.shape)])
            if _overlap(doubtful, new).any(axis=1).all():
                break
        return new

    def _upright(self, photograph: np.ndarray, alone: bool) -> Detections:
        """Find the faces of a photograph that are upright in it, at as many scales as it needs."""
        longest, size = max(photograph.shape[:2]), self.size
        found = self._at_size(photograph, size, alone)
        while self.auto and size < min(longest, LARGEST) and _some_small(found, size / longest):
            size *= 2
            both = _together([found, self._at_size(photograph, size, alone)])
            found = both.take(non_max_suppression(both.boxes, both.scores, self.max_faces))
        return found

    def _at_size(self, photograph: np.ndarray, size: int, alone: bool) -> Detections:
        """Find faces with LiteRT and NumPy; the result equals that of ``detect_batch``."""
        framed, scale = self._framed(photograph, size)
        found = functools.reduce(lambda given, part: part(given, alone), self._parts, {"framed": framed[None]})
        scores = found["scores"][0]
        passing = scores > self.threshold
        places = _places(framed.shape[0] - 2, framed.shape[1] - 2)
        rows = (row[passing] for row in (found["boxes"][0], found["landmarks"][0], places))
        scores, (boxes, landmarks) = scores[passing], decode(*rows)
        kept = non_max_suppression(boxes, scores, self.max_faces)
        return Detections(scores[kept], boxes[kept] / scale, landmarks[kept] / scale)

    def _framed(self, photograph: np.ndarray, size: int) -> tuple[np.ndarray, np.float32]:
        """Prepare a photograph as ``prepare`` does, with the border that the LiteRT file expects.

        Pillow's resizing, which first reduces by whole factors, is many times as fast as TensorFlow's.

        Returns:
            float32 (2 + h, 2 + w, 3) and the scale that was applied.
        """
        shape = np.array(photograph.shape[:2])
        scale = np.float32(max(min(1.0, size / shape.max()), SMALLEST / shape.max()))
        height, width = np.maximum(1, np.round(shape * scale).astype(int))
        if scale != 1:
            picture = Image.fromarray(photograph)
            photograph = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=1.0))
        framed = np.empty((2 + height + -height % GRID, 2 + width + -width % GRID, 3), np.float32)
        framed[1 : height + 1, 1 : width + 1] = photograph
        framed[0], framed[height + 1 :] = retinaface.MEAN, retinaface.MEAN
        framed[:, 0], framed[:, width + 1 :] = retinaface.MEAN, retinaface.MEAN
        return framed, scale


def _some_small(found: Detections, scale: float) -> bool:
    """Return whether there is no face, or one that is small at a scale: others may be too small for it."""
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0)
    return not len(sides) or sides.min() * scale < SMALL


def _fit(found: Detections) -> np.ndarray:
    """Return whether faces (F,) are upright and their landmarks are arranged as those of a face."""
    return detectors.upright(found.landmarks) & detectors.plausible(found.boxes, found.landmarks)


def _overlap(first: Detections, second: Detections) -> np.ndarray:
    return detectors.iou(first.boxes, second.boxes) > SAME_FACE


def _around(photograph: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the surroundings of a face, as far as the photograph goes, and x, y of their corner."""
    middle, reach = (box[:2] + box[2:]) / 2, AROUND / 2 * (box[2:] - box[:2]).max()
    low = np.floor(middle - reach).astype(int).clip(0, np.array(photograph.shape[1::-1]) - 1)
    high = np.maximum(np.ceil(middle + reach).astype(int), low + 1)
    return photograph[low[1] : high[1], low[0] : high[0]], low.astype(np.float32)


def _moved(found: Detections, by: np.ndarray) -> Detections:
    return Detections(found.scores, found.boxes + np.tile(by, 2), found.landmarks + by)


def _together(parts: Sequence[Detections]) -> Detections:
    return Detections(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("scores", "boxes", "landmarks")))


def _turned_back(found: Detections, quarter: int, shape: Sequence[int]) -> Detections:
    """Place what was found in ``np.rot90(picture, quarter)`` in the picture (H, W, …)."""
    height, width = shape[:2]
    corners = found.boxes.reshape(-1, 2, 2)
    points = np.concatenate([corners, found.landmarks], axis=1)
    x, y = points[..., 0], points[..., 1]
    x, y = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarter]
    points = np.stack([x, y], axis=-1)
    boxes = np.concatenate([points[:, :2].min(axis=1), points[:, :2].max(axis=1)], axis=1)
    return Detections(found.scores, boxes, points[:, 2:])


def _joined(found: Detections, new: Detections, most: int) -> Detections:
    """Put the faces of turned pictures in the places of those that did not fit, unless they are found less surely."""
    fit = _fit(found)
    same = _overlap(found, new) & ~fit[:, None]
    sure = new.scores[None] >= found.scores[:, None] - LESS_SURE
    found, new = found.take(~(same & sure).any(axis=1)), new.take(~(same & ~sure).any(axis=0))
    both = _together([found, new])
    kept = non_max_suppression(both.boxes, both.scores + np.append(_fit(found), np.ones(len(new))), most)
    return both.take(sorted(kept, key=lambda i: -both.scores[i]))


def non_max_suppression(boxes: np.ndarray, scores: np.ndarray, most: int) -> list[int]:
    """Select boxes by falling score that do not overlap a selected one.

    Args:
        boxes: float32 (A, 4), x0, y0, x1, y1.
        scores: float32 (A,).
        most: Largest number of boxes to select.

    Returns:
        Indices by falling score. Two boxes overlap if their intersection over union is above ``OVERLAP``.
    """
    order, kept = np.argsort(-scores, kind="stable"), []
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    while len(order) and len(kept) < most:
        best, others = order[0], order[1:]
        kept.append(int(best))
        low, high = np.maximum(boxes[best, :2], boxes[others, :2]), np.minimum(boxes[best, 2:], boxes[others, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        order = others[shared <= OVERLAP * (areas[best] + areas[others] - shared)]
    return kept


class FaceExtractor(tf.Module):
    """Extract aligned faces from a photograph in one graph function.

    Example:
        >>> import numpy as np
        >>> from fer_tf.faces import FaceExtractor
        >>> extract = FaceExtractor(size=112, max_faces=4)
        >>> found = extract(np.zeros((96, 96, 3), np.uint8))
        >>> found["faces"].shape, int(found["count"])
        (TensorShape([4, 112, 112, 3]), 0)
    """

    def __init__(
        self,
        size: int = 224,
        max_faces: int = 16,
        align: bool = True,
        margin: float = 0.0,
        detector: RetinaFaceDetector | None = None,
    ):
        """Set up the extraction.

        Args:
            size: Side of a face in pixels.
            max_faces: Largest number M of faces in a photograph.
            align: Level the eyes (``aligned_frames``); ``False`` crops the square around the box.
            margin: Fraction by which the square grows.
            detector: ``None`` creates one with its defaults.

        Raises:
            UserError: A value is out of range.
        """
        super().__init__(name="face_extractor")
        if not all(isinstance(n, int) and n >= 1 for n in (size, max_faces)):
            raise UserError(f"size={size}, max_faces={max_faces}. Expected whole numbers of at least 1.")
        if not -1 < margin < 100:
            raise UserError(f"margin={margin}. Expected a share of the side, more than -1.")
        self.size, self.max_faces, self.align, self.margin = size, max_faces, align, margin
        self.detector = detector or RetinaFaceDetector()
        self.detector.load()

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)], autograph=False)
    def __call__(self, photograph: tf.Tensor) -> Tensors:
        """Detect, align and crop the faces of a photograph.

        Faces of a large photograph are detected in a smaller copy and cropped from the photograph itself.

        Args:
            photograph: RGB, uint8 (H, W, 3), not empty.

        Returns:
            ``count`` int32 (); ``faces`` uint8 (M, size, size, 3); ``scores`` float32 (M,), ``boxes`` (M, 4),
            ``landmarks`` (M, 5, 2) and ``frames`` (M, 4) in pixels of the photograph; zeros after ``count``.
        """
        prepared, scale = self.detector.prepare(photograph)
        found = {k: v[0] for k, v in self.detector.detect_batch(prepared[None], scale[None]).items()}
        count = tf.minimum(found["count"], self.max_faces)
        scores, boxes, landmarks = (found[k][:count] for k in ("scores", "boxes", "landmarks"))
        if self.align:
            frames = detectors.aligned_frames(landmarks, self.margin)
        else:
            frames = detectors.square_frames(boxes, self.margin)
        rows = {
            "faces": cut(photograph, frames, self.size), "scores": scores, "boxes": boxes, "landmarks": landmarks,
            "frames": frames,
        }  # fmt: skip
        return {"count": count, **{name: _filled(row, self.max_faces) for name, row in rows.items()}}


@functools.cache
def _runner(path: Path) -> complexity.LiteRTRunner:
    return complexity.LiteRTRunner(path.read_bytes())


@functools.lru_cache(maxsize=8)
def _places(height: int, width: int) -> np.ndarray:
    return anchors(height, width)


def resize_like_pillow(photograph: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Resize in a graph as Pillow does with ``BILINEAR`` and ``reducing_gap=1.0``, to the last bit.

    Blocks of whole pixels are averaged first, then each side is resampled by a triangle filter.

    Args:
        photograph: uint8 (H, W, channels).
        wanted: int32 (2,), height and width.

    Returns:
        uint8 (height, width, channels).

    Example:
        >>> import numpy as np
        >>> from fer_tf.faces.extraction import resize_like_pillow
        >>> resize_like_pillow(np.full((90, 60, 3), 7, np.uint8), [30, 20]).shape
        TensorShape([30, 20, 3])
    """
    shape, wanted = tf.shape(photograph)[:2], tf.convert_to_tensor(wanted)
    factors = tf.maximum(1, shape // wanted)
    # Pillow passes sizes that are no whole numbers on in single precision.
    extent = tf.cast(tf.cast(shape / factors, tf.float32), tf.float64)
    small = tf.cond(tf.reduce_any(factors > 1), lambda: _averaged(photograph, factors), lambda: photograph)
    return _resampled(_resampled(small, 1, extent[1], wanted[1]), 0, extent[0], wanted[0])


# Rows that are averaged at a time, and bits of Pillow's fixed-point numbers.
_BAND, _BITS, _MEAN_BITS = 16, 22, 24
_TAPS = 5


def _averaged(photograph: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Average blocks of ``factors`` pixels; at the lower and right edge, what there is of them."""
    shape, channels = tf.shape(photograph)[:2], tf.shape(photograph)[2]
    size, rows = -(-shape // factors), _BAND * factors[0]

    def band(number: tf.Tensor) -> tf.Tensor:
        part = photograph[number * rows : (number + 1) * rows]
        missing = [[0, rows - tf.shape(part)[0]], [0, size[1] * factors[1] - shape[1]], [0, 0]]
        part = tf.reshape(tf.pad(part, missing), tf.stack([_BAND, factors[0], -1]))
        part = tf.reduce_sum(tf.cast(part, tf.int32), 1)
        return tf.reduce_sum(tf.reshape(part, tf.stack([_BAND, size[1], factors[1], channels])), 2)

    signature = tf.TensorSpec((_BAND, None, photograph.shape[2]), tf.int32)
    sums = tf.map_fn(band, tf.range(-(-size[0] // _BAND)), fn_output_signature=signature)
    sums = tf.reshape(sums, tf.stack([-1, size[1], channels]))[: size[0]]
    high, wide = (tf.minimum(factors[i], shape[i] - tf.range(size[i]) * factors[i]) for i in (0, 1))
    count = (high[:, None] * wide)[..., None]
    # Pillow multiplies by a reciprocal instead of dividing.
    reciprocal = 2**_MEAN_BITS // tf.cast(count, tf.int64)
    return tf.cast(tf.cast(sums + count // 2, tf.int64) * reciprocal // 2**_MEAN_BITS, tf.uint8)


def _resampled(x: tf.Tensor, axis: int, extent: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Resample an axis, of which ``extent`` pixels become ``wanted``; less than two become one."""
    length = tf.shape(x)[axis]
    step = extent / tf.cast(wanted, tf.float64)
    reach, center = tf.maximum(step, 1.0), (tf.range(wanted, dtype=tf.float64) + 0.5) * step
    low = tf.maximum(0, tf.cast(tf.floor(center - reach + 0.5), tf.int32))
    high = tf.minimum(length, tf.cast(tf.floor(center + reach + 0.5), tf.int32))
    places = low[:, None] + tf.range(_TAPS)
    weights = tf.nn.relu(1 - tf.abs((tf.cast(places, tf.float64) - center[:, None] + 0.5) / reach))
    weights *= tf.cast(places < high[:, None], tf.float64)
    weights = tf.floor(weights / tf.reduce_sum(weights, 1, keepdims=True) * 2**_BITS + 0.5)
    weights = tf.reshape(tf.transpose(tf.cast(weights, tf.int32)), (_TAPS, -1, 1) if axis else (_TAPS, -1, 1, 1))
    places = tf.minimum(places, length - 1)
    whole = tf.cast(x, tf.int32)
    total = sum(tf.gather(whole, places[:, i], axis=axis) * weights[i] for i in range(_TAPS))
    return tf.cast(tf.clip_by_value((total + 2 ** (_BITS - 1)) // 2**_BITS, 0, 255), tf.uint8)


def _filled(rows: tf.Tensor, length: int) -> tf.Tensor:
    """Append zero rows, so that the shape is known."""
    missing = tf.zeros(tf.concat([[length - tf.shape(rows)[0]], tf.shape(rows)[1:]], 0), rows.dtype)
    return tf.ensure_shape(tf.concat([rows, missing], 0), (length, *rows.shape[1:]))
