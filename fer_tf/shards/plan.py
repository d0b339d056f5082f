"""Plan a job: its settings, and which photographs are in which shard."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from fer_tf.datasets.shards import INDEX, shard_name
from fer_tf.errors import UserError
from fer_tf.faces.crops import CropOptions
from fer_tf.io.atomic import atomic_write
from fer_tf.io.folder_job import FolderJob, stamp
from fer_tf.io.journal import Journal
from fer_tf.io.pictures import check_shape
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
