"""Writing one shard: a TFRecord file, the columns beside it, and, last of all, the JSON by which it counts."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf.datasets.shards import STATUSES, shard_name
from fer_tf.datasets.splits import folders_of, split_of
from fer_tf.datasets.tfrecord import encode_example, framed
from fer_tf.facetable import SPLITS
from fer_tf.io import atomic

# Bytes of a record before its content: length and the length's checksum.
HEAD = 12


@dataclass(frozen=True, eq=False)
class Record:
    """What became of one photograph.

    Attributes:
        name: of the photograph, relative to its folder.
        status: one of ``datasets.shards.STATUSES``.
        reason: why there is no face.
        image: uint8 (H, W, C) or ``None``.
        score, box, landmarks, face_landmarks, frame: as in ``faces.face_files.NewFace``; ``None`` where there are none.
        probabilities: float32 (C,) or ``None``.
        features: float32 (D,) or ``None``.
    """

    name: str
    status: str
    reason: str = ""
    image: np.ndarray | None = None
    score: float = np.nan
    box: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    face_landmarks: np.ndarray | None = None
    frame: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    features: np.ndarray | None = None

    def encoded(self) -> bytes:
        """Return the ``tf.train.Example``."""
        label, split = folders_of(self.name)
        shape = (0, 0, 0) if self.image is None else self.image.shape
        network = {"probabilities": self.probabilities, "features": self.features}
        return encode_example(
            {
                "id": self.name, "label": label, "split": split, "status": self.status, "reason": self.reason,
                "pixels": b"" if self.image is None else self.image.tobytes(),
                "size": [shape[0]], "channels": [shape[2]], "score": np.float32([self.score]),
                "box": _numbers(self.box, 4), "frame": _numbers(self.frame, 4),
                "landmarks": _numbers(self.landmarks, 10), "face_landmarks": _numbers(self.face_landmarks, 10),
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
    path, columns, digest = folder / shard_name(number), _Columns(), hashlib.blake2b(digest_size=16)
    size = 0
    with atomic.atomic_write(path.with_suffix(".tfrecord")) as part, part.open("wb") as file:
        for record in records:
            example = record.encoded()
            pixels = b"" if record.image is None else record.image.tobytes()
            columns.add(record, size + HEAD + example.index(pixels) if pixels else -1)
            frame = framed(example)
            digest.update(frame)
            size += file.write(frame)
    with atomic.atomic_write(path.with_suffix(".npz")) as part, part.open("wb") as file:
        np.savez(file, **columns.arrays())
        index_bytes = file.tell()
    counts = Counter(columns.statuses)
    summary = {
        "name": path.name, "key": key, "images": len(columns.ids),
        "faces": sum(offset >= 0 for offset in columns.offsets),
        "statuses": {status: counts[i] for i, status in enumerate(STATUSES)}, "classes": list(columns.classes),
        "longest_id": max(map(len, columns.ids)), "bytes": size, "index_bytes": index_bytes,
        "digest": digest.hexdigest(),
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
        label, split = (escaped(text) for text in folders_of(record.name))
        self.ids.append(escaped(record.name))
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


def escaped(name: str) -> str:
    """Write a name that is no UTF-8 with backslashes, since tables with it could not be read by others."""
    return name.encode("utf-8", "backslashreplace").decode()


def _numbers(values: np.ndarray | None, length: int) -> np.ndarray:
    return np.full(length, np.nan, np.float32) if values is None else np.asarray(values, np.float32)
