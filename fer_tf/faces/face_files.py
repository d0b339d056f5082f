"""Write the output folder of a crop job: pictures, shards and tables."""

import contextlib
import io
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from fer_tf.datasets.shards import SHARD, record_name
from fer_tf.datasets.splits import folders_of
from fer_tf.errors import UserError
from fer_tf.faces.detectors import POINT_COLUMNS, plausible
from fer_tf.io.atomic import atomic_write
from fer_tf.io.folder_job import FolderJob, JobSummary, stamp
from fer_tf.io.tables import Entry, Journal
from fer_tf.io.tfrecord import RecordWriter, encode_example

FACE_COLUMNS = (
    "source", "video_frame", "face", "file", "score", "x0", "y0", "x1", "y1", *POINT_COLUMNS,
    "doubtful", "frame_x", "frame_y", "frame_side", "frame_angle",
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
            *(face["box"] or [""] * 4), *(face["landmarks"] or [""] * 10),
            _doubtful(face), *face["frame"],
        ]  # fmt: skip


def _doubtful(face: Mapping[str, Any]) -> int:
    """Return 1 if the landmarks are not arranged as those of a face, so that it may be turned."""
    if not face["box"] or not face["landmarks"]:
        return 0
    return int(not plausible(np.array([face["box"]]), np.array(face["landmarks"]).reshape(1, 5, 2))[0])


def _blank(value: Any) -> Any:
    return "" if value is None else value


SHARD_FACES = 1024
_THREADS = 2
# Batches that may wait for their files while the next is detected.
_WAITING = 1
# Numbers of a face in a record, and how many each has.
_NUMBERS = {"box": 4, "landmarks": 10, "face_landmarks": 10, "frame": 4}


@dataclass(frozen=True, eq=False)
class NewFace:
    """A face to be written; values are ``None`` where they are not known.

    Attributes:
        image: uint8 (size, size, 1 or 3).
        name: see ``fer_tf.io.folders.face_name``.
        number: which of the picture's faces, from 0.
        score: the detector's; NaN for the whole picture.
        box: float32 (4,), x0, y0, x1, y1 in pixels of the photograph.
        landmarks: float32 (5, 2) in the photograph.
        face_landmarks: float32 (5, 2) in the face.
        frame: float32 (4,), what was cut out: center x, y, side, angle in radians.

    Example:
        >>> NewFace(np.zeros((8, 8, 1), np.uint8), "sad/a").features()["score"]
        array([nan], dtype=float32)
    """

    image: np.ndarray | None = None
    name: str = ""
    number: int = 0
    score: float = np.nan
    box: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    face_landmarks: np.ndarray | None = None
    frame: np.ndarray | None = None

    def row(self, file: str | int) -> dict[str, Any]:
        """Return what the journal keeps of the face, to a thousandth of a pixel.

        Args:
            file: its file relative to the output folder, or the number of its shard.
        """
        score = None if np.isnan(self.score) else round(float(self.score), 6)
        frame = [round(float(v), 5) for v in self.frame]
        box, landmarks = _rounded(self.box), _rounded(self.landmarks)
        return {"file": file, "number": self.number, "score": score, "box": box, "landmarks": landmarks, "frame": frame}

    def features(self) -> dict[str, np.ndarray]:
        """Return the numbers of the face for a record, NaN where they are not known."""
        values = {name: getattr(self, name) for name in _NUMBERS}
        blank = {name: np.full(count, np.nan, np.float32) for name, count in _NUMBERS.items()}
        known = {name: np.asarray(value, np.float32) for name, value in values.items() if value is not None}
        return {"score": np.float32([self.score]), **blank, **known}


class FaceWriter:
    """Write batches of faces; on exit everything is on disk, or after an error what is not is given up.

    Args:
        folder: the output folder.
        journal: gets the entries of a batch when its faces are on disk.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> face = NewFace(np.zeros((8, 8, 3), np.uint8), "a", frame=np.zeros(4))
        >>> with TemporaryDirectory() as folder, Journal(Path(folder) / "journal.jsonl") as journal:
        ...     with PictureWriter(Path(folder), journal, "png", quality=95) as writer:
        ...         writer.write([(Entry("a.jpg", None, "a", (0, 0)), [face])])
        ...     (Path(folder) / "a.png").is_file(), len(journal.places)
        (True, 1)
    """

    def __init__(self, folder: Path, journal: Journal):
        self._folder, self._journal = folder, journal
        self._pool, self._waiting = ThreadPoolExecutor(_THREADS), deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *error) -> None:
        try:
            while self._waiting and kind is None:
                self._end(self._waiting.popleft())
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, batch: Sequence[tuple[Entry, Sequence[NewFace]]]) -> None:
        """Take a batch of pictures and their faces."""
        self._waiting.append([(e, faces, [self._pool.submit(self._encode, e, f) for f in faces]) for e, faces in batch])
        while len(self._waiting) > _WAITING:
            self._end(self._waiting.popleft())

    def _encode(self, entry: Entry, face: NewFace) -> Any:
        """Do what can be done in a thread."""
        raise NotImplementedError

    def _end(self, batch: Sequence[tuple[Entry, Sequence[NewFace], Sequence[Future]]]) -> None:
        """Write a batch and its entries."""
        raise NotImplementedError


