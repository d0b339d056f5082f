"""Photographs and videos in, faces with distributions out: read ahead, detect, align, cut out, recognise."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces import frames as geometry
from fer_tf.faces import reading
from fer_tf.faces.crops import WHICH, choose
from fer_tf.faces.cutting import crop_faces
from fer_tf.faces.detectors import Detections, Detector, build
from fer_tf.faces.reading import Reading
from fer_tf.inference.classifier import BATCH, ExpressionClassifier
from fer_tf.inference.records import Face, ImageResult
from fer_tf.inference.tracking import GAP, check_gap, detected

DETECTOR = "retinaface"


class FacePipeline:
    """A detector and a network at work on pictures, a batch at a time; what is in memory does not grow."""

    def __init__(
        self,
        model: keras.Model | Path | str = "default",
        detector: Detector | str | None = None,
        faces: str = "all",
        flip: bool = False,
        crop: bool = True,
        follow: float = GAP,
        fast: bool = False,
    ):
        """Load the networks; they are compiled at the first picture.

        Args:
            model: as ``ExpressionClassifier`` takes it.
            detector: a detector, or a call string such as ``"retinaface(size=1024)"``; ``None`` for RetinaFace.
            faces: which of a picture: ``all``, ``largest``, or the most ``central``.
            flip: average over a face and its mirror: slightly better, twice the network's time.
            crop: find faces; else each picture is one face, framed as FER2013 frames them.
            follow: seconds of a video within which the detector looks at one frame, and faces between two looks are
                followed (``fer_tf.inference.tracking``); 0 looks at every frame.
            fast: weights of 8 bits, as ``ExpressionClassifier`` takes it, and in RetinaFace unless a detector is given.

        Raises:
            UserError: an unknown name, a value out of range, or a model that cannot be used.
        """
        if faces not in WHICH:
            raise UserError(f"faces={faces!r} is unknown. Expected {', '.join(WHICH)}.")
        self.faces, self.crop, self.follow = faces, crop, check_gap(follow)
        self.classifier = ExpressionClassifier(model, flip, fast)
        self.label_set = self.classifier.label_set
        if crop:
            own = f"{DETECTOR}(fast=True)" if fast else DETECTOR
            self.detector = build(detector or own) if detector is None or isinstance(detector, str) else detector
            concurrent = getattr(self.detector, "concurrent", False)
            self._turn = contextlib.nullcontext() if concurrent else threading.Lock()

    def analyze(self, sources: Iterable[tuple[Path, str]], every: int = 1) -> Iterator[ImageResult]:
        """Analyze photographs and videos as they are read, in order.

        Args:
            sources: files and what to call them; videos are told by their suffix and need the extra ``video``.
            every: take every n-th frame of a video.

        Yields:
            One result a photograph and a frame, also where there is no face; one with a reason for what cannot be
            read. The end of a damaged video is a result of its own.
        """
        return self.analyze_batches(reading.batches(sources, every))

    def analyze_batches(self, batches: Iterable[list[Reading]]) -> Iterator[ImageResult]:
        """Analyze what was read elsewhere; two batches are worked on at once."""
        for _, found in reading.two_at_a_time(self.analyze_batch, batches):
            yield from found

    def analyze_batch(self, batch: Sequence[Reading]) -> list[ImageResult]:
        """Analyze pictures at once: their faces share the network's batches.

        Args:
            batch: pictures, each of its own size, or reasons; what has neither, the end of a video, is left out.
        """
        read = [r for r in batch if r.picture is not None]
        rows = self._rows(read) if read else []
        faces = {id(r): self._records(r, *row) for r, row in zip(read, rows, strict=True)}
        return [
            ImageResult(r.source, r.video_frame, r.time, r.picture, faces.get(id(r), ()), r.reason)
            for r in batch
            if r.picture is not None or r.reason
        ]

    def _rows(self, read: Sequence[Reading]) -> list[tuple[Detections, np.ndarray]]:
        """Return each picture's faces and their distributions (F, C)."""
        pictures = [r.picture for r in read]
        if not self.crop:
            return list(zip(map(_whole, pictures), self.classifier.predict(pictures)[:, None], strict=True))
        with self._turn:
            found = detected(read, self.detector.detect, self.follow)
        found = [choose(f, self.faces, p.shape) for f, p in zip(found, pictures, strict=True)]
        frames = [geometry.face_frames(f.boxes, f.landmarks) for f in found]
        ends = np.cumsum([len(f) for f in found])[:-1]
        return list(zip(found, np.split(self._recognised(pictures, frames), ends), strict=True))

    def _recognised(self, pictures: Sequence[np.ndarray], frames: Sequence[np.ndarray]) -> np.ndarray:
        """Cut faces out and return their distributions (F, C); not all faces of a crowd are in memory at once."""
        size, waiting, found = self.classifier.facts.face_size, [], []
        for picture, squares in zip(pictures, frames, strict=True):
            for start in range(0, len(squares), BATCH):
                waiting.append(crop_faces(picture, squares[start : start + BATCH], size))
                if sum(map(len, waiting)) >= BATCH:
                    found.append(self.classifier.predict(np.concatenate(waiting)))
                    waiting = []
        if waiting:
            found.append(self.classifier.predict(np.concatenate(waiting)))
        return np.concatenate(found) if found else np.empty((0, len(self.label_set)), np.float32)

    def _records(self, read: Reading, found: Detections, probabilities: np.ndarray) -> tuple[Face, ...]:
        classes = self.label_set.classes
        columns = zip(found.scores, found.boxes, found.landmarks, probabilities, strict=True)
        return tuple(
            Face(
                read.source, read.video_frame, read.time, i,
                tuple(float(v) for v in box),
                None if np.isnan(score) else float(score),
                # A copy, since a view would keep the whole batch.
                None if np.isnan(landmarks).any() else landmarks.copy(),
                dict(zip(classes, map(float, row), strict=True)),
                classes[int(row.argmax())],
            )
            for i, (score, box, landmarks, row) in enumerate(columns)
        )  # fmt: skip


def _whole(picture: np.ndarray) -> Detections:
    """Return the picture as the one face of itself."""
    height, width = picture.shape[:2]
    box = np.array([[0, 0, width, height]], np.float32)
    return Detections(np.full(1, np.nan, np.float32), box, np.full((1, 5, 2), np.nan, np.float32))
