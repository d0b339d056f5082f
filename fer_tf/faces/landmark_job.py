"""Find the landmarks of pictures and write them as one table.

Rows gather in a hidden journal beside the table, whose name depends on the job's options: a job that was stopped is
resumed by the same call, and the table is complete or not there. The columns are those of
``fer_tf.datasets.landmarks``.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from fer_tf.datasets import get
from fer_tf.datasets.landmarks import COLUMNS, point_columns
from fer_tf.errors import UserError
from fer_tf.faces.detectors import NO_FACE, WHICH, Detections, choose
from fer_tf.faces.dlib_faces import PointFinder, in_color
from fer_tf.facetable import FaceTable
from fer_tf.io import folders
from fer_tf.io.folder_job import escape, work_through, write_table
from fer_tf.io.journal import Entry, Journal
from fer_tf.io.read_ahead import InputImage

NO_POINTS = "no points that fit the face."
_IMAGES_AT_ONCE = 64


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
    src, out, options = Path(src), Path(out), options or LandmarkOptions()
    _check_replaceable(out, src)
    notes: dict[str, str] = {}
    table = get(options.dataset, src) if options.dataset else None
    if table is not None and table.images is None:
        raise UserError(f"dataset {options.dataset!r} keeps its pictures on disk. Give {src} without a dataset.")
    sources = [] if options.dataset else folders.find_pictures(src, notes.__setitem__)
    work = _LandmarkWork(finder or PointFinder(options.detector, options.points), options.faces)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.stem}-{_digest(src, options)}.jsonl")
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


def _digest(src: Path, options: LandmarkOptions) -> str:
    text = repr((str(src.resolve()), astuple(options)))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
