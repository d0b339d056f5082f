"""The output folder of a crop job: whether it may be used, what it holds, and its tables."""

import contextlib
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf.datasets.folder import is_litter
from fer_tf.datasets.records import shard_name
from fer_tf.errors import UserError
from fer_tf.faces.detectors import FIVE_POINTS
from fer_tf.faces.face_files import find_shards
from fer_tf.faces.journal import JOURNAL, Entry, Journal
from fer_tf.io import atomic

if TYPE_CHECKING:
    from fer_tf.faces.crops import CropOptions

OPTIONS, FACES, SKIPPED = "crop.json", "faces.csv", "skipped.csv"
POINT_COLUMNS = tuple(f"{name.replace(' ', '_')}_{axis}" for name in FIVE_POINTS for axis in "xy")
FACE_COLUMNS = (
    "source", "video_frame", "face", "file", "score", "x0", "y0", "x1", "y1", *POINT_COLUMNS,
    "frame_x", "frame_y", "frame_side", "frame_angle",
)  # fmt: skip
SKIPPED_COLUMNS = ("source", "video_frame", "reason")


@dataclass(frozen=True)
class Summary:
    """What an output folder holds.

    Attributes:
        faces: how many faces.
        pictures: of how many photographs and video frames.
        skipped: how many sources and frames gave none.
        files: the tables that were written.
    """

    faces: int
    pictures: int
    skipped: int
    files: tuple[Path, ...]


def check_places(src: Path, dst: Path) -> None:
    """Raise a ``UserError`` unless faces from ``src`` may go to ``dst``: neither may be inside the other."""
    inner, outer = dst.resolve(), src.resolve()
    if outer.is_dir() and inner.is_relative_to(outer):
        raise UserError(f"{dst} is inside {src}: its faces would be cropped again. Give a folder outside.")
    if outer.is_relative_to(inner) and (inner / OPTIONS).exists():
        raise UserError(f"{src} is inside {dst}, which holds cropped faces. Give another output folder.")


def open_journal(src: Path, dst: Path, options: "CropOptions", overwrite: bool) -> Journal:
    """Begin the job in ``dst``, or take it up.

    Raises:
        UserError: the folder holds something else, or another job's faces.
    """
    source = str(src.resolve()).encode("utf-8", "backslashreplace").decode()
    path, wanted = dst / OPTIONS, {"source": source, **asdict(options)}
    if not path.exists() and any(not is_litter(p.name) for p in dst.iterdir()):
        raise UserError(f"{dst} is not empty and holds no {OPTIONS} of an earlier job. Give an empty or new folder.")
    if path.exists():
        for part in dst.rglob(".part-*"):
            part.unlink(missing_ok=True)
        if overwrite:
            _clear(dst)
    journal = Journal(dst)
    if path.exists() and journal.places:
        _check_same(path, wanted)
    else:
        atomic.write_json(path, wanted)
    return journal


def check_sources(journal: Journal, sources: Sequence[tuple[Path, str]]) -> dict[str, tuple[int, int]]:
    """Compare the sources with what the journal says of them.

    One that gave no face and has changed or gone is forgotten, so that a mended picture is read again.

    Returns:
        Size in bytes and time of change of each source.

    Raises:
        UserError: one that gave faces has changed or is gone.
    """
    stamps = {name: _stamp(path) for path, name in sources}
    other = {k[0] for k, place in journal.places.items() if stamps.get(k[0]) != place.stamp}
    lost = sorted({k[0] for k, place in journal.places.items() if k[0] in other and place.faces})
    if lost:
        raise UserError(
            f"{len(lost)} sources with faces in {journal.path.parent} have changed or are gone, the first is "
            f"{lost[0]!r}. Give --overwrite or another folder."
        )
    journal.forget(other)
    return stamps


def write_tables(dst: Path, journal: Journal, notes: Mapping[str, str]) -> Summary:
    """Write ``faces.csv`` and ``skipped.csv``.

    Args:
        dst: the output folder.
        journal: what was done.
        notes: folders that could not be read, and why.
    """
    faces = pictures = 0
    skipped = [(name, "", reason) for name, reason in notes.items()]
    # Escaped, since a table with names that are no UTF-8 could not be read by others.
    writing = {"mode": "w", "newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
    with atomic.atomic_write(dst / FACES) as part, part.open(**writing) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FACE_COLUMNS)
        for entry in journal.entries():
            writer.writerows(_rows(entry, journal.shards))
            faces, pictures = faces + len(entry.faces), pictures + bool(entry.faces)
            if entry.reason:
                skipped.append((entry.source, _blank(entry.video_frame), entry.reason))
    with atomic.atomic_write(dst / SKIPPED) as part, part.open(**writing) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([SKIPPED_COLUMNS, *sorted(skipped, key=lambda row: row[0])])
    return Summary(faces, pictures, len(skipped), (dst / FACES, dst / SKIPPED))


def _rows(entry: Entry, shards: int) -> Iterable[list[Any]]:
    for face in entry.faces:
        file = shard_name(face.file, shards) if isinstance(face.file, int) else face.file
        yield [
            entry.source, _blank(entry.video_frame), face.number, file, _blank(face.score), *(face.box or [""] * 4),
            *(face.landmarks or [""] * 10), *face.frame,
        ]  # fmt: skip


def _blank(value: Any) -> Any:
    return "" if value is None else value


def _check_same(path: Path, wanted: Mapping[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in wanted if found[name] != wanted[name]]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no record of a crop job. Give another folder.") from None
    if differing:
        name = differing[0]
        raise UserError(
            f"{path.parent} holds faces with {name}={found[name]!r}, now it is {wanted[name]!r}. "
            "Give --overwrite or another folder."
        )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _clear(dst: Path) -> None:
    """Delete what the job wrote, the record of it last, so that a clearing cut short can be done again."""
    journal = Journal(dst)
    for entry in journal.entries():
        for face in entry.faces:
            if isinstance(face.file, str):
                path = dst / face.file
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    for folder in path.relative_to(dst).parents:
                        (dst / folder).rmdir()
    for _, path in find_shards(dst):
        path.unlink()
    for name in (FACES, SKIPPED, JOURNAL, OPTIONS):
        (dst / name).unlink(missing_ok=True)
