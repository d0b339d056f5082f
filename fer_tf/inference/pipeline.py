"""Run detection, alignment, cropping and recognition on images and videos."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces import detectors
from fer_tf.faces.crop import crop_faces
from fer_tf.faces.detectors import WHICH, Detections, Detector, choose
from fer_tf.inference.classifier import BATCH, ExpressionClassifier, Prior, check_process
from fer_tf.inference.output import Face, ImageResult
from fer_tf.inference.tracking import GAP, check_gap, detect_key_frames
from fer_tf.io import video
from fer_tf.io.video import InputImage

DETECTOR = "retinaface"


class FacePipeline:
    """Detect faces and recognize their expressions, one batch of images at a time.

    Memory does not grow with the number of images.

    Example:
        >>> from pathlib import Path
        >>> from fer_tf.inference import FacePipeline
        >>> pipeline = FacePipeline("default")
        >>> [result] = pipeline.analyze([(Path("missing.jpg"), "missing.jpg")])
        >>> result.faces
        ()
    """

    def __init__(
        self,
        model: keras.Model | Path | str = "default",
        detector: Detector | str | None = None,
        faces: str = "all",
        flip: bool = False,
        crop: bool = True,
        follow: float = GAP,
        fast: bool = False,
        prior: Prior = "training",
        strength: float = 1.0,
    ):
        """Load the networks; they are compiled at the first image.

        Args:
            model: As in ``ExpressionClassifier``.
            detector: A detector, or its call string such as ``"retinaface(size=1024)"``; ``None`` means RetinaFace.
            faces: Which faces of an image to keep: ``"all"``, ``"largest"`` or ``"central"``.
            flip: Average the predictions for the face and its mirror image; takes twice the network's time.
            crop: Find faces. ``False`` means that each image is one face, cropped as in FER2013.
            follow: Interval, in seconds, at which the detector runs in a video; 0 runs it on every frame. See
                ``fer_tf.inference.tracking``.
            fast: Use 8-bit weights, as in ``ExpressionClassifier``, and in RetinaFace too unless a detector is given.
            prior: As in ``ExpressionClassifier``.
            strength: As in ``ExpressionClassifier``.

        Raises:
            UserError: A name is unknown, a value is out of range, or the model cannot be used.
        """
        if faces not in WHICH:
            raise UserError(f"faces={faces!r} is unknown. Expected {', '.join(WHICH)}.")
        self.faces, self.crop, self.follow = faces, crop, check_gap(follow)
        self.classifier = ExpressionClassifier(model, flip, fast, prior, strength)
        self.label_set = self.classifier.label_set
        if crop:
            own = f"{DETECTOR}(fast=True)" if fast else DETECTOR
            self.detector = detectors.get(detector or own)
            concurrent = getattr(self.detector, "concurrent", False)
            self._turn = contextlib.nullcontext() if concurrent else threading.Lock()

    def analyze(self, sources: Iterable[tuple[Path, str]], every: int = 1) -> Iterator[ImageResult]:
        """Analyze photographs and videos in order, while they are read.

        Args:
            sources: Pairs of a path and the name to report. A video is recognized by its suffix and needs the extra
                ``video``.
            every: Analyze every n-th frame of a video only.

        Yields:
            An ``ImageResult`` for each photograph and each frame, also without a face. A file that cannot be read
            gives one with a ``reason``, and so does the unreadable rest of a video.
        """
        return self.analyze_batches(video.read_batches(sources, every))

    def analyze_batches(self, batches: Iterable[list[InputImage]]) -> Iterator[ImageResult]:
        """Analyze batches of images that are already read, two batches at a time."""
        for _, found in video.two_at_a_time(self.analyze_batch, batches):
            yield from found

    def analyze_batch(self, batch: Sequence[InputImage]) -> list[ImageResult]:
        """Analyze one batch of images; the faces of all images go through the network together.

        Args:
            batch: Images of any sizes, or reasons why they were not read. An entry with neither, which marks the end
                of a video, gives no result.
        """
        check_process()
        read = [r for r in batch if r.picture is not None]
        rows = self._rows(read) if read else []
        faces = {id(r): (self._records(r, *row), note) for r, (*row, note) in zip(read, rows, strict=True)}
        return [
            ImageResult(r.source, r.video_frame, r.time, r.picture, found, r.reason, note)
            for r, (found, note) in ((r, faces.get(id(r), ((), ""))) for r in batch)
            if r.picture is not None or r.reason
        ]

    def _rows(self, read: Sequence[InputImage]) -> Iterator[tuple[Detections, np.ndarray, str]]:
        """Return, for each image, its detections, their distributions of shape (F, C), and a note."""
        pictures = [r.picture for r in read]
        if not self.crop:
            notes = [""] * len(pictures)
            return zip(map(_whole, pictures), self.classifier.predict(pictures)[:, None], notes, strict=True)
        with self._turn:
            found = detect_key_frames(read, self.detector.detect, self.follow)
        notes = [detectors.note_more(self.detector, f, p.shape) for f, p in zip(found, pictures, strict=True)]
        found = [choose(f, self.faces, p.shape) for f, p in zip(found, pictures, strict=True)]
        frames = [detectors.face_frames(f.boxes, f.landmarks) for f in found]
        ends = np.cumsum([len(f) for f in found])[:-1]
        return zip(found, np.split(self._recognized(pictures, frames), ends), notes, strict=True)

    def _recognized(self, pictures: Sequence[np.ndarray], frames: Sequence[np.ndarray]) -> np.ndarray:
        """Crop faces and return their distributions (F, C), in batches, so that crowds need little memory."""
        size, waiting, found = self.classifier.metadata.face_size, [], []
        for picture, squares in zip(pictures, frames, strict=True):
            for start in range(0, len(squares), BATCH):
                waiting.append(crop_faces(picture, squares[start : start + BATCH], size))
                if sum(map(len, waiting)) >= BATCH:
                    found.append(self.classifier.predict(np.concatenate(waiting)))
                    waiting = []
        if waiting:
            found.append(self.classifier.predict(np.concatenate(waiting)))
        return np.concatenate(found) if found else np.empty((0, len(self.label_set)), np.float32)

    def _records(self, read: InputImage, found: Detections, probabilities: np.ndarray) -> tuple[Face, ...]:
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
    """Return detections with a single face that fills the image."""
    height, width = picture.shape[:2]
    box = np.array([[0, 0, width, height]], np.float32)
    return Detections(np.full(1, np.nan, np.float32), box, np.full((1, 5, 2), np.nan, np.float32))
