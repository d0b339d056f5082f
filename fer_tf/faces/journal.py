"""What a crop job has done, so that it may be killed at any time and go on.

The journal is a hidden file of lines of JSON. A line is one batch of pictures, added when all their faces are on disk:
what is in it need not be done again, and a line cut short by the end of the process counts for nothing.
"""

import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

JOURNAL = ".crop-journal.jsonl"

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Face:
    """One face that was written; numbers in pixels of the photograph.

    Attributes:
        file: its file relative to the output folder; of a TFRecord the shard's number.
        number: which of its picture's faces, from 0.
        score: the detector's, ``None`` for the whole picture.
        box: x0, y0, x1, y1.
        landmarks: ten numbers x, y; ``None`` where there are none.
        frame: centre x, y, side, angle.
    """

    file: str | int
    number: int
    score: float | None
    box: list[float] | None
    landmarks: list[float] | None
    frame: list[float]


@dataclass(frozen=True)
class Entry:
    """What became of one photograph, of one frame of a video, or (with no frame number) of a video as a whole.

    Attributes:
        source: name relative to the input folder.
        video_frame: number of the frame.
        name: what the source's faces are called, see ``naming``.
        stamp: the source's size in bytes and time of change.
        reason: why it was skipped; empty when it was not.
        faces: those written.
    """

    source: str
    video_frame: int | None
    name: str
    stamp: tuple[int, int]
    reason: str = ""
    faces: tuple[Face, ...] = ()

    @property
    def key(self) -> Key:
        return self.source, self.video_frame

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Make an entry of its JSON."""
        faces = tuple(Face(**face) for face in value["faces"])
        return cls(**{**value, "stamp": tuple(value["stamp"]), "faces": faces})


class _Place(NamedTuple):
    """Where in the file an entry is, and what is asked of it often."""

    offset: int
    number: int
    name: str
    stamp: tuple[int, int]
    faces: int


class Journal:
    """The journal of one output folder; holds where entries are, not the entries.

    Attributes:
        places: by source and frame; a later entry replaces an earlier one.
        shards: how many shards are complete.
    """

    def __init__(self, folder: Path):
        """Read what is there; a line that was cut short is cut off."""
        self.path = folder / JOURNAL
        self.places: dict[Key, _Place] = {}
        self.shards = 0
        self.path.touch()
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    batch = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    batch = None
                if batch is None:
                    break
                self._note(whole, batch["shards"], [Entry.of(e) for e in batch["entries"]])
                whole += len(line)
        os.truncate(self.path, whole)

    def append(self, entries: Iterable[Entry], shards: int = 0) -> None:
        """Add a batch; on return it is on disk.

        Args:
            entries: their faces must be on disk.
            shards: how many shards are complete with it.
        """
        entries = list(entries)
        # Plain ASCII: names that are no UTF-8 come back as they were.
        batch = {"shards": shards, "entries": [asdict(e) for e in entries]}
        line = json.dumps(batch, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
        with self.path.open("ab") as file:
            offset = file.tell()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._note(offset, shards, entries)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries by source, the frames of a video before the video as a whole."""
        places = sorted(self.places.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or 0))
        with self.path.open("rb") as file:
            offset, batch = -1, []
            for _, place in places:
                if place.offset != offset:
                    file.seek(place.offset)
                    offset, batch = place.offset, json.loads(file.readline())["entries"]
                yield Entry.of(batch[place.number])

    def forget(self, sources: Container[str]) -> None:
        """Leave sources out of the index, so that they are done again."""
        self.places = {key: place for key, place in self.places.items() if key[0] not in sources}

    def _note(self, offset: int, shards: int, entries: Iterable[Entry]) -> None:
        self.shards = max(self.shards, shards)
        for number, e in enumerate(entries):
            self.places[e.key] = _Place(offset, number, e.name, e.stamp, len(e.faces))
