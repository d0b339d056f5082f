"""What a job is to do: its settings, which photographs are in which shard, and which shards are there."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from fer_tf.datasets.folder import is_litter
from fer_tf.datasets.shards import INDEX, shard_name
from fer_tf.errors import UserError
from fer_tf.faces.crops import CropOptions
from fer_tf.io import atomic
from fer_tf.io.pictures import check_shape
from fer_tf.models import weights_path

JOB, SOURCES = "job.json", "sources.jsonl"
SHARD = re.compile(r"shard-(\d{5,})\.(?:json|npz|tfrecord)")
FACES = ("largest", "central", "whole")
# Settings that may differ from start to start: the records do not depend on where the network's file lies.
UNBOUND = ("model",)


@dataclass(frozen=True)
class ShardOptions:
    """How records are made.

    Attributes:
        size, channels: of a face, in pixels; 1 (gray) or 3 (RGB).
        faces: which face of a photograph, ``largest`` or ``central``; or ``whole``: faces are cut out already, each
            picture is one.
        detector, margin, align, fallback: as in ``faces.crops.CropOptions``; idle with ``whole``.
        model: a network whose distribution of each face is stored: a shipped name or a ``.keras`` file.
        features: store the network's last features as well, what its layer ``logits`` gets.
        shard_images: photographs a shard; the unit that is repeated when a worker dies.

    Raises:
        UserError: a value out of range.
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


def open_folder(task: Task, overwrite: bool) -> dict[str, Any]:
    """Begin the job in its folder, or take it up; return its settings.

    Raises:
        UserError: the folder holds something else, or a job of other settings.
    """
    path, settings = task.dst / JOB, task.options.settings()
    if not path.exists():
        if any(not is_litter(p.name) for p in task.dst.iterdir()):
            raise UserError(f"{task.dst} is not empty and holds no {JOB} of an earlier job. Give an empty folder.")
    elif overwrite:
        for name in (INDEX, SOURCES):
            (task.dst / name).unlink(missing_ok=True)
        remove_shards(task.dst, 0)
    elif any(task.dst.glob("shard-*.json")):
        _check_same(path, settings)
    atomic.remove_leftovers(task.dst)
    atomic.write_json(path, settings)
    return settings


def write_sources(task: Task, sources: Sequence[tuple[Path, str]], settings: dict[str, Any]) -> list[Block]:
    """Deal the photographs, sorted by name, to shards; write which are in which, a line of JSON a shard."""
    blocks, start, many = [], 0, task.options.shard_images
    bound = {name: value for name, value in settings.items() if name not in UNBOUND}
    with atomic.atomic_write(task.dst / SOURCES) as part, part.open("wb") as file:
        for first in range(0, len(sources), many):
            inside = sources[first : first + many]
            line = json.dumps([name for _, name in inside], separators=(",", ":")).encode("ascii") + b"\n"
            key = hashlib.blake2b(line + json.dumps(bound, sort_keys=True).encode(), digest_size=8)
            key.update(repr([_stamp(path) for path, _ in inside]).encode())
            blocks.append(Block(len(blocks), len(inside), start, key.hexdigest()))
            start += file.write(line)
    return blocks


def remove_shards(dst: Path, first: int) -> None:
    """Delete the shards from a number on."""
    for path in dst.iterdir():
        if (found := SHARD.fullmatch(path.name)) and int(found[1]) >= first:
            path.unlink()


def read_sources(dst: Path) -> Iterator[list[str]]:
    """Yield the names of each shard's photographs."""
    with (dst / SOURCES).open("rb") as file:
        for line in file:
            yield json.loads(line)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat, and there are many
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _check_same(path: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in wanted if name not in UNBOUND and found[name] != wanted[name]]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no record of such a job. Give another folder.") from None
    if differing:
        name = differing[0]
        raise UserError(
            f"{path.parent} holds shards with {name}={found[name]!r}, now it is {wanted[name]!r}. "
            "Give --overwrite or another folder."
        )
