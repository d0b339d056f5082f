"""Compute batches of a face table from seed, epoch and step, also in processes.

Augmentation is many short NumPy calls, for which threads wait on Python's lock; processes do not. Their images come
back through memory that both sides share, requests and labels through a pipe to each process. A pool of
``concurrent.futures`` takes twice as long for a batch of small faces, for its threads wait on the same lock.

The processes are spawned, not forked from a process that has threads. As everywhere with spawned processes, a script
that starts a run on the top level of its module needs ``if __name__ == "__main__":`` around it.
"""

import contextlib
import math
import multiprocessing
import os
import pickle
import queue
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fer_tf import augment
from fer_tf.augment.photometric import to_gray
from fer_tf.errors import DataError, UserError, unknown_name
from fer_tf.facetable import FaceTable, ImagesOnDisk
from fer_tf.io.pictures import read_picture

# What an objective may ask for besides targets: index int32 (B,), the face's row in the table; landmarks float32
# (B, K, 2), moved with the pixels; valence_arousal float32 (B, 2).
COLUMNS = ("index", "landmarks", "valence_arousal")

Labels = np.ndarray | dict[str, np.ndarray]


class BatchSource:
    """What the readers read: any batch of any epoch, computed from its number alone.

    No state passes from one batch to the next, so that a run resumes at any epoch with the bytes it would have seen,
    and any number of threads gives the same stream.

    Args:
        table: faces of one split.
        batch_size: faces a batch.
        augment: call strings and preset names, in the order in which they run.
        seed: non-negative int; with the epoch it gives the order, with epoch and step the augmentation.
        shuffle: true for training: a new order each epoch, random crops, drawn targets where the table asks for them,
            and the last incomplete batch left out. False for evaluation.
        crop: side of the crop that ends the geometric ops, random in training and central in evaluation.
        image_size: side in pixels to which faces are brought before augmentation; the table's channels are kept.
        image_shape: (H, W, C) to which faces are brought, needed for a table of paths. H and W hold before the crop.
            Gray faces are repeated for three channels; RGB faces become luma for one.
        repeats: how often the readers yield each batch in a row (2 for sharpness-aware minimization).
        drop_remainder: whether the last incomplete batch is left out; ``None`` means in training only. A table smaller
            than one batch is always one batch.
        columns: what a batch has besides the targets: names of ``COLUMNS``.

    Raises:
        UserError: an empty table, a bad size, augmentations that cannot be built, or a column that the table lacks or
            an augmentation would make wrong.

    Example:

    >>> from fer_tf.datasets import load_synthetic
    >>> source = BatchSource(load_synthetic(faces=60), batch_size=8, augment=["flip()", "mixup()"], crop=40)
    >>> images, targets = source.batch(epoch=0, step=3)
    >>> images.shape, targets.shape, source.steps
    ((8, 40, 40, 1), (8, 7), 7)
    """

    def __init__(
        self,
        table: FaceTable,
        batch_size: int,
        augment: Sequence[str] = (),
        seed: int = 0,
        shuffle: bool = True,
        crop: int | None = None,
        image_size: int | None = None,
        image_shape: tuple[int, int, int] | None = None,
        repeats: int = 1,
        drop_remainder: bool | None = None,
        columns: Sequence[str] = (),
    ):
        for name, value, low in (("batch_size", batch_size, 1), ("repeats", repeats, 1), ("seed", seed, 0)):
            if not isinstance(value, (int, np.integer)) or value < low:
                raise UserError(f"{name}={value!r}. Expected a whole number ≥ {low}.")
        if not len(table):
            raise UserError("The table to read has no faces.")
        self.batch_size, self.seed, self.shuffle, self.repeats = batch_size, seed, shuffle, repeats
        self.drop_remainder = (shuffle if drop_remainder is None else drop_remainder) and len(table) >= batch_size
        self._loaded_shape = _wanted_shape(table, image_size, image_shape)
        self.columns = check_columns(table, columns)
        self.table = _shrunk(table, self._loaded_shape[:2])
        self._calls, self._channels = self._plan(augment, crop), self._loaded_shape[2]
        self._build()
        self._order: tuple[int, np.ndarray] = (-1, np.arange(0))
        # One trial batch: a crop larger than the face, or an unreadable first picture, shows before the model is made.
        self.image_shape: tuple[int, int, int] = self._read(np.arange(1), np.random.default_rng(0))[0].shape[1:]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pipeline"}  # which holds closures

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._build()

    def _build(self) -> None:
        self._pipeline = augment.get(self._calls)

    def _plan(self, calls: Sequence[str], crop: int | None) -> list[str]:
        """Return the calls of the augmentation with what the other arguments add to them."""
        calls = augment.expand(calls)
        if crop is not None:
            calls = augment.insert_crop(calls, crop, random=self.shuffle)
        if self.table.images is not None and self.table.image_shape[:2] != self._loaded_shape[:2]:
            calls = [f"resize(size={self._loaded_shape[:2]})", *calls]
        if self.table.draw_targets and self.shuffle:
            calls = ["sample_target()", *calls]
        augment.check_columns(calls, self.columns)
        return calls

    @property
    def workers(self) -> int:
        """Threads that suit it: one a core."""
        return os.cpu_count() or 1

    @property
    def steps(self) -> int:
        """Different batches an epoch."""
        whole, rest = divmod(len(self.table), self.batch_size)
        return whole if self.drop_remainder or not rest else whole + 1

    @property
    def steps_per_epoch(self) -> int:
        """Batches that the readers yield an epoch, repeats counted; what ``fit`` wants to know."""
        return self.steps * self.repeats

    @property
    def num_classes(self) -> int:
        """Columns of the targets."""
        return len(self.table.label_set)

    def indices(self, epoch: int, step: int) -> np.ndarray:
        """Return the table's rows in a batch, int (B,)."""
        part = slice(step * self.batch_size, (step + 1) * self.batch_size)
        if not self.shuffle:
            return np.arange(len(self.table))[part]
        drawn_for, order = self._order
        if drawn_for != epoch:
            order = self._rng(epoch, 0).permutation(len(self.table))
            # One assignment of a pair, so that threads at an epoch's border never see half of it.
            self._order = (epoch, order)
        return order[part]

    def batch(self, epoch: int, step: int) -> tuple[np.ndarray, Labels]:
        """Compute one batch.

        Args:
            epoch: from 0.
            step: from 0 to ``steps - 1``.

        Returns:
            images float32 (B, h, w, C) in 0..255, and targets float32 (B, classes); with ``columns`` a dict of
            ``targets`` and each column.
        """
        if not 0 <= step < self.steps:
            raise IndexError(f"Step {step} of an epoch of {self.steps}.")
        # SeedSequence pads with zeros: (seed, epoch) alone would be the stream of step 0.
        return self._read(self.indices(epoch, step), self._rng(epoch, step + 1))

    def _rng(self, epoch: int, place: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, epoch, place]))

    @property
    def label_shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape of one face and dtype of the targets and of each column."""
        shapes = {"index": ((), "int32")}
        shapes |= {n: (getattr(self.table, n).shape[1:], "float32") for n in self.columns if n != "index"}
        return {"targets": ((self.num_classes,), "float32"), **{name: shapes[name] for name in self.columns}}

    def _read(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Labels]:
        images = self._decode(rows) if self.table.images is None else self.table.images[rows]
        points = self.table.landmarks[rows] if "landmarks" in self.columns else None
        images, targets, points = self._pipeline.with_points(images, self.table.targets[rows], rng, points)
        images = _with_channels(images, self._channels)
        if not self.columns:
            return images, targets
        values = {"targets": targets, "index": rows.astype(np.int32), "landmarks": points}
        if "valence_arousal" in self.columns:
            values["valence_arousal"] = self.table.valence_arousal[rows].astype(np.float32)
        return images, {name: values[name] for name in ("targets", *self.columns)}

    def _decode(self, rows: np.ndarray) -> np.ndarray:
        size, _, channels = self._loaded_shape
        faces = np.empty((len(rows), size, size, channels), np.uint8)
        for face, path in zip(faces, self.table.paths[rows], strict=True):
            try:
                face[:] = read_picture(Path(path), size, channels)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
        return faces


def _wanted_shape(
    table: FaceTable, image_size: int | None, image_shape: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    if table.images is None and image_shape is None:
        raise UserError("This table holds paths; give the reader an image_shape of (height, width, channels).")
    shape = tuple(image_shape or table.image_shape)
    if len(shape) != 3 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in shape):
        raise UserError(f"image_shape={image_shape!r}. Expected (height, width, channels) in whole numbers.")
    if image_shape is not None and shape[2] not in (1, 3):
        raise UserError(f"image_shape={image_shape!r}. Expected 1 (gray) or 3 (RGB) channels.")
    if table.images is None and shape[0] != shape[1]:
        raise UserError(f"image_shape={image_shape!r}. Pictures are read as squares; expected equal height and width.")
    if image_size is None:
        return shape
    if not isinstance(image_size, (int, np.integer)) or image_size < 1:
        raise UserError(f"image_size={image_size!r}. Expected a side in pixels ≥ 1.")
    if image_shape is not None and shape[:2] != (image_size, image_size):
        raise UserError(f"image_size={image_size} contradicts image_shape={image_shape!r}.")
    return (image_size, image_size, shape[2])


def _shrunk(table: FaceTable, size: tuple[int, int]) -> FaceTable:
    """Return the table with faces larger than ``size`` brought to it; the warp that enlarges would alias."""
    if table.images is None or (table.image_shape[0] <= size[0] and table.image_shape[1] <= size[1]):
        return table
    if isinstance(table.images, ImagesOnDisk) and size[0] == size[1]:
        return table.with_images(table.images.resized(size[0]))
    images = np.empty((len(table), *size, table.image_shape[2]), np.uint8)
    for small, face in zip(images, table.images, strict=True):
        picture = Image.fromarray(face[..., 0] if face.shape[-1] == 1 else face)
        small[:] = np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR)).reshape(small.shape)
    return table.with_images(images)


def check_columns(table: FaceTable, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns; raise a ``UserError`` unless the table has them."""
    for name in columns:
        if name not in COLUMNS:
            raise unknown_name("column", name, COLUMNS)
        if name != "index" and getattr(table, name) is None:
            raise UserError(f"The dataset has no {name}; expected a table with that column.")
    if "landmarks" in columns and table.images is None:
        raise UserError("Landmarks are in pixels of pictures in memory; this table holds paths.")
    return tuple(columns)