class PictureWriter(FaceWriter):
    """Write one file a face.

    Args:
        folder: the output folder.
        journal: gets the entries of a batch when its faces are on disk.
        suffix: ``png`` or ``jpg``.
        quality: of ``jpg``, 1 to 100.

    Example: see ``FaceWriter``.
    """

    def __init__(self, folder: Path, journal: Journal, suffix: str, quality: int):
        super().__init__(folder, journal)
        self._suffix, self._quality = suffix, quality

    def _encode(self, entry: Entry, face: NewFace) -> dict[str, Any]:
        file = f"{face.name}.{self._suffix}"
        with atomic_write(self._folder / file) as part:
            part.write_bytes(encoded(face.image, self._suffix, self._quality))
        return face.row(file)

    def _end(self, batch: Sequence[tuple[Entry, Sequence[NewFace], Sequence[Future]]]) -> None:
        self._journal.append([replace(e, faces=tuple(f.result() for f in futures)) for e, _, futures in batch])


class ShardWriter(FaceWriter):
    """Write shards of TFRecords; a shard and its entries in the journal appear when it is full.

    Args:
        folder: the output folder.
        journal: gets the entries of a shard when it is on disk.
        faces: a shard is full with the batch that brings it to so many.

    Example: see ``FaceWriter``.
    """

    def __init__(self, folder: Path, journal: Journal, faces: int = SHARD_FACES):
        super().__init__(folder, journal)
        self._limit, self._faces, self._entries = faces, 0, []
        self._shard, self._file = contextlib.ExitStack(), None

    def __exit__(self, *error) -> None:
        if error[0] is not None:
            self._shard.__exit__(*error)  # removes the shard that is not complete
            return super().__exit__(*error)
        with self._shard:
            super().__exit__(*error)
            return self._close_shard()

    def _encode(self, entry: Entry, face: NewFace) -> bytes:
        label, split = folders_of(entry.source)
        return encode_example(
            {
                "image": encoded(face.image, "png"), "size": [len(face.image)], "id": f"{face.name}.png",
                "label": label, "split": split, "source": entry.source,
                "video_frame": [-1 if entry.video_frame is None else entry.video_frame], "face": [face.number],
                **face.features(),
            }
        )  # fmt: skip

    def _end(self, batch: Sequence[tuple[Entry, Sequence[NewFace], Sequence[Future]]]) -> None:
        for entry, faces, futures in batch:
            if futures and self._file is None:
                self._open_shard()
            for future in futures:
                self._file.write(future.result())
            self._faces += len(futures)
            self._entries.append(replace(entry, faces=tuple(face.row(self._journal.shards) for face in faces)))
        if self._faces >= self._limit:
            self._close_shard()

    def _open_shard(self) -> None:
        # How many there will be is known at the end only; until then a shard is hidden from readers.
        name = f".faces-{self._journal.shards:05d}.tfrecord"
        part = self._shard.enter_context(atomic_write(self._folder / name))
        self._file = self._shard.enter_context(RecordWriter(part))

    def _close_shard(self) -> None:
        shards = self._journal.shards + (self._file is not None)
        self._shard.close()
        if self._entries:
            self._journal.append(self._entries, shards)
        self._entries, self._faces, self._file = [], 0, None


def encoded(image: np.ndarray, suffix: str, quality: int = 95) -> bytes:
    """Encode a picture.

    Args:
        image: uint8 (H, W, 3).
        suffix: ``png`` or ``jpg``.
        quality: of ``jpg``, 1 to 100.

    Example:
        >>> encoded(np.zeros((8, 8, 3), np.uint8), "png")[1:4]
        b'PNG'
    """
    file = io.BytesIO()
    if suffix == "png":
        # Level 1 takes two thirds of the time of the default and 8 % more space.
        Image.fromarray(image).save(file, "PNG", compress_level=1)
    else:
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _rounded(values: np.ndarray | None) -> list[float] | None:
    return None if values is None or np.isnan(values).any() else [round(float(v), 3) for v in np.ravel(values)]
