"""Plan which photographs are in which shard, and write a shard."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from fer_tf.datasets.shards import INDEX, STATUSES, shard_name
from fer_tf.datasets.splits import folders_of, split_of
from fer_tf.errors import UserError
from fer_tf.faces.crops import CropOptions
from fer_tf.faces.face_files import NewFace
from fer_tf.facetable import SPLITS
from fer_tf.io import atomic
from fer_tf.io.atomic import atomic_write
from fer_tf.io.folder_job import FolderJob, escape, stamp
from fer_tf.io.pictures import check_shape
from fer_tf.io.tables import Journal
from fer_tf.io.tfrecord import HEAD_BYTES, RECORD_BYTES, RecordWriter, encode_example
from fer_tf.models import weights_path

SOURCES = "sources.jsonl"
SHARD = re.compile(r"shard-(\d{5,})\.(?:json|npz|tfrecord)")
FACES = ("largest", "central", "whole")


@dataclass(frozen=True)
class ShardOptions:
    """Set how records of shards are made.

    Attributes:
        size: Side of a face in pixels.
        channels: 1 (gray) or 3 (RGB).
        faces: Which face of a photograph to keep: ``largest`` or ``central``; ``whole`` means that each image is one
            cropped face.
        detector: As in ``faces.crops.CropOptions``; not used with ``whole``.
        margin: As in ``faces.crops.CropOptions``; not used with ``whole``.
        align: As in ``faces.crops.CropOptions``; not used with ``whole``.
        fallback: As in ``faces.crops.CropOptions``; not used with ``whole``.
        model: Name of a shipped network or a ``.keras`` file, whose predictions are stored; ``None`` for none.
        features: Also store the network's last features, the input of its layer ``logits``.
        shard_images: Number of photographs in a shard, which is repeated if its worker dies.

    Raises:
        UserError: A value is out of range.

    Example:
        >>> ShardOptions(faces="whole", size=48).shard_images
        4096
    """

    size: int = 48
    channels: int = 1
    faces: str = "largest"
    detector: str = "retinaface"
    margin: float = 0.0
    align: bool = True
    fallback: str = "skip"
    model: str | None = None
    features: bool = False
    shard_images: int = 4096

    def __post_init__(self):
        check_shape(self.size, self.channels)
        if self.faces not in FACES:
            raise UserError(f"faces={self.faces!r} is unknown. Expected {', '.join(FACES)}: one record a photograph.")
        if not isinstance(self.shard_images, int) or not 1 <= self.shard_images <= 10**7:
            raise UserError(f"shard_images={self.shard_images!r} is out of range. Expected 1 to 10,000,000.")
        if self.features and not self.model:
            raise UserError("Features are those of a network. Name one as model.")
        _ = self.crop
        if self.model:
            weights_path(self.model)

    @property
    def crop(self) -> CropOptions:
        """How faces are found and cut out."""
        which = "largest" if self.faces == "whole" else self.faces
        return CropOptions(
            size=self.size, detector=self.detector, faces=which, margin=self.margin, align=self.align,
            fallback=self.fallback,
        )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """Return what the records depend on, as JSON; the network by its bytes."""
        values = {**asdict(self), "network": ""}
        if self.model:
            values["network"] = hashlib.blake2b(weights_path(self.model).read_bytes(), digest_size=8).hexdigest()
        return values


@dataclass(frozen=True)
class Task:
    """What every worker knows.

    Attributes:
        src: the photographs' folder, or a single photograph.
        dst: the shards' folder.
        options: how records are made.
    """

    src: Path
    dst: Path
    options: ShardOptions

    def path_of(self, name: str) -> Path:
        """Return a photograph's file."""
        return self.src / name if self.src.is_dir() else self.src


@dataclass(frozen=True)
class Block:
    """The photographs of one shard, by reference.

    Attributes:
        number: of the shard, from 0.
        images: how many photographs.
        start: where in ``sources.jsonl`` its line begins, in bytes.
        key: sixteen hex digits that change with the settings, and with name, size or time of any photograph.
    """

    number: int
    images: int
    start: int
    key: str

    def names(self, dst: Path) -> list[str]:
        """Read the photographs' names from the line."""
        with (dst / SOURCES).open("rb") as file:
            file.seek(self.start)
            return json.loads(file.readline())

    def written(self, dst: Path) -> dict[str, Any] | None:
        """Return what the shard's JSON says, ``None`` unless its files are there and of this very block."""
        path = dst / shard_name(self.number)
        try:
            found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            sizes = {suffix: path.with_suffix(suffix).stat().st_size for suffix in (".tfrecord", ".npz")}
            same = (found["key"], found["bytes"], found["index_bytes"]) == (self.key, sizes[".tfrecord"], sizes[".npz"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if same else None

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Make a block of ``asdict``'s."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})


class ShardFolder(FolderJob):
    """A folder of shards; the JSON files of the shards are its journal, since workers on other hosts write them.

    Example:
        >>> ShardFolder(Path("shards")).exists
        False
    """

    holds = "shards"
    # The records do not depend on where the network's file lies.
    free = ("model",)

    def started(self, journal: Journal) -> bool:
        """Return whether there is a shard."""
        return any(self.folder.glob("shard-*.json"))

    def clear(self, journal: Journal) -> None:
        """Delete the shards."""
        for name in (INDEX, SOURCES):
            (self.folder / name).unlink(missing_ok=True)
        self.remove_shards(0)

    def remove_shards(self, first: int) -> None:
        """Delete the shards from a number on."""
        for path in self.folder.iterdir():
            if (found := SHARD.fullmatch(path.name)) and int(found[1]) >= first:
                path.unlink()


def write_sources(task: Task, sources: Sequence[tuple[Path, str]], settings: dict[str, Any]) -> list[Block]:
    """Divide the photographs, sorted by name, among shards; write which are in which, a line of JSON a shard."""
    blocks, start, many = [], 0, task.options.shard_images
    bound = {name: value for name, value in settings.items() if name not in ShardFolder.free}
    with atomic_write(task.dst / SOURCES) as part, part.open("wb") as file:
        for first in range(0, len(sources), many):
            inside = sources[first : first + many]
            line = json.dumps([name for _, name in inside], separators=(",", ":")).encode("ascii") + b"\n"
            key = hashlib.blake2b(line + json.dumps(bound, sort_keys=True).encode(), digest_size=8)
            key.update(repr([stamp(path) for path, _ in inside]).encode())
            blocks.append(Block(len(blocks), len(inside), start, key.hexdigest()))
            start += file.write(line)
    return blocks


def read_sources(dst: Path) -> Iterator[list[str]]:
    """Yield the names of each shard's photographs."""
    with (dst / SOURCES).open("rb") as file:
        for line in file:
            yield json.loads(line)


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
