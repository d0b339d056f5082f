"""Write one shard: a TFRecord file, its columns, and last its JSON."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf.datasets.shards import STATUSES, shard_name
from fer_tf.datasets.splits import folders_of, split_of
from fer_tf.faces.face_files import NewFace
from fer_tf.facetable import SPLITS
from fer_tf.io import atomic
from fer_tf.io.folder_job import escape
from fer_tf.io.tfrecord import HEAD_BYTES, RECORD_BYTES, RecordWriter, encode_example


@dataclass(frozen=True, eq=False)
class Record:
    """What became of one photograph.

    Attributes:
        name: of the photograph, relative to its folder.
        status: one of ``datasets.shards.STATUSES``.
        reason: why there is no face.
        face: the face and where it is; without an image if there is none.
        probabilities: float32 (C,) or ``None``.
        features: float32 (D,) or ``None``.

    Example:
        >>> Record("sad/a.jpg", "unreadable", "empty file.").image is None
        True
    """

    name: str
    status: str
    reason: str = ""
    face: NewFace = NewFace()  # noqa: RUF009 - frozen
    probabilities: np.ndarray | None = None
    features: np.ndarray | None = None

    @property
    def image(self) -> np.ndarray | None:
        """Pixels of the face, uint8 (H, W, C)."""
        return self.face.image

    def encoded(self) -> bytes:
        """Return the ``tf.train.Example``."""
        label, split = folders_of(self.name)
        shape = (0, 0, 0) if self.image is None else self.image.shape
        network = {"probabilities": self.probabilities, "features": self.features}
        return encode_example(
            {
                "id": self.name, "label": label, "split": split, "status": self.status, "reason": self.reason,
                "pixels": b"" if self.image is None else self.image.tobytes(),
                "size": [shape[0]], "channels": [shape[2]], **self.face.features(),
                **{name: values for name, values in network.items() if values is not None},
            }
        )  # fmt: skip


def write_shard(folder: Path, number: int, records: Iterable[Record], key: str) -> dict[str, Any]:
    """Write a shard, whole or not at all; hold one record's pixels at a time.

    Args:
        folder: where.
        number: of the shard.
        records: one a photograph.
        key: of its block.

    Returns:
        What its JSON says.
    """
    path, columns, size = folder / shard_name(number), _Columns(), 0
    with atomic.atomic_write(path.with_suffix(".tfrecord")) as part, RecordWriter(part) as file:
        for record in records:
            example = record.encoded()
            pixels = b"" if record.image is None else record.image.tobytes()
            columns.add(record, size + HEAD_BYTES + example.index(pixels) if pixels else -1)
            file.write(example)
            size += RECORD_BYTES + len(example)
    with atomic.atomic_write(path.with_suffix(".npz")) as part, part.open("wb") as file:
        np.savez(file, **columns.arrays())
        index_bytes = file.tell()
    counts = Counter(columns.statuses)
    summary = {
        "name": path.name, "key": key, "images": len(columns.ids),
        "faces": sum(offset >= 0 for offset in columns.offsets),
        "statuses": {status: counts[i] for i, status in enumerate(STATUSES)}, "classes": list(columns.classes),
        "longest_id": max(map(len, columns.ids)), "bytes": size, "index_bytes": index_bytes,
        "digest": digest_of(path.with_suffix(".tfrecord")),
    }  # fmt: skip
    atomic.write_json(path.with_suffix(".json"), summary)
    return summary


class _Columns:
    """The columns of a shard, as they grow."""

    def __init__(self):
        self.ids: list[str] = []
        self.statuses: list[int] = []
        self.labels: list[int] = []
        self.splits: list[int] = []
        self.offsets: list[int] = []
        self.classes: dict[str, int] = {}
        self.network: dict[str, list[np.ndarray | None]] = {"probabilities": [], "features": []}

    def add(self, record: Record, offset: int) -> None:
        label, split = (escape(text) for text in folders_of(record.name))
        self.ids.append(escape(record.name))
        self.statuses.append(STATUSES.index(record.status))
        self.labels.append(self.classes.setdefault(label, len(self.classes)) if label else -1)
        self.splits.append(SPLITS.index(split_of(split)) if split else -1)
        self.offsets.append(offset)
        for name, values in self.network.items():
            values.append(getattr(record, name))

    def arrays(self) -> dict[str, np.ndarray]:
        hashes = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in self.ids]
        found = {
            "ids": np.array(self.ids, dtype=str), "statuses": np.array(self.statuses, np.int8),
            "labels": np.array(self.labels, np.int32), "splits": np.array(self.splits, np.int8),
            "offsets": np.array(self.offsets, np.int64), "places": np.frombuffer(b"".join(hashes), ">u8").astype("<u8"),
        }  # fmt: skip
        for name, values in self.network.items():
            width = next((len(v) for v in values if v is not None), 0)
            if width:
                blank = np.full(width, np.nan, np.float32)
                found[name] = np.stack([blank if v is None else v for v in values]).astype(np.float32)
        return found


def digest_of(path: Path) -> str:
    """Return 32 hex digits that change with a file's bytes."""
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(2**20):
            state.update(part)
    return state.hexdigest()
