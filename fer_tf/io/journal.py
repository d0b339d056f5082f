"""Keep a journal of what a job has done, so that a stopped job can be resumed.

The journal is a file of lines of JSON. A line is a batch of entries, added when all of their output is on disk. Work in
the journal is not done again, and a line that was cut short counts for nothing.
"""

import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from fer_tf.io.atomic import lock_file, open_without_following

__all__ = ["Entry", "Journal", "Key"]

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Entry:
    """What a job did with one picture, one frame of a video, or (with no frame number) a video as a whole.

    Attributes:
        source: name relative to the input folder.
        video_frame: number of the frame, from 0.
        name: name of the source's output, see ``fer_tf.io.naming``.
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
