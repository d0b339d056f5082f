"""The output folder of a mask job: whether it may be used, what is done, and its tables."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fer_tf import atomic
from fer_tf.errors import UserError

OPTIONS, MASKED, SKIPPED, JOURNAL = "mask.json", "masks.csv", "skipped.csv", ".mask-journal.jsonl"
COLUMNS = ("source", "file", "face", "kind", "score", "x0", "y0", "x1", "y1")
# What Pillow writes as it reads it; others get .png at the end.
KEPT_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Summary:
    """What an output folder holds: masked faces, the pictures they are in, skipped sources, and the tables."""

    faces: int
    pictures: int
    skipped: int
    files: tuple[Path, ...]


def file_names(names: Sequence[str]) -> list[str]:
    """Give each source the file that it is written to: its own name, with .png after a suffix that is not written."""
    own = {n.casefold() for n in names}
    files = []
    for name in names:
        file = name
        while PurePosixPath(file).suffix.lower() not in KEPT_SUFFIXES or (file != name and file.casefold() in own):
            file += ".png"
        files.append(file)
    return files


def check_places(src: Path, dst: Path) -> None:
    """Raise a ``UserError`` where one of the two is inside the other."""
    inner, outer = dst.resolve(), src.resolve()
    if inner == outer or (outer.is_dir() and inner.is_relative_to(outer)) or outer.is_relative_to(inner):
        raise UserError(f"{src} and {dst}: one is inside the other. Give an output folder elsewhere.")


def begin(dst: Path, wanted: Mapping[str, Any], overwrite: bool) -> None:
    """Make ``mask.json``, or check that the folder's is of this job; with ``overwrite`` delete what is listed."""
    path = dst / OPTIONS
    if not path.exists() and any(p.name not in (".lock", OPTIONS) for p in dst.iterdir()):
        raise UserError(f"{dst} is not empty and holds no {OPTIONS} of an earlier job. Give an empty or new folder.")
    for part in dst.rglob(".part-*"):
        part.unlink(missing_ok=True)
    if path.exists() and not overwrite:
        _check_same(path, wanted)
        return
    for entry in read_journal(dst):
        (dst / entry["file"]).unlink(missing_ok=True)
    for name in (JOURNAL, MASKED, SKIPPED):
        (dst / name).unlink(missing_ok=True)
    atomic.write_json(path, wanted)


def _check_same(path: Path, wanted: Mapping[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in wanted if found[name] != wanted[name]]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no record of a mask job. Give another folder.") from None
    if differing:
        name = differing[0]
        raise UserError(
            f"{path.parent} holds faces masked with {name}={found[name]!r}, now it is {wanted[name]!r}. "
            "Give --overwrite or another folder."
        )


def read_journal(dst: Path) -> list[dict[str, Any]]:
    """Read the journal; a line that was cut short by the end of the process is cut off the file."""
    path, entries, whole = dst / JOURNAL, [], 0
    if not path.exists():
        return []
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        entries.append(json.loads(line))
        whole += len(line)
    if whole != path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(whole)
    return entries


def stamp(path: Path) -> list[int]:
    """Return size in bytes and time of change, by which a file that was changed is known."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def write_tables(dst: Path, entries: Sequence[dict[str, Any]], notes: Iterable[tuple[str, str]]) -> Summary:
    """Write ``masks.csv`` and ``skipped.csv``.

    Args:
        dst: the output folder.
        entries: one a picture that was done, as in the journal.
        notes: names of pictures and folders that were skipped, and why.
    """
    rows = [
        (e["source"], e["file"], face["face"], face["kind"], face["score"], *face["box"])
        for e in entries
        for face in e["faces"]
    ]
    skipped = sorted(notes)
    for name, header, table in ((MASKED, COLUMNS, rows), (SKIPPED, ("source", "reason"), skipped)):
        # Escaped, since a table with names that are no UTF-8 could not be read by others.
        with (
            atomic.replacing(dst / name) as part,
            part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows([header, *table])
    return Summary(len(rows), len(entries), len(skipped), (dst / MASKED, dst / SKIPPED))
