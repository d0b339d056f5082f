"""Writing cropped faces: one picture a face, or TFRecord shards. Encoding runs in threads, the order is kept."""

import io
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from fer_tf.datasets.records import SHARD, shard_name
from fer_tf.datasets.splits import folders_of
from fer_tf.datasets.tfrecord import encode_example, framed
from fer_tf.faces.journal import Entry, Face, Journal
from fer_tf.io import atomic

SHARD_FACES = 1024
THREADS = 2
# Batches that may wait for their files while the next is detected.
WAITING = 1


@dataclass(frozen=True, eq=False)
class NewFace:
    """A face to be written.

    Attributes:
        image: uint8 (size, size, 3).
        name: see ``naming.face_name``.
        number: which of its picture's faces.
        score: the detector's; NaN for the whole picture.
        box: float32 (4,).
        landmarks: float32 (5, 2) in the photograph.
        face_landmarks: float32 (5, 2) in the face.
        frame: float32 (4,).
    """

    image: np.ndarray
    name: str
    number: int
    score: float
    box: np.ndarray
    landmarks: np.ndarray
    face_landmarks: np.ndarray
    frame: np.ndarray

    def entry(self, file: str | int) -> Face:
        """Return what the journal keeps of it, to a thousandth of a pixel."""
        score = None if np.isnan(self.score) else round(float(self.score), 6)
        frame = [round(float(v), 5) for v in self.frame]
        return Face(file, self.number, score, _numbers(self.box), _numbers(self.landmarks), frame)


class FaceWriter(Protocol):
    """Where a job's faces go."""

    def write(self, batch: Sequence[tuple[Entry, Sequence[NewFace]]]) -> None:
        """Take a batch of pictures; they are in the journal once their faces are on disk."""
        ...

    def finish(self) -> None:
        """Wait until everything is on disk."""
        ...

    def stop(self) -> None:
        """Give up what is not yet on disk."""
        ...


class PictureWriter:
    """One file a face."""

    def __init__(self, folder: Path, journal: Journal, suffix: str, quality: int):
        """Write below ``folder``; ``suffix`` is ``png`` or ``jpg``, ``quality`` that of the latter."""
        self._folder, self._journal, self._suffix, self._quality = folder, journal, suffix, quality
        self._pool, self._waiting = ThreadPoolExecutor(THREADS), deque()

    def write(self, batch: Sequence[tuple[Entry, Sequence[NewFace]]]) -> None:
        entries, futures = [], []
        for entry, faces in batch:
            files = [f"{face.name}.{self._suffix}" for face in faces]
            futures += [self._pool.submit(self._write, *pair) for pair in zip(files, faces, strict=True)]
            entries.append(replace(entry, faces=tuple(f.entry(n) for f, n in zip(faces, files, strict=True))))
        self._waiting.append((entries, futures))
        while len(self._waiting) > WAITING:
            self._note_oldest()

    def finish(self) -> None:
        while self._waiting:
            self._note_oldest()
        self._pool.shutdown()

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _note_oldest(self) -> None:
        entries, futures = self._waiting.popleft()
        for future in futures:
            future.result()
        self._journal.append(entries)

    def _write(self, file: str, face: NewFace) -> None:
        with atomic.atomic_write(self._folder / file) as part:
            part.write_bytes(encoded(face.image, self._suffix, self._quality))


class ShardWriter:
    """TFRecord shards; a shard and its entries in the journal appear when it is full."""

    def __init__(self, folder: Path, journal: Journal, shard_faces: int = SHARD_FACES):
        """Write into ``folder``; a shard is full with the batch that brings it to ``shard_faces`` faces."""
        self._folder, self._journal, self._limit = folder, journal, shard_faces
        self._pool, self._waiting = ThreadPoolExecutor(THREADS), deque()
        self._entries: list[Entry] = []
        self._faces, self._file = 0, None

    def write(self, batch: Sequence[tuple[Entry, Sequence[NewFace]]]) -> None:
        self._waiting.append([(e, faces, [self._pool.submit(_record, e, f) for f in faces]) for e, faces in batch])
        while len(self._waiting) > WAITING:
            self._append_oldest()

    def finish(self) -> None:
        while self._waiting:
            self._append_oldest()
        self._close_shard()
        self._pool.shutdown()

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._file:
            self._file.close()
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        return self._folder / ".part-shard"

    def _append_oldest(self) -> None:
        for entry, faces, futures in self._waiting.popleft():
            if futures and self._file is None:
                self._file = self._part.open("wb")
            for future in futures:
                self._file.write(future.result())
            self._faces += len(futures)
            written = tuple(face.entry(self._journal.shards) for face in faces)
            self._entries.append(replace(entry, faces=written))
        if self._faces >= self._limit:
            self._close_shard()

    def _close_shard(self) -> None:
        shards = self._journal.shards
        if self._file:
            self._file.close()
            # How many there will be is known at the end only; until then a shard is hidden from readers.
            with atomic.atomic_write(self._folder / f".faces-{shards:05d}.tfrecord") as part:
                self._part.replace(part)
            shards += 1
        if self._entries:
            self._journal.append(self._entries, shards)
        self._entries, self._faces, self._file = [], 0, None


def encoded(image: np.ndarray, suffix: str, quality: int = 95) -> bytes:
    """Encode uint8 (H, W, 3) as ``png`` or ``jpg``."""
    file = io.BytesIO()
    if suffix == "png":
        # Level 1 takes two thirds of the time of the default and 8 % more space.
        Image.fromarray(image).save(file, "PNG", compress_level=1)
    else:
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def find_shards(folder: Path) -> list[tuple[int, Path]]:
    """Return number and file of the shards in a folder, those of an unfinished job among them."""
    found = [(int(m[1]), path) for path in folder.iterdir() if (m := SHARD.fullmatch(path.name))]
    return found + [(int(p.name[len(".faces-") :].split(".")[0]), p) for p in folder.glob(".faces-*.tfrecord")]


def name_shards(folder: Path, total: int) -> None:
    """Give the shards of a finished job the names by which readers find them."""
    for number, path in find_shards(folder):
        if number < total:
            path.replace(folder / shard_name(number, total))


def _record(entry: Entry, face: NewFace) -> bytes:
    label, split = folders_of(entry.source)
    example = encode_example(
        {
            "image": encoded(face.image, "png"),
            "size": [len(face.image)],
            "id": f"{face.name}.png",
            "label": label,
            "split": split,
            "source": entry.source,
            "video_frame": [-1 if entry.video_frame is None else entry.video_frame],
            "face": [face.number],
            "score": np.float32([face.score]),
            "box": face.box,
            "landmarks": face.landmarks,
            "face_landmarks": face.face_landmarks,
            "frame": face.frame,
        }
    )
    return framed(example)


def _numbers(values: np.ndarray) -> list[float] | None:
    return None if np.isnan(values).any() else [round(float(v), 3) for v in np.ravel(values)]
