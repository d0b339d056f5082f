"""Read CSV files; keep the journal of a job that can be resumed.

The journal is a file of lines of JSON. A line is a batch of entries, added when all of their output is on disk. Work in
the journal is not done again, and a line that was cut short counts for nothing.
"""

import csv
import gzip
import json
import os
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from fer_tf.errors import DataError
from fer_tf.io.atomic import lock_file, open_without_following

__all__ = ["cell", "read_lines", "read_table", "separator_of"]

# FER2013's lines have 9,300 bytes, its gzipped file a third of its bytes; what is far beyond is no table of faces.
LONGEST_LINE = 2**20
_FREE, _RATIO = 2**26, 100
_SEPARATORS = ",;\t"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read_lines(path: Path | str) -> Iterator[bytes]:
    """Yield the lines of a file, unpacked if its name ends with ``.gz``, with their ends.

    Memory and time are bounded: a line has at most ``LONGEST_LINE`` bytes, and a gzipped file may grow to 100 times
    its size (a small one to 64 MiB).

    Raises:
        DataError: The file goes beyond a bound; without the path in it.
        EOFError, OSError, zlib.error: It cannot be read, or is damaged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "faces.csv").write_bytes(b"path,label")
        ...     list(read_lines(f"{folder}/faces.csv"))
        [b'path,label']
    """
    path = Path(path)
    if path.suffix.lower() != ".gz":
        with path.open("rb", buffering=1 << 20) as file:
            yield from _bounded(file, None)
        return
    with gzip.open(path) as file:
        yield from _bounded(file, max(_FREE, _RATIO * path.stat().st_size))


def read_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV in UTF-8, each with its line number from 1; blank lines are left out.

    Args:
        path: The file. Its fields are separated by commas; by semicolons or tabs where its first line has no comma.

    Raises:
        DataError: The file is no such CSV, or damaged.
        OSError: It is not there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "faces.csv").write_text("path;label")
        ...     list(read_table(Path(folder, "faces.csv")))
        [(1, ['path', 'label'])]
    """
    try:
        lines = (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(read_lines(path)))
        first = next(lines, "")
        reader = csv.reader(_chained(first, lines), delimiter=separator_of(first))
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (csv.Error, UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}).") from None


def cell(value: object) -> object:
    """Return a value as it is written to a CSV: spreadsheets would run a path that begins with ``=`` as a formula.

    A path gets ``./`` before it, and names the same file; numbers and other texts stay as they are.

    Example:
        >>> cell("=1+1.jpg"), cell("a.jpg"), cell(-0.5)
        ('./=1+1.jpg', 'a.jpg', -0.5)
    """
    return f"./{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def separator_of(header: str) -> str:
    r"""Return the character that separates the fields of a header: comma, else semicolon, else tab.

    Example:
        >>> separator_of("path;angry;happy")
        ';'
    """
    return next((s for s in _SEPARATORS if s in header), ",")


def _chained(first: str, lines: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
    yield from lines


def _bounded(file: BinaryIO, most: int | None) -> Iterator[bytes]:
    total = 0
    while line := file.readline(LONGEST_LINE + 1):
        total += len(line)
        if len(line) > LONGEST_LINE:
            raise DataError(f"a line of more than {LONGEST_LINE:,} bytes, which is no row of faces.")
        if most is not None and total > most:
            raise DataError(f"unpacks to more than {most:,} bytes, {_RATIO} times its size. Unpack it yourself first.")
        yield line


__all__ = ["Entry", "Journal", "Key"]

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Entry:
    """What a job did with one picture, one frame of a video, or (with no frame number) a video as a whole.

    Attributes:
        source: name relative to the input folder.
        video_frame: number of the frame, from 0.
        name: name of the source's output, see ``fer_tf.io.folders``.
        stamp: size of the source in bytes, and time of its last change in nanoseconds.
        reason: why it was skipped; empty if it was not.
        faces: for each face that was written, its values by name.

    Example:
        >>> Entry("sad/a.jpg", None, "sad/a", (3_000, 1), reason="no face found.").key
        ('sad/a.jpg', None)
    """

    source: str
    video_frame: int | None
    name: str
    stamp: tuple[int, int]
    reason: str = ""
    faces: tuple[Any, ...] = ()

    @property
    def key(self) -> Key:
        """Source and frame."""
        return self.source, self.video_frame

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return an entry from its JSON."""
        return cls(**{**value, "stamp": tuple(value["stamp"]), "faces": tuple(value["faces"])})


