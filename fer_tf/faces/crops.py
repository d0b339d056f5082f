"""The crop job: a folder tree of photographs and videos in, the same tree of faces out.

Beside the faces the output folder gets ``faces.csv`` (where each came from), ``skipped.csv`` (what gave none, and why)
and ``crop.json`` (how it was made). The job may be killed at any time: started again, it goes on, and ends with the
same bytes as one that was never interrupted.
"""

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_tf import callstring
from fer_tf.errors import UserError
from fer_tf.faces import crop_folder, naming
from fer_tf.faces import frames as geometry
from fer_tf.faces.crop_folder import Summary
from fer_tf.faces.detectors import DETECTORS, Detections, Detector, build
from fer_tf.faces.face_files import SHARD_FACES, FaceWriter, NewFace, PictureWriter, ShardWriter, name_shards
from fer_tf.faces.journal import Entry, Journal
from fer_tf.io import atomic, folders, read_ahead, video
from fer_tf.io.read_ahead import InputImage
from fer_tf.progress import bar

WHICH = ("largest", "all", "central")
FORMATS = ("png", "jpg", "tfrecord")
FALLBACKS = ("skip", "whole")
NO_FACE = "no face found."

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
        _ = DETECTORS[callstring.parse(self.detector)[0]]
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
) -> Summary:
    """Crop the faces of photographs and videos, or go on with it.

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
    """
    src, dst, options = Path(src), Path(dst), options or CropOptions()
    notes: dict[str, str] = {}
    suffixes = folders.MEDIA_SUFFIXES
    sources = folders.find_pictures(src, notes.__setitem__, suffixes)
    crop_folder.check_places(src, dst)
    if src.is_file() and video.is_video(src.name):
        video.import_av()
    # A mistake in its options must neither cost faces that are there nor leave a folder behind.
    if overwrite or not (dst / crop_folder.OPTIONS).exists():
        detector = detector or build(options.detector)
    with atomic.folder_lock(dst):
        journal = crop_folder.open_journal(src, dst, options, overwrite)
        stamps = crop_folder.check_sources(journal, sources)
        names = naming.assign(
            [name for _, name in sources], {k[0]: p.name for k, p in journal.places.items()}, options.faces == "all"
        )
        left = [s for s in sources[:limit] if (s[1], None) not in journal.places]
        left = _without_videos_unless_readable(left, notes)
        if left:
            found_by = detector or build(options.detector)
            _work(
                crop_job(options, names, stamps, found_by, cut),
                left,
                len(sources[:limit]),
                journal,
                _writer(dst, journal, options, shard_faces),
            )
        name_shards(dst, journal.shards)
        return crop_folder.write_tables(dst, journal, notes)


def crop_job(
    options: CropOptions,
    names: Mapping[str, str],
    stamps: Mapping[str, tuple[int, int]],
    detector: Detector,
    cut: Cut | None = None,
) -> "CropJob":
    """Make what turns a batch of pictures into faces.

    Args:
        options: how.
        names: what each source's faces are called, see ``naming``.
        stamps: size in bytes and time of change of each source.
        detector: finds the faces.
        cut: in place of ``cutting.crop_faces``.
    """
    turn = contextlib.nullcontext() if getattr(detector, "concurrent", False) else threading.Lock()
    return CropJob(options, names, stamps, detector, cut or _crop_faces(), turn)


def choose(found: Detections, which: str, shape: Sequence[int]) -> Detections:
    """Choose faces of one photograph.

    Args:
        found: its faces, best first.
        which: ``all``; ``largest``, by the area of the box; ``central``, by its middle's distance from the picture's.
        shape: (H, W, …) of the photograph.

    Returns:
        All, or one of them: the better one on ties.
    """
    if which == "all" or len(found) < 2:
        return found
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    if which == "largest":
        return found.take([int(sides.prod(axis=1).argmax())])
    middle = np.array([shape[1], shape[0]]) / 2
    return found.take([int(np.square(found.boxes[:, :2] + sides / 2 - middle).sum(axis=1).argmin())])


def _without_videos_unless_readable(left: list[tuple[Path, str]], notes: dict[str, str]) -> list[tuple[Path, str]]:
    """Leave videos out, and note why, where the extra for them is missing; a later job with it takes them up."""
    videos = [name for _, name in left if video.is_video(name)]
    try:
        if videos:
            video.import_av()
    except UserError as error:
        notes.update(dict.fromkeys(videos, str(error)))
        return [source for source in left if source[1] not in notes]
    return left


@dataclass(frozen=True, eq=False)
class CropJob:
    """What turns a batch of pictures into faces; ``crop_job`` makes it."""

    options: CropOptions
    names: Mapping[str, str]
    stamps: Mapping[str, tuple[int, int]]
    detector: Detector
    cut: Cut
    turn: contextlib.AbstractContextManager

    def faces_of(self, batch: Sequence[InputImage]) -> list[tuple[Entry, list[NewFace]]]:
        """Return what became of each picture of a batch, and its faces."""
        pictures = [r.picture for r in batch if r.picture is not None]
        with self.turn:
            detected = iter(self.detector.detect(pictures) if pictures else [])
        found = [self._chosen(next(detected), r.picture) if r.picture is not None else None for r in batch]
        squares = _squares([f for f in found if f is not None], self.options)
        return [
            self._cut_out(r, f, next(squares) if f is not None else None) for r, f in zip(batch, found, strict=True)
        ]

    def _chosen(self, found: Detections, picture: np.ndarray) -> Detections:
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
            reason = NO_FACE
        entry = Entry(source, read.video_frame, self.names[source], self.stamps[source], reason)
        if not found:
            return entry, []
        images = self.cut(read.picture, squares[0], self.options.size)
        columns = zip(images, found.scores, found.boxes, found.landmarks, *squares, strict=True)
        return entry, [
            NewFace(
                image, naming.face_name(entry.name, read.video_frame, number, "/" in source), number, float(score),
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
    frames = geometry.face_frames(boxes, landmarks, margin, options.align)
    inside = geometry.to_frame(landmarks, frames, options.size)
    ends = np.cumsum(counts)[:-1]
    yield from zip(np.split(frames, ends), np.split(inside, ends), strict=True)


def _work(job: CropJob, left: Sequence[tuple[Path, str]], total: int, journal: Journal, writer: FaceWriter) -> None:
    done = defaultdict(set)
    for name, frame in journal.places:
        done[name].add(frame)
    videos = any(video.is_video(name) for _, name in left)
    counts = {"total": None} if videos else {"total": total, "initial": total - len(left)}
    batches = read_ahead.read_batches(left, job.options.every, done)
    with bar(**counts, description="Cropping", unit="image") as progress, contextlib.closing(batches):
        try:
            for batch, faces in read_ahead.two_at_a_time(job.faces_of, batches):
                writer.write(faces)
                progress.update(sum(r.picture is not None or bool(r.reason) for r in batch))
            writer.finish()
        except BaseException:
            writer.stop()
            raise


def _writer(dst: Path, journal: Journal, options: CropOptions, shard_faces: int) -> FaceWriter:
    if options.format == "tfrecord":
        return ShardWriter(dst, journal, shard_faces)
    return PictureWriter(dst, journal, options.format, options.quality)


def _crop_faces() -> Cut:
    from fer_tf.faces.cutting import crop_faces

    return crop_faces
