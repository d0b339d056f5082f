"""Prepare photographs as shards of faces, and check shards.

Photographs are sorted by name and divided into blocks. A block is the unit of work: its shard is written completely or
not at all, with the same bytes by any worker. So every photograph has exactly one record, also if workers die, and a
job that was stopped ends like one that was not. A shard whose photographs have changed is written again.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from fer_tf import inference
from fer_tf.datasets.shards import INDEX, STATUSES, read_columns, read_index, shard_name
from fer_tf.errors import DataError, UserError, given_path
from fer_tf.faces import crops
from fer_tf.faces.detectors import NO_FACE
from fer_tf.faces.face_files import NewFace
from fer_tf.io import atomic, folders, video
from fer_tf.io.folder_job import escape
from fer_tf.io.pictures import read_picture
from fer_tf.io.tfrecord import decode_example, read_records
from fer_tf.metrics.distribution import log_softmax
from fer_tf.models import logits_of
from fer_tf.progress import bar
from fer_tf.shards import plan
from fer_tf.shards.plan import Block, Record, ShardFolder, ShardOptions, Task, digest_of, write_shard

BATCH = 64


class Preparer:
    """Holds the detector and the network while it writes shard after shard."""

    def __init__(self, task: Task):
        """Load what the options name.

        Raises:
            UserError: a detector or network that cannot be had.
        """
        self.task, options = task, task.options
        self.detector = None if options.faces == "whole" else crops.detectors.get(options.detector)
        self.reader = _NetworkAnswers(options) if options.model else None

    def write(self, block: Block) -> dict[str, Any]:
        """Write a block's shard; return what its JSON says."""
        records = self.records(block.names(self.task.dst))
        return write_shard(self.task.dst, block.number, records, block.key)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Yield one record a photograph, in order."""
        found = self._found(names) if self.detector else (self._whole(name) for name in names)
        return self.reader.read(found) if self.reader else found

    def _whole(self, name: str) -> Record:
        size, channels = self.task.options.size, self.task.options.channels
        try:
            return Record(name, "whole", face=NewFace(read_picture(self.task.path_of(name), size, channels)))
        except DataError as error:
            return Record(name, "unreadable", str(error))

    def _found(self, names: Sequence[str]) -> Iterator[Record]:
        own, stamps = {name: name for name in names}, dict.fromkeys(names, (0, 0))
        job = crops.crop_job(self.task.options.crop, own, stamps, self.detector)
        batches = video.read_batches((self.task.path_of(name), name) for name in names)
        with contextlib.closing(batches):
            for _, faces in video.two_at_a_time(job.faces_of, batches):
                yield from (self._record(entry.source, entry.reason, found) for entry, found in faces)

    def _record(self, name: str, reason: str, faces: Sequence[NewFace]) -> Record:
        if not faces:
            return Record(name, "no face" if reason == NO_FACE else "unreadable", reason)
        (face,) = faces
        if self.task.options.channels == 1:
            face = replace(face, image=np.asarray(Image.fromarray(face.image).convert("L"))[..., None])
        return Record(name, "whole" if np.isnan(face.score) else "face", face=face)


class _NetworkAnswers:
    """Adds a network's answers to records, a batch at a time."""

    def __init__(self, options: ShardOptions):
        """Load the network.

        Raises:
            UserError: no such network, or one whose last features cannot be had.
        """
        self.classifier = inference.ExpressionClassifier(options.model)
        self.inner = _with_features(self.classifier) if options.features else None

    def read(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records, those with a face with ``probabilities`` and, where asked for, ``features``."""
        waiting: list[Record] = []
        for record in records:
            waiting.append(record)
            if len(waiting) == BATCH:
                yield from self._answered(waiting)
                waiting = []
        yield from self._answered(waiting)

    def _answered(self, records: Sequence[Record]) -> Iterator[Record]:
        images = [record.image for record in records if record.image is not None]
        rows = self._answers(np.stack(images)) if images else iter(())
        for record in records:
            yield record if record.image is None else replace(record, **next(rows))

    def _answers(self, faces: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        if self.inner is None:
            yield from ({"probabilities": row} for row in self.classifier.predict(faces))
            return
        prepared = self.classifier.prepare(faces.astype(np.float32))
        features, logits = (np.asarray(x) for x in self.inner.predict_on_batch(prepared))
        probabilities = np.exp(log_softmax(logits / self.classifier.metadata.temperature)).astype(np.float32)
        for row, inside in zip(probabilities, features, strict=True):
            yield {"probabilities": row, "features": inside.ravel()}


def _with_features(classifier: "inference.ExpressionClassifier") -> Any:
    """Return a model from prepared faces to what the layer ``logits`` gets, and the logits."""
    import keras

    network = classifier.network
    if "logits" not in [layer.name for layer in network.layers]:
        raise UserError(
            f"Network {network.name!r} has no layer 'logits', before which its features would be. Give one that sees "
            "a face once."
        )
    return keras.Model(network.inputs, [network.get_layer("logits").input, logits_of(network.output)])


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
    task = Task(given_path(src), given_path(dst), options or ShardOptions())
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
    folder = given_path(folder)
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
