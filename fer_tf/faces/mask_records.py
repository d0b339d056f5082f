"""The output folder of a mask job: whether it may be used, what is done, and its tables."""

import csv
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fer_tf.datasets.folder import is_litter
from fer_tf.errors import UserError
from fer_tf.faces.naming import LONGEST
from fer_tf.io import atomic

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


def file_names(names: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Give each source the file that it is written to: its own name, with .png after a suffix that is not written.

    No two get the same, whatever their case, since it makes no difference on every file system; names too long for a
    temporary file beside them are cut.

    Args:
        names: of all sources.
        known: by source, the files of earlier jobs; they stay.

    Returns:
        A file for each source.
    """
    folders = {str(p) for name in names for p in PurePosixPath(name).parents[:-1]}
    own = {_key(n) for n in (*names, *folders)}
    taken = {_key(f) for f in known.values()}
    files = {}
    for name in names:
        if name not in known:
            free = (f for f in _candidates(name) if _key(f) not in taken and (f == name or _key(f) not in own))
            files[name] = next(free)
            taken.add(_key(files[name]))
        else:
            files[name] = known[name]
    return files


def _candidates(name: str) -> Iterator[str]:
    """Yield names that a source's file could have, the best first."""
    if PurePosixPath(name).suffix.lower() not in KEPT_SUFFIXES:
        name += ".png"
    while True:
        yield _short(name)
        name += ".png"


def _short(file: str) -> str:
    path = PurePosixPath(file)
    data = path.name.encode("utf-8", "surrogateescape")
    if len(data) <= LONGEST:
        return file
    digest = hashlib.blake2b(data, digest_size=4).hexdigest()
    return str(path.with_name(f"{data[:LONGEST].decode('utf-8', 'ignore')}~{digest}{path.suffix}"))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def escaped(path: Path) -> str:
    """Return a path as text that can be written, also where its name is no UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def check_places(src: Path, dst: Path) -> None:
    """Raise a ``UserError`` where one of the two is inside the other."""
    inner, outer = dst.resolve(), src.resolve()
    if inner == outer or (outer.is_dir() and inner.is_relative_to(outer)) or outer.is_relative_to(inner):
        raise UserError(f"{src} and {dst}: one is inside the other. Give an output folder elsewhere.")


def begin(dst: Path, wanted: Mapping[str, Any], overwrite: bool) -> None:
    """Make ``mask.json``, or check that the folder's is of this job; with ``overwrite`` delete what is listed.

    Other options are accepted as long as nothing is done.
    """
    path = dst / OPTIONS
    if not path.exists() and any(not is_litter(p.name) for p in dst.iterdir()):
        raise UserError(f"{dst} is not empty and holds no {OPTIONS} of an earlier job. Give an empty or new folder.")
    for part in dst.rglob(".part-*"):
        part.unlink(missing_ok=True)
    entries = read_journal(dst)
    if path.exists() and not overwrite:
        differing = _differing(path, wanted)
        if differing and entries:
            raise UserError(f"{dst} {differing}. Give --overwrite or another folder.")
        if not differing:
            return
    for entry in entries:
        (dst / entry["file"]).unlink(missing_ok=True)
    for name in (JOURNAL, MASKED, SKIPPED):
        (dst / name).unlink(missing_ok=True)
    atomic.write_json(path, wanted)


def _differing(path: Path, wanted: Mapping[str, Any]) -> str:
    """Say in which option a job differs from the folder's; empty where in none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in wanted if found[name] != wanted[name]]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no record of a mask job. Give another folder.") from None
    if not differing:
        return ""
    name = differing[0]
    return f"holds faces masked with {name}={found[name]!r}, now it is {wanted[name]!r}"


def read_journal(dst: Path) -> list[dict[str, Any]]:
    """Read the journal; lines that were cut short by the end of a process, or are none of ours, are taken out."""
    path = dst / JOURNAL
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    entries = [_entry(line) for line in lines[:-1]]
    if lines[-1] or None in entries:
        with atomic.atomic_write(path) as part:
            part.write_bytes(b"".join(b"%s\n" % x for x, e in zip(lines[:-1], entries, strict=True) if e is not None))
    return [e for e in entries if e is not None]


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.keys() == {"source", "file", "stamp", "faces"} else None


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
            atomic.atomic_write(dst / name) as part,
            part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows([header, *table])
    return Summary(len(rows), len(entries), len(skipped), (dst / MASKED, dst / SKIPPED))
