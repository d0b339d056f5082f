"""Describe the output folder of a crop job: tables, shards, changed sources."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fer_tf.datasets.records import SHARD, record_name
from fer_tf.errors import UserError
from fer_tf.faces.detectors import POINT_COLUMNS
from fer_tf.io.folder_job import FolderJob, JobSummary, stamp
from fer_tf.io.journal import Entry, Journal

FACE_COLUMNS = (
    "source", "video_frame", "face", "file", "score", "x0", "y0", "x1", "y1", *POINT_COLUMNS,
    "frame_x", "frame_y", "frame_side", "frame_angle",
)  # fmt: skip


class CropFolder(FolderJob):
    """A folder of cropped faces, as pictures or as shards of TFRecords.

    Example:
        >>> CropFolder(Path("faces")).exists
        False
    """

    settings_file = "crop.json"
    journal_file = ".crop-journal.jsonl"

    def clear(self, journal: Journal) -> None:
        """Delete the faces and the shards."""
        super().clear(journal)
        for _, path in self._shards():
            path.unlink()

    def check_sources(self, journal: Journal, sources: Sequence[tuple[Path, str]]) -> dict[str, tuple[int, int]]:
        """Compare the sources with what the journal says of them.

        One that gave no face and has changed or is gone is forgotten, so that a repaired picture is read again.

        Returns:
            The stamp of each source.

        Raises:
            UserError: one that gave faces has changed or is gone.
        """
        stamps = {name: stamp(path) for path, name in sources}
        other = {key[0] for key, place in journal.places.items() if stamps.get(key[0]) != place.stamp}
        lost = sorted({key[0] for key, place in journal.places.items() if key[0] in other and place.faces})
        if lost:
            raise UserError(
                f"{len(lost)} sources with faces in {self.folder} have changed or are gone, the first is {lost[0]!r}. "
                "Give --overwrite or another folder."
            )
        journal.forget(other)
        return stamps

    def finish(self, journal: Journal, notes: Mapping[str, str]) -> JobSummary:
        """Give the shards the names by which readers find them, and write the tables."""
        for number, path in self._shards():
            if number < journal.shards:
                path.replace(self.folder / record_name(number, journal.shards))
            else:  # Its entries were damaged, and its faces are in another shard now.
                path.unlink()
        return self.write_tables(journal, FACE_COLUMNS, lambda entry: _rows(entry, journal.shards), notes)

    def _shards(self) -> list[tuple[int, Path]]:
        """Return number and file of the shards, those of an unfinished job among them."""
        found = [(int(m[1]), path) for path in self.folder.iterdir() if (m := SHARD.fullmatch(path.name))]
        return found + [(int(p.name[len(".faces-") :].split(".")[0]), p) for p in self.folder.glob(".faces-*.tfrecord")]


def _rows(entry: Entry, shards: int) -> Iterable[list[Any]]:
    for face in entry.faces:
        file = record_name(face["file"], shards) if isinstance(face["file"], int) else face["file"]
        yield [
            entry.source, _blank(entry.video_frame), face["number"], file, _blank(face["score"]),
            *(face["box"] or [""] * 4), *(face["landmarks"] or [""] * 10), *face["frame"],
        ]  # fmt: skip


def _blank(value: Any) -> Any:
    return "" if value is None else value
