"""Find landmarks in the pictures of a folder, or draw masks on its faces.

A job that was stopped is resumed by the same call. A face's mask depends only on the seed, the picture's name and the
face's number.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fer_tf import registry
from fer_tf.datasets import get
from fer_tf.datasets.landmarks import COLUMNS, point_columns
from fer_tf.errors import UserError, given_path, unknown_name
from fer_tf.faces.detectors import DETECTORS, NO_FACE, WHICH, Detections, Detector, choose
from fer_tf.faces.dlib_faces import PointFinder, in_color
from fer_tf.faces.masks import MASKS, cut_face, drawn_kind, face_seed, put_mask, read_color
from fer_tf.facetable import FaceTable
from fer_tf.io import folders
from fer_tf.io.atomic import atomic_write
from fer_tf.io.folder_job import FolderJob, JobSummary, escape, stamp, work_through, write_table
from fer_tf.io.tables import Entry, Journal
from fer_tf.io.video import InputImage

NO_POINTS = "no points that fit the face."
_IMAGES_AT_ONCE = 64
RANDOM = "random"
SURGICAL = "surgical"
MASK_COLUMNS = ("source", "file", "face", "kind", "score", "x0", "y0", "x1", "y1")
# What Pillow writes as it reads it; others get .png at the end.
KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class LandmarkOptions:
    """How landmarks are found.

    Attributes:
        detector: call string, see ``detectors``.
        points: 68, or 5 for the detector's own.
        faces: which of a picture: ``largest``, ``all``, or the most ``central``.
        dataset: call string of the dataset that the source is; ``None`` for a picture or a tree of pictures.

    Raises:
        UserError: an unknown value.

    Example:
        >>> LandmarkOptions(points=5).faces
        'largest'
    """

    detector: str = "retinaface"
    points: int = 68
    faces: str = "largest"
    dataset: str | None = None

    def __post_init__(self):
        if self.faces not in WHICH:
            raise UserError(f"faces={self.faces!r} is unknown. Expected {', '.join(WHICH)}.")


@dataclass
class LandmarkCounts:
    """How many rows a table has: faces with points, pictures and faces without, pictures that cannot be read.

    Example:
        >>> counts = LandmarkCounts()
        >>> counts.add(["a.jpg", 0, 0, "no face found."])
        >>> counts
        LandmarkCounts(faces=0, without=1, unread=0)
    """

    faces: int = 0
    without: int = 0
    unread: int = 0

    def add(self, row: Sequence) -> None:
        """Count a row of the table."""
        _, _, found, reason, *_ = row
        self.faces += found
        self.without += reason in (NO_FACE, NO_POINTS)
        self.unread += not found and reason not in (NO_FACE, NO_POINTS)


def write_landmarks(
    src: Path | str, out: Path | str, options: LandmarkOptions | None = None, *, finder: PointFinder | None = None
) -> LandmarkCounts:
    """Find the landmarks of pictures and write their table, or resume a job that was stopped.

    Args:
        src: a picture, a folder tree, or with ``options.dataset`` the dataset's file or folder.
        out: the table; another one of landmarks that is there is replaced, any other file is refused.
        options: ``None`` for the defaults.
        finder: in place of the one that ``options`` describe.

    Raises:
        UserError: nothing to read, a table that may not be written, an unknown name, or the extra ``landmarks`` is
            needed and not installed.
    """
    src, out, options = given_path(src), given_path(out), options or LandmarkOptions()
    _check_replaceable(out, src)
    notes: dict[str, str] = {}
    table = get(options.dataset, src) if options.dataset else None
    if table is not None and table.images is None:
        raise UserError(f"dataset {options.dataset!r} keeps its pictures on disk. Give {src} without a dataset.")
    sources = [] if options.dataset else folders.find_pictures(src, notes.__setitem__)
    work = _LandmarkWork(finder or PointFinder(options.detector, options.points), options.faces)
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = repr((str(src.resolve()), astuple(options))).encode("utf-8", "replace")
    part = out.with_name(f".{out.stem}-{hashlib.blake2b(settings, digest_size=6).hexdigest()}.jsonl")
    with Journal(part, lock=True) as journal:
        given = {} if table is None else {"batches": _faces_of(table, journal), "total": len(table)}
        work_through(sources, journal, work, journal.append, "Landmarks", **given)
        counts = LandmarkCounts()

        def rows() -> Iterator[Sequence]:
            blank = [work.row(name, reason=reason) for name, reason in notes.items()]
            for entry_rows in (*(entry.faces for entry in journal.entries(sort=False)), blank):
                for row in entry_rows:
                    counts.add(row)
                    yield row

        write_table(out, [*COLUMNS, *point_columns(work.finder.count)], rows())
    part.unlink()
    return counts


def _check_replaceable(out: Path, src: Path) -> None:
    """Raise a ``UserError`` unless ``out`` is the name of a table that is new or holds landmarks."""
    if out.is_dir() or out.suffix.lower() != ".csv":
        raise UserError(f"{out}: expected the name of a .csv file to write.")
    if not out.is_file():
        return
    if src.exists() and out.samefile(src):
        raise UserError(f"{out} is what is to be read. Give another name for the table.")
    header = ",".join(COLUMNS).encode()
    try:
        with out.open("rb") as file:
            start = file.read(len(header))
    except OSError as error:
        raise UserError(f"{out} cannot be read: {error.strerror}. Give another name for the table.") from None
    if start != header:
        raise UserError(f"{out} is there and holds no landmarks. Give another name, or delete it.")


class _LandmarkWork:
    """Turn a batch of pictures into journal entries, whose faces are rows of the table."""

    def __init__(self, finder: PointFinder, which: str):
        self.finder, self._which = finder, which
        self._turn = threading.Lock()

    def __call__(self, batch: Sequence[InputImage]) -> list[Entry]:
        with self._turn:
            detected = iter(self.finder.detect([image.picture for image in batch if image.picture is not None]))
            rows = [self._rows(image, None if image.picture is None else next(detected)) for image in batch]
        return [Entry(image.source, None, "", (0, 0), faces=tuple(r)) for image, r in zip(batch, rows, strict=True)]

    def row(self, name: str, *, reason: str, size: Sequence[int] = ("", "")) -> list:
        """Return the row of a picture without a face."""
        return [escape(name), 0, 0, reason, "", *size, *[""] * (4 + 2 * self.finder.count)]

    def _rows(self, image: InputImage, found: Detections | None) -> list[list]:
        if found is None:
            return [self.row(image.source, reason=image.reason)]
        size, found = image.picture.shape[1::-1], choose(found, self._which, image.picture.shape)
        if not len(found):
            return [self.row(image.source, size=size, reason=NO_FACE)]
        rows = []
        for face, points in enumerate(self.finder.points(image.picture, found)):
            values = [f"{found.scores[face]:.4f}", *size, *(f"{v:.2f}" for v in found.boxes[face])]
            good = bool(np.isfinite(points).all())
            numbers = [f"{v:.2f}" for v in points.ravel()] if good else [""] * points.size
            rows.append([escape(image.source), face, int(good), "" if good else NO_POINTS, *values, *numbers])
        return rows


def _faces_of(table: FaceTable, journal: Journal) -> Iterator[list[InputImage]]:
    """Yield the images of a dataset that the journal lacks."""
    left = np.array([i for i, name in enumerate(table.ids.tolist()) if (name, None) not in journal.places], np.int64)
    for start in range(0, len(left), _IMAGES_AT_ONCE):
        rows = left[start : start + _IMAGES_AT_ONCE]
        images = in_color(table.images[rows])
        yield [InputImage(name, None, image) for name, image in zip(table.ids[rows].tolist(), images, strict=True)]


@dataclass(frozen=True)
class MaskOptions:
    """How faces are masked.

    Attributes:
        kind: call string of a row of ``MASKS``, or ``random``.
        seed: draws colors and wrinkles, ≥ 0.
        color: ``None`` draws it.
        detector: call string, see ``detectors``.
        points: 5, the detector's own, or 68, which follow the jaw and need the extra ``landmarks``.
        cut: in place of a mask, cut the largest face off below the eyes; nothing is drawn, so that ``kind``, ``seed``
            and ``color`` must be left alone.
        enlarge: with ``cut``, turn the upper face upright and enlarge it.
        fill: with ``cut``, the level of what is removed.

    Raises:
        UserError: a value out of range.

    Example:
        >>> MaskOptions(kind="n95(valve=True)").points
        5
    """

    kind: str = SURGICAL
    seed: int = 0
    color: str | None = None
    detector: str = "retinaface"
    points: int = 5
    cut: bool = False
    enlarge: bool = False
    fill: int = 0

    def __post_init__(self):
        if self.seed < 0:
            raise UserError(f"seed={self.seed} is negative. Expected 0 or more.")
        if not 0 <= self.fill <= 255:
            raise UserError(f"fill={self.fill} is no level. Expected 0 to 255.")
        if (self.enlarge or self.fill) and not self.cut:
            raise UserError("enlarge and fill act on cut faces only. Give cut as well.")
        if self.cut and (self.kind != SURGICAL or self.seed or self.color is not None):
            raise UserError("A cut face has no mask. Leave kind, seed and color out, or cut.")
        if self.enlarge and self.fill:
            raise UserError("An enlarged face leaves nothing to fill. Leave enlarge or fill out.")
        _ = DETECTORS[registry.parse(self.detector)[0]]
        self._check_kind()

    def _check_kind(self) -> None:
        color = None if self.color is None else read_color(self.color)
        if self.kind == RANDOM:
            return
        name = registry.parse(self.kind)[0]
        if name == RANDOM:
            raise UserError(f"kind={self.kind!r}: {RANDOM} takes no options.")
        if name not in MASKS:
            raise unknown_name("mask", name, [*MASKS, RANDOM])
        MASKS.make(self.kind, np.random.default_rng(0), color)


def mask_folder(
    src: Path | str,
    dst: Path | str,
    options: MaskOptions | None = None,
    *,
    overwrite: bool = False,
    limit: int | None = None,
    detector: Detector | None = None,
) -> JobSummary:
    """Mask the faces of photographs, or resume a job that was stopped.

    Args:
        src: a photograph or a folder tree.
        dst: output folder: new, empty, or of this same job.
        options: ``None`` for the defaults.
        overwrite: first delete what an earlier job wrote.
        limit: read at most so many pictures, the first by name; what earlier jobs did of the others stays.
        detector: in place of ``options.detector``.

    Returns:
        What ``dst`` now holds.

    Raises:
        UserError: nothing to read, or a folder that cannot be used or holds another job's pictures.
    """
    src, job, options = given_path(src), _MaskFolder(given_path(dst)), options or MaskOptions()
    notes: dict[str, str] = {}
    sources = folders.find_pictures(src, notes.__setitem__)
    job.check_places(src)
    finder = None
    if overwrite or not job.exists:  # A mistake in the detector must change nothing in dst.
        finder = PointFinder(detector or options.detector, options.points)
    with job.opened({"source": escape(src.resolve()), **asdict(options)}, overwrite) as journal:
        known = {key[0]: place.name for key, place in journal.places.items()}
        files = folders.assign_files([name for _, name in sources], known, KEPT_SUFFIXES)
        stamps = {name: stamp(path) for path, name in sources[:limit]}
        job.forget_changed(journal, stamps, {name for _, name in sources})
        if any((name, None) not in journal.places for name in stamps):
            finder = finder or PointFinder(detector or options.detector, options.points)
            work = _Work(job.folder, options, files, stamps, finder)
            work_through(sources[:limit], journal, work, journal.append, "Masking")
        return job.write_tables(journal, MASK_COLUMNS, _rows, notes)


class _MaskFolder(FolderJob):
    settings_file = "mask.json"
    journal_file = ".mask-journal.jsonl"
    table = "masks.csv"
    holds = "faces masked"

    def forget_changed(self, journal: Journal, stamps: Mapping[str, tuple[int, int]], present: set[str]) -> None:
        """Leave out what has to be done again: changed sources, lost output; and sources without faces that are gone.

        What was written for a source that is gone stays.
        """
        changed = set()
        for (name, _), place in journal.places.items():
            lost = place.faces and not (self.folder / place.name).exists()
            gone = name not in present and not place.faces
            if lost or gone or stamps.get(name, place.stamp) != place.stamp:
                changed.add(name)
        journal.forget(changed)


class _Work:
    """Turn photographs into masked ones, write them, and return their journal entries.

    Args:
        folder: output folder.
        options: how.
        files: by source, the file to write.
        stamps: by source, its size and time of change.
        finder: finds faces and their points.
    """

    def __init__(
        self,
        folder: Path,
        options: MaskOptions,
        files: Mapping[str, str],
        stamps: Mapping[str, tuple[int, int]],
        finder: PointFinder,
    ):
        self._folder, self._options, self._files, self._stamps, self._finder = folder, options, files, stamps, finder
        self._turn = threading.Lock()

    def __call__(self, batch: Sequence[InputImage]) -> list[Entry]:
        pictures = [image.picture for image in batch if image.picture is not None]
        with self._turn:
            detected = self._finder.detect(pictures) if pictures else []
            points = [self._points(picture, found) for picture, found in zip(pictures, detected, strict=True)]
        found = iter(zip(detected, points, strict=True))
        return [self._entry(image, None if image.picture is None else next(found)) for image in batch]

    def _entry(self, image: InputImage, found: tuple[Detections, list[np.ndarray]] | None) -> Entry:
        file, reason = self._files[image.source], image.reason
        faces = [] if found is None else self._masked(image, *found, file)
        if not faces:
            reason = reason or NO_FACE
            # There may be one of an earlier run, when the source was another picture.
            (self._folder / file).unlink(missing_ok=True)
        return Entry(image.source, None, file, self._stamps[image.source], reason, tuple(faces))

    def _masked(
        self, image: InputImage, found: Detections, points: Sequence[np.ndarray], file: str
    ) -> list[dict[str, Any]]:
        """Mask one photograph's faces and write it; return the journal's rows of them, none if there is nothing."""
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        # Small faces first: they are farther away, and masks of nearer ones lie over theirs.
        order = sorted((i for i in range(len(found)) if np.isfinite(points[i]).all()), key=lambda i: sides[i].prod())
        gray = (image.picture == image.picture[..., :1]).all()
        masked, rows = image.picture[..., :1] if gray else image.picture, []
        for i in order[-1:] if self._options.cut else order:
            try:
                masked, kind = self._changed(masked, points[i], face_seed(self._options.seed, image.source, i))
            except UserError:  # Points that are no face's; the other faces are masked all the same.
                continue
            box = [round(float(v), 3) for v in found.boxes[i]]
            rows.append({"file": file, "face": i, "kind": kind, "score": round(float(found.scores[i]), 6), "box": box})
        if rows:
            _write(masked, self._folder / file)
        return sorted(rows, key=lambda row: row["face"])

    def _points(self, picture: np.ndarray, found: Detections) -> list[np.ndarray]:
        """Return each face's points; the detector's five where 68 do not fit it."""
        points = self._finder.points(picture, found) if len(found) else []
        return [p if np.isfinite(p).all() else five for p, five in zip(points, found.landmarks, strict=True)]

    def _changed(self, image: np.ndarray, points: np.ndarray, seed: tuple[int, ...]) -> tuple[np.ndarray, str]:
        if self._options.cut:
            return cut_face(image, points, fill=self._options.fill, enlarge=self._options.enlarge), "cut"
        kind = drawn_kind(seed) if self._options.kind == RANDOM else self._options.kind
        return put_mask(image, points, kind, seed=seed, color=self._options.color).image, kind


def _write(image: np.ndarray, path: Path) -> None:
    """Write uint8 (H, W, 1 or 3) in the format of the suffix."""
    how = {".jpg": {"quality": 95, "subsampling": 0}, ".webp": {"lossless": True}}
    suffix = path.suffix.lower().replace("jpeg", "jpg")
    with atomic_write(path) as part:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(part, **how.get(suffix, {}))


def _rows(entry: Entry) -> Iterable[tuple]:
    return [
        (entry.source, face["file"], face["face"], face["kind"], face["score"], *face["box"]) for face in entry.faces
    ]
