"""The landmark job: pictures in, one table of landmarks out.

Rows gather in a hidden file beside the table, whose name is drawn from the job's options: a job that was killed goes
on from there, and its table is whole or not there. Pictures that changed in between are not looked at again. The
table's columns are those of ``fer_tf.datasets.landmarks``.
"""

import contextlib
import csv
import hashlib
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from fer_tf.datasets import get
from fer_tf.datasets.landmarks import COLUMNS, point_columns
from fer_tf.errors import UserError
from fer_tf.faces.crops import NO_FACE, WHICH, choose
from fer_tf.faces.dlib_faces import PointFinder, in_colour
from fer_tf.facetable import FaceTable
from fer_tf.io import folders, read_ahead
from fer_tf.io.read_ahead import InputImage
from fer_tf.progress import bar

NO_POINTS = "no points that fit the face."
# How bytes of names that are no UTF-8 are written, so that others can read the table.
TEXT = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
IMAGES_AT_ONCE = 64


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
    """

    detector: str = "retinaface"
    points: int = 68
    faces: str = "largest"
    dataset: str | None = None

    def __post_init__(self):
        if self.faces not in WHICH:
            raise UserError(f"faces={self.faces!r} is unknown. Expected {', '.join(WHICH)}.")


@dataclass
class Summary:
    """What a table holds, in rows: faces with points, pictures and faces without, pictures that cannot be read."""

    faces: int = 0
    without: int = 0
    unread: int = 0

    def add(self, rows: Sequence[Sequence]) -> None:
        """Count rows of the table."""
        for _, _, found, reason, *_ in rows:
            self.faces += int(found)
            self.without += reason in (NO_FACE, NO_POINTS)
            self.unread += not int(found) and reason not in (NO_FACE, NO_POINTS)


def write_landmarks(
    src: Path | str, out: Path | str, options: LandmarkOptions | None = None, *, finder: PointFinder | None = None
) -> Summary:
    """Find the landmarks of pictures and write their table, or go on with it.

    Args:
        src: a picture, a folder tree, or with ``options.dataset`` the dataset's file or folder.
        out: the table; another one of landmarks that is there is replaced, any other file refused.
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
    finder = finder or PointFinder(options.detector, options.points)
    total = len(sources) if table is None else len(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.stem}-{_digest(src, options)}.csv")
    with _taken_up(part, [*COLUMNS, *point_columns(finder.count)]) as (file, summary, done):

        def add(rows: Sequence[Sequence]) -> None:
            file.write(_text(rows))
            file.flush()
            summary.add(rows)

        by_name = _by_name(sources, done)
        batches = read_ahead.read_batches(sources, 1, by_name) if table is None else _faces(table, done)
        progress = bar(total=total, initial=len(done), description="Landmarks", unit="image")
        with contextlib.closing(batches), progress:
            for batch in batches:
                add(_rows(batch, finder, options.faces))
                progress.update(len(batch))
        left = {name: reason for name, reason in notes.items() if _written(name) not in done}
        add([_row(name, reason=reason, count=finder.count) for name, reason in left.items()])
        os.fsync(file.fileno())
        part.replace(out)
    return summary


def _check_replaceable(out: Path, src: Path) -> None:
    """Raise a ``UserError`` unless ``out`` is the name of a table that is new or holds landmarks."""
    if out.is_dir() or out.suffix.lower() != ".csv":
        raise UserError(f"{out}: expected the name of a .csv file to write.")
    if not out.exists():
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


@contextlib.contextmanager
def _taken_up(part: Path, header: Sequence[str]) -> Iterator[tuple[TextIO, Summary, set[str]]]:
    """Open the file of gathered rows at its end; yield it, and the counts and the pictures that are in it.

    Of a job that was killed, the last picture's rows are cut off: one may be cut short, and others missing.
    """
    import fcntl

    with part.open("a+", **TEXT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another process is at work on {part}. Wait for it, or give another name.") from None
        file.seek(0)
        reader, summary, done = csv.reader(file), Summary(), set()
        taken = next(reader, None) == list(header)
        length, rows = len(_text([header]).encode()) if taken else 0, []
        for _, following in itertools.groupby(reader, key=lambda row: row[:1]) if taken else ():
            summary.add(rows)
            done.update(row[0] for row in rows)
            length += len(_text(rows).encode())
            rows = list(following)
        file.truncate(length)
        if not length:
            file.write(_text([header]))
        yield file, summary, done


def _rows(batch: Sequence[InputImage], finder: PointFinder, which: str) -> list[list]:
    """Find the faces of a batch of pictures; return the rows of each."""
    detected = iter(finder.detect([r.picture for r in batch if r.picture is not None]))
    rows = []
    for r in batch:
        if r.picture is None:
            rows.append(_row(r.source, reason=r.reason, count=finder.count))
            continue
        size, found = r.picture.shape[1::-1], choose(next(detected), which, r.picture.shape)
        if not len(found):
            rows.append(_row(r.source, size=size, reason=NO_FACE, count=finder.count))
            continue
        for face, points in enumerate(finder.points(r.picture, found)):
            facts = [f"{found.scores[face]:.4f}", *size, *(f"{v:.2f}" for v in found.boxes[face])]
            good = np.isfinite(points).all()
            numbers = [f"{v:.2f}" for v in points.ravel()] if good else [""] * points.size
            rows.append([_written(r.source), face, int(good), "" if good else NO_POINTS, *facts, *numbers])
    return rows


def _row(name: str, *, reason: str, count: int, size: Sequence[int] = ("", "")) -> list:
    """Make the row of a picture without a face."""
    return [_written(name), 0, 0, reason, "", *size, *[""] * (4 + 2 * count)]


def _faces(table: FaceTable, done: set[str]) -> Iterator[list[InputImage]]:
    left = np.array([i for i, name in enumerate(table.ids.tolist()) if name not in done], dtype=np.int64)
    for start in range(0, len(left), IMAGES_AT_ONCE):
        rows = left[start : start + IMAGES_AT_ONCE]
        images = in_colour(table.images[rows])
        yield [InputImage(name, None, image) for name, image in zip(table.ids[rows].tolist(), images, strict=True)]


def _by_name(sources: Sequence[tuple[Path, str]], done: set[str]) -> dict[str, tuple[None]]:
    return {name: (None,) for _, name in sources if _written(name) in done}


def _text(rows: Sequence[Sequence]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _written(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _digest(src: Path, options: LandmarkOptions) -> str:
    text = repr((str(src.resolve()), astuple(options)))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