class _Place(NamedTuple):
    """Where in the file an entry is, and those of its values that are asked for often."""

    offset: int
    number: int
    name: str
    stamp: tuple[int, int]
    faces: int


class Journal:
    """A journal file; memory holds where its entries are, not the entries.

    Args:
        path: the file; is made if it is not there. Damaged lines are taken out.
        lock: keep other processes out of it.

    Attributes:
        places: place by source and frame; a later entry replaces an earlier one.
        shards: how many output files of many faces each are complete.

    Raises:
        UserError: with ``lock``, another process is at work on it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for number in range(2):
        ...         with Journal(Path(folder) / "journal.jsonl") as journal:
        ...             journal.append([Entry(f"{number}.jpg", None, f"{number}", (0, 0))])
        ...             [entry.source for entry in journal.entries()]
        ['0.jpg']
        ['0.jpg', '1.jpg']
    """

    def __init__(self, path: Path, lock: bool = False):
        self.path = path
        self.places: dict[Key, _Place] = {}
        self.shards = 0
        self._file = open_without_following(path)
        try:
            if lock:
                lock_file(self._file, path)
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def append(self, entries: Iterable[Entry], shards: int = 0) -> None:
        """Add a batch of entries; they are on disk when this returns.

        Args:
            entries: their output must be on disk.
            shards: how many shards are complete with them.
        """
        entries = list(entries)
        # Plain ASCII: names that are not UTF-8 come back as they were.
        batch = {"shards": shards, "entries": [asdict(e) for e in entries]}
        line = json.dumps(batch, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._note(offset, shards, entries)

    def entries(self, sort: bool = True) -> Iterator[Entry]:
        """Yield the entries.

        Args:
            sort: by source, and the frames of a video before the video as a whole; else in the order of the file.
        """
        places = list(self.places.values())
        if sort:
            places = [place for _, place in sorted(self.places.items(), key=_order)]
        offset, batch = -1, []
        for place in places:
            if place.offset != offset:
                self._file.seek(place.offset)
                offset, batch = place.offset, json.loads(self._file.readline())["entries"]
            yield Entry.of(batch[place.number])

    def forget(self, sources: Container[str]) -> None:
        """Leave sources out, so that they are done again."""
        self.places = {key: place for key, place in self.places.items() if key[0] not in sources}

    def clear(self) -> None:
        """Delete all entries."""
        self._file.truncate(0)
        self.places, self.shards = {}, 0

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for line in self._file:
            batch = _batch(line)
            if batch is None:
                return self._drop_damage(whole)
            self._note(whole, *batch)
            whole += len(line)
        return None

    def _drop_damage(self, whole: int) -> None:
        """Take a damaged line out. Later lines stay, except those of shards, whose numbers will be given again."""
        later = [batch for line in self._file if (batch := _batch(line)) and not batch[0]]
        self._file.truncate(whole)
        for _, entries in later:
            self.append(entries)

    def _note(self, offset: int, shards: int, entries: Iterable[Entry]) -> None:
        self.shards = max(self.shards, shards)
        for number, e in enumerate(entries):
            self.places[e.key] = _Place(offset, number, e.name, e.stamp, len(e.faces))


def _batch(line: bytes) -> tuple[int, list[Entry]] | None:
    """Return the shards and the entries of a line; ``None`` if it is damaged."""
    try:
        batch = json.loads(line) if line.endswith(b"\n") else None
        return int(batch["shards"]), [Entry.of(e) for e in batch["entries"]]
    except (ValueError, KeyError, TypeError):
        return None


def _order(item: tuple[Key, _Place]) -> tuple[str, bool, int]:
    (source, frame), _ = item
    return source, frame is None, frame or 0