def _with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    if images.shape[-1] == channels:
        return images
    # After augmentation, so that gray faces are warped once and not three times.
    return np.repeat(images, channels, axis=-1) if images.shape[-1] == 1 else to_gray(images)


__all__ = ["ProcessSource", "computed_by"]


class _Worker(NamedTuple):
    process: multiprocessing.Process
    pipe: Connection
    memory: Any


class ProcessSource:
    """Wrap a batch source so that other processes compute its batches, byte for byte the same.

    Everything but ``batch``, ``workers`` and ``close`` is that of the wrapped source.

    Args:
        source: where the batches come from.
        processes: how many compute them.

    Attributes:
        workers: threads that suit it: one to ask each process.

    Example:

    >>> from fer_tf.datasets import load_synthetic
    >>> source = BatchSource(load_synthetic(faces=60), batch_size=8)
    >>> with computed_by(2, source) as batches:
    ...     batches.workers, batches.image_shape
    (2, (48, 48, 1))
    """

    def __init__(self, source: BatchSource, processes: int):
        self._source, self.workers = source, processes
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        # Pickled here, so that a source that cannot be sent is told before any process starts.
        given = pickle.dumps(source, protocol=pickle.HIGHEST_PROTOCOL)
        size = source.batch_size * math.prod(source.image_shape)
        self._workers = [_start(given, size) for _ in range(processes)]
        for worker in self._workers:
            self._idle.put(worker)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, epoch: int, step: int) -> tuple[Any, Labels]:
        """Have one batch computed, see ``BatchSource.batch``.

        Raises:
            RuntimeError: the process that computed it is dead.
            Exception: what the source raised.
        """
        worker = self._idle.get()
        try:
            worker.pipe.send((epoch, step))
            answer = worker.pipe.recv()
            if isinstance(answer, Exception):
                raise answer
            shape, labels = answer
            return _images(worker.memory, shape).copy(), labels
        except (EOFError, ConnectionError):
            worker.process.join()
            code = worker.process.exitcode
            raise RuntimeError(f"A process that computes batches died (exit code {code}): out of memory?") from None
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


