"""Crop the faces of a folder tree into the same tree of faces.

Beside the faces the output folder gets ``faces.csv`` (where each came from), ``skipped.csv`` (what gave none, and why)
and ``crop.json`` (the options). A job that was stopped is resumed by the same call, and ends with the same bytes as one
that was not stopped.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fer_tf import registry
from fer_tf.errors import UserError, given_path, printable
from fer_tf.faces import detectors
from fer_tf.faces.detectors import DETECTORS, NO_FACE, WHICH, Detections, Detector, choose
from fer_tf.faces.face_files import SHARD_FACES, CropFolder, NewFace, PictureWriter, ShardWriter
from fer_tf.io import folders, video
from fer_tf.io.folder_job import JobSummary, escape, work_through
from fer_tf.io.tables import Entry
from fer_tf.io.video import InputImage

FORMATS = ("png", "jpg", "tfrecord")
FALLBACKS = ("skip", "whole")

Cut = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class CropOptions:
    """How faces are cropped.

    Attributes:
        size: side of a face in pixels.
        detector: call string, see ``detectors``.
        faces: which of a photograph: ``largest``, ``all``, or the most ``central``.
        margin: by how much the square around a face grows, as a fraction of its side.
        align: turn faces upright by their eyes; else cut upright squares around their boxes.
        format: ``png``, ``jpg`` or ``tfrecord``.
        quality: of ``jpg``, 1 to 100.
        fallback: what becomes of a picture without a face: ``skip`` it, or take it ``whole``: the square around it, in
            which what lies beyond the picture repeats its edges.
        every: take every n-th frame of a video.

    Raises:
        UserError: a value out of range.

    Example:
        >>> CropOptions(size=112, faces="all").format
        'png'
    """

    size: int = 224
    detector: str = "retinaface"
    faces: str = "largest"
    margin: float = 0.0
    align: bool = True
    format: str = "png"
    quality: int = 95
    fallback: str = "skip"
    every: int = 1

    def __post_init__(self):
        _ = DETECTORS[registry.parse(self.detector)[0]]
        for name, accepted in (("faces", WHICH), ("format", FORMATS), ("fallback", FALLBACKS)):
            if getattr(self, name) not in accepted:
                raise UserError(f"{name}={getattr(self, name)!r} is unknown. Expected {', '.join(accepted)}.")
        for name, low, high in (("size", 1, 4096), ("quality", 1, 100), ("every", 1, 10**9)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise UserError(f"{name}={value!r} is out of range. Expected {low} to {high}.")
        if not -1 < self.margin <= 10:
            raise UserError(f"margin={self.margin!r} is out of range. Expected more than -1 and at most 10.")


def crop(
    src: Path | str,
    dst: Path | str,
    options: CropOptions | None = None,
    *,
    overwrite: bool = False,
    limit: int | None = None,
    detector: Detector | None = None,
    cut: Cut | None = None,
    shard_faces: int = SHARD_FACES,
) -> JobSummary:
    """Crop the faces of photographs and videos, or resume a job that was stopped.

    Args:
        src: a photograph, a video, or a folder tree of both.
        dst: output folder: new, empty, or of this same job.
        options: ``None`` for the defaults.
        overwrite: delete what an earlier job wrote into ``dst`` first.
        limit: read at most so many sources, the first by name; a later call may raise it.
        detector: in place of ``options.detector``.
        cut: in place of ``cutting.crop_faces``.
        shard_faces: a shard of TFRecords is full with this many.

    Returns:
        What ``dst`` now holds.

    Raises:
        UserError: nothing to read, a detector or a folder that cannot be used, or one that holds faces of another job
            or of sources that have changed since; ``src`` is a video, and the extra ``video`` is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> class WholePicture:
        ...     def detect(self, photographs):
        ...         whole = Detections(np.ones(1), np.float32([[0, 0, 8, 8]]), np.full((1, 5, 2), np.nan))
        ...         return [whole] * len(photographs)
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/a.png")
        ...     cut = lambda picture, frames, size: [picture]
        ...     done = crop(f"{folder}/a.png", Path(folder, "faces"), detector=WholePicture(), cut=cut)
        ...     done.faces, Path(folder, "faces", "a.png").is_file()
        (1, True)
    """
    src, job, options = given_path(src), CropFolder(given_path(dst)), options or CropOptions()
    notes: dict[str, str] = {}
    sources = folders.find_pictures(src, notes.__setitem__, folders.MEDIA_SUFFIXES)
    job.check_places(src)
    if src.is_file() and video.is_video(src.name):
        video.import_av()
    # A mistake in its options must neither cost faces that are there nor leave a folder behind.
    if overwrite or not job.exists:
        detector = detector or detectors.get(options.detector)
    with job.opened({"source": escape(src.resolve()), **asdict(options)}, overwrite) as journal:
        stamps = job.check_sources(journal, sources)
        known = {key[0]: place.name for key, place in journal.places.items()}
        names = folders.assign([name for _, name in sources], known, several=options.faces == "all")
        wanted = _without_videos_unless_readable(sources[:limit], notes)
        if any((name, None) not in journal.places for _, name in wanted):
            cropper = crop_job(options, names, stamps, detector or detectors.get(options.detector), cut)
            if options.format == "tfrecord":
                writer = ShardWriter(job.folder, journal, shard_faces)
            else:
                writer = PictureWriter(job.folder, journal, options.format, options.quality)
            with writer:
                work_through(wanted, journal, cropper.faces_of, writer.write, "Cropping", options.every)
        return job.finish(journal, notes)


def crop_job(
    options: CropOptions,
    names: Mapping[str, str],
    stamps: Mapping[str, tuple[int, int]],
    detector: Detector,
    cut: Cut | None = None,
) -> "CropJob":
    """Return what turns a batch of pictures into faces.

    Args:
        options: how.
        names: by source, the name of its faces, see ``fer_tf.io.folders``.
        stamps: by source, its size in bytes and time of change.
        detector: finds the faces.
        cut: in place of ``cutting.crop_faces``.

    Example:
        >>> crop_job(CropOptions(), {}, {}, detector=None, cut=lambda picture, frames, size: picture).names
        {}
    """
    turn = contextlib.nullcontext() if getattr(detector, "concurrent", False) else threading.Lock()
    return CropJob(options, names, stamps, detector, cut or _crop_faces(), turn)


def _without_videos_unless_readable(sources: list[tuple[Path, str]], notes: dict[str, str]) -> list[tuple[Path, str]]:
    """Leave videos out, and note why, if the extra for them is missing; a later job with it reads them."""
    videos = [name for _, name in sources if video.is_video(name)]
    try:
        if videos:
            video.import_av()
    except UserError as error:
        notes.update(dict.fromkeys(videos, str(error)))
        return [source for source in sources if source[1] not in notes]
    return sources


@dataclass(frozen=True, eq=False)
class CropJob:
    """Turn a batch of pictures into faces; ``crop_job`` makes it.

    Example:
        >>> job = crop_job(CropOptions(), {"a.jpg": "a"}, {"a.jpg": (0, 0)}, None, cut=lambda *arguments: None)
        >>> ((entry, faces),) = job.faces_of([InputImage("a.jpg", None, None, reason="empty file.")])
        >>> entry.reason, faces
        ('empty file.', [])
    """

    options: CropOptions
    names: Mapping[str, str]
    stamps: Mapping[str, tuple[int, int]]
    detector: Detector
    cut: Cut
    turn: contextlib.AbstractContextManager

    def faces_of(self, batch: Sequence[InputImage]) -> list[tuple[Entry, list[NewFace]]]:
        """Return the journal entry and the faces of each picture of a batch."""
        pictures = [r.picture for r in batch if r.picture is not None]
        with self.turn:
            detected = iter(self.detector.detect(pictures) if pictures else [])
        found = [self._chosen(next(detected), r) if r.picture is not None else None for r in batch]
        squares = _squares([f for f in found if f is not None], self.options)
        return [
            self._cut_out(r, f, next(squares) if f is not None else None) for r, f in zip(batch, found, strict=True)
        ]

    def _chosen(self, found: Detections, read: InputImage) -> Detections:
        picture = read.picture
        if len(found) and (note := detectors.note_more(self.detector, found, picture.shape)):
            logging.getLogger(__name__).warning("%s: %s", printable(read.source), note)
        if not len(found) and self.options.fallback == "whole":
            height, width = picture.shape[:2]
            box = np.array([[0, 0, width, height]], np.float32)
            return Detections(np.full(1, np.nan, np.float32), box, np.full((1, 5, 2), np.nan, np.float32))
        return choose(found, self.options.faces, picture.shape)

    def _cut_out(
        self, read: InputImage, found: Detections | None, squares: tuple[np.ndarray, np.ndarray] | None
    ) -> tuple[Entry, list[NewFace]]:
        source, reason = read.source, read.reason
        if found is not None and not len(found):
            reason = f"{NO_FACE} {detectors.note_more(self.detector, found, read.picture.shape)}".rstrip()
        entry = Entry(source, read.video_frame, self.names[source], self.stamps[source], reason)
        if not found:
            return entry, []
        images = self.cut(read.picture, squares[0], self.options.size)
        columns = zip(images, found.scores, found.boxes, found.landmarks, *squares, strict=True)
        return entry, [
            NewFace(
                image, folders.face_name(entry.name, read.video_frame, number, "/" in source), number, float(score),
                box, landmarks, face_landmarks, frame,
            )
            for number, (image, score, box, landmarks, frame, face_landmarks) in enumerate(columns)
        ]  # fmt: skip


def _squares(found: Sequence[Detections], options: CropOptions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield each photograph's frames (F, 4), and its landmarks (F, 5, 2) in the pixels of the faces."""
    counts = [len(f) for f in found]
    if not sum(counts):
        yield from ((f.boxes, f.landmarks) for f in found)
        return
    scores, boxes, landmarks = (
        np.concatenate([getattr(f, name) for f in found]) for name in ("scores", "boxes", "landmarks")
    )
    # A whole picture gets no margin: all that it could add is repeated edges.
    margin = np.where(np.isnan(scores), 0.0, options.margin).astype(np.float32)
    frames = detectors.face_frames(boxes, landmarks, margin, options.align)
    inside = detectors.to_frame(landmarks, frames, options.size)
    ends = np.cumsum(counts)[:-1]
    yield from zip(np.split(frames, ends), np.split(inside, ends), strict=True)


def _crop_faces() -> Cut:
    from fer_tf.faces.crop import crop_faces

    return crop_faces
