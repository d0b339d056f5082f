"""Prepare photographs as shards of faces, and check shards.

Photographs are sorted by name and divided into blocks. A block is the unit of work: its shard is written completely or
not at all, with the same bytes by any worker. So every photograph has exactly one record, also if workers die, and a
job that was stopped ends like one that was not. A shard whose photographs have changed is written again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from fer_tf.datasets.shards import INDEX, STATUSES, read_columns, read_index, shard_name
from fer_tf.errors import DataError
from fer_tf.io import atomic, folders
from fer_tf.io.folder_job import escape
from fer_tf.io.tfrecord import decode_example, read_records
from fer_tf.progress import bar
from fer_tf.shards import plan
from fer_tf.shards.plan import Block, ShardFolder, ShardOptions, Task
from fer_tf.shards.preparing import Preparer
from fer_tf.shards.writing import digest_of


@dataclass(frozen=True)
class ShardSummary:
    """Count the contents of a folder of shards.

    Attributes:
        images: Number of photographs, which is the number of records.
        statuses: Number of records of each of ``datasets.shards.STATUSES``.
        shards: Number of shards.
        index: Path of the index file.

    Example:
        >>> ShardSummary(images=2, statuses={"face": 2}, shards=1, index=Path("index.json")).images
        2
    """

    images: int
    statuses: dict[str, int]
    shards: int
    index: Path


class Executor(Protocol):
    """Who writes the shards."""

    def __call__(self, task: Task, blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
        """Write each block's shard once; yield what its JSON says, in any order."""
        ...


def local(task: Task, blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
    """Write the shards in this process, one after the other."""
    preparer = Preparer(task)
    yield from (preparer.write(block) for block in blocks)


def prepare(
    src: Path | str,
    dst: Path | str,
    options: ShardOptions | None = None,
    *,
    overwrite: bool = False,
    executor: Executor = local,
) -> ShardSummary:
    """Write one record for each photograph, or resume a job that was stopped.

    Args:
        src: A folder of photographs, or a single one.
        dst: Output folder: new, empty, or of the same job.
        options: How records are made; ``None`` means the defaults.
        overwrite: Delete what an earlier job wrote into ``dst`` first.
        executor: ``local``, or a ``fer_tf.shards.cluster.RayData``.

    Returns:
        The counts of ``dst``.

    Raises:
        UserError: There is nothing to read, or a detector, network or folder cannot be used.

    Example:
        >>> from fer_tf import shards
        >>> done = shards.prepare("data/folder", "prepared", shards.ShardOptions(faces="whole"))
        >>> done.images, done.shards
        (20, 1)
    """
    task = Task(Path(src), Path(dst), options or ShardOptions())
    job, settings = ShardFolder(task.dst), task.options.settings()
    sources = folders.find_pictures(task.src)
    job.check_places(task.src)
    with job.opened(settings, overwrite):
        blocks = plan.write_sources(task, sources, settings)
        # Of an earlier start, when there were more photographs.
        job.remove_shards(len(blocks))
        done = {block.number: block.written(task.dst) for block in blocks}
        left = [block for block in blocks if not done[block.number]]
        if left:
            (task.dst / INDEX).unlink(missing_ok=True)
            _write(task, left, executor, len(sources))
        return _finish(task, blocks, settings)


def _write(task: Task, left: Sequence[Block], executor: Executor, total: int) -> None:
    initial = total - sum(block.images for block in left)
    with bar(total, "Preparing", "image", initial=initial) as progress:
        for summary in executor(task, left):
            progress.update(summary["images"])


def _finish(task: Task, blocks: Sequence[Block], settings: dict[str, Any]) -> ShardSummary:
    """Check that the shards hold every photograph once, and write the index."""
    shards = []
    for block in blocks:
        shard = block.written(task.dst)
        if shard is None:
            raise DataError(f"{task.dst / shard_name(block.number)} is not as it was written. Start the job again.")
        names = [escape(name) for name in block.names(task.dst)]
        if read_columns(task.dst, shard)["ids"].tolist() != names:
            raise DataError(f"{task.dst / shard['name']} holds other photographs. Delete it and start again.")
        shards.append(shard)
    statuses = {status: sum(shard["statuses"][status] for shard in shards) for status in STATUSES}
    index = {"settings": settings, "images": sum(b.images for b in blocks), "statuses": statuses, "shards": shards}
    atomic.write_json(task.dst / INDEX, index)
    return ShardSummary(index["images"], statuses, len(shards), task.dst / INDEX)


def verify(folder: Path | str) -> ShardSummary:
    """Check that a complete folder has one undamaged record for each photograph, in order.

    Raises:
        DataError: A record is missing, repeated or damaged; the message names the first file.

    Example:
        >>> from fer_tf import shards
        >>> _ = shards.prepare("data/folder", "verified", shards.ShardOptions(faces="whole"))
        >>> shards.verify("verified").images
        20
    """
    folder = Path(folder)
    index, before, images = read_index(folder), [], 0
    listed = plan.read_sources(folder)
    with bar(index["images"], "Verifying", "image") as progress:
        for shard in index["shards"]:
            path = folder / f"{shard['name']}.tfrecord"
            if digest_of(path) != shard["digest"]:
                raise DataError(f"{path} has other bytes than written. Delete it and prepare it again.")
            names = [decode_example(data)["id"].decode("utf-8", "surrogateescape") for data in read_records(path)]
            if names != next(listed, None):
                raise DataError(f"{path} does not hold its photographs once each, in the order of {plan.SOURCES}.")
            # Sorted, and so none is twice, neither here nor in another shard.
            if any(a >= b for a, b in pairwise(before + names)):
                raise DataError(f"{path} has a photograph twice, or out of order.")
            before, images = names[-1:], images + len(names)
            progress.update(len(names))
    if images != index["images"] or next(listed, None):
        raise DataError(f"{folder} holds {images} records, of fewer photographs than it lists.")
    return ShardSummary(images, index["statuses"], len(index["shards"]), folder / INDEX)