@contextlib.contextmanager
def computed_by(processes: int, source: BatchSource) -> Iterator[BatchSource | ProcessSource]:
    """Give a source whose batches are computed by ``processes`` processes, or with 0 by threads of this one.

    Example:

    >>> from fer_tf.datasets import load_synthetic
    >>> source = BatchSource(load_synthetic(faces=60), batch_size=8)
    >>> with computed_by(0, source) as batches:
    ...     batches.batch(epoch=0, step=1)[0].shape
    (8, 48, 48, 1)
    """
    if not processes:
        yield source
        return
    with contextlib.closing(ProcessSource(source, processes)) as started:
        yield started


def _start(given: bytes, size: int) -> _Worker:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    memory = spawn.RawArray("f", size)
    process = spawn.Process(target=_work, args=(given, there, memory), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here, memory)


def _work(given: bytes, pipe: Connection, memory: Any) -> None:
    """Answer requests until there are no more: the asking process closed the pipe, or is dead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    source = pickle.loads(given)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            epoch, step = pipe.recv()
            try:
                images, labels = source.batch(epoch, step)
                _images(memory, images.shape)[:] = images
                pipe.send((images.shape, labels))
            except Exception as error:
                pipe.send(_sendable(error))


def _images(memory: Any, shape: tuple[int, ...]) -> np.ndarray:
    """View the begin of shared memory as float32 images of a shape."""
    return np.frombuffer(memory, np.float32, math.prod(shape)).reshape(shape)


def _sendable(error: Exception) -> Exception:
    """Return the error, or where a library's own cannot be pickled, one that tells it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error))
    return error
