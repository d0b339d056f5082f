"""Read pictures and video frames ahead in threads, in bounded memory."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf.errors import DataError
from fer_tf.io import pictures, video

_THREADS = 2
# Three batches, so that the threads have work while one is detected; less when the pictures are large.
AHEAD = 24
AHEAD_PIXELS = 16_000_000
BATCH = 8
BATCH_PIXELS = 16_000_000
_NOTHING: Mapping[str, Collection[int | None]] = {}


@dataclass(frozen=True, eq=False)
class InputImage:
    """One picture or video frame that was read, why it could not be read, or the end of a video.

    Attributes:
        source: name relative to the input folder.
        video_frame: number of the frame; ``None`` for a photograph and for the end of a video.
        picture: uint8 (H, W, 3); ``None`` at the end of a video, and where there is a reason.
        reason: why it cannot be read.
        time: of the frame, in seconds.

    Example:
        >>> InputImage("a.jpg", None, np.zeros((48, 64, 3), np.uint8)).reason
        ''
    """

    source: str
    video_frame: int | None
    picture: np.ndarray | None
    reason: str = ""
    time: float | None = None


def read_batches(
    sources: Iterable[tuple[Path, str]], every: int = 1, done: Mapping[str, Collection[int | None]] = _NOTHING
) -> Iterator[list[InputImage]]:
    """Read pictures and video frames in batches, ahead of the caller.

    Where a batch ends depends on the pictures from the last batch's end on, not on the speed of anything: a job that
    goes on after whole batches sees the same batches.

    Args:
        sources: files and names, from ``folders.find_pictures``.
        every: take every n-th frame of a video.
        done: by source, the frames that are not wanted; ``None`` among them stands for the whole source.

    Example:
        >>> [[image.reason for image in batch] for batch in read_batches([(Path("none.jpg"), "none.jpg")])]
        [['no such picture.']]
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            yield from batched(_in_order(_started(pool, sources, every, done)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def batched(readings: Iterable[InputImage]) -> Iterator[list[InputImage]]:
    """Group images into batches of ``BATCH``, or of fewer where the pictures are large.

    Example:
        >>> [len(batch) for batch in batched([InputImage("a.jpg", None, None)] * 10)]
        [8, 2]
    """
    batch, pixels = [], 0
    for reading in readings:
        batch.append(reading)
        pixels += _pixels(reading.picture)
        if len(batch) == BATCH or pixels >= BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def two_at_a_time(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Work on two items at a time in threads; yield each item with its result, in order.

    What a batch does between its calls into TensorFlow would leave a core idle.

    Example:
        >>> list(two_at_a_time(len, ["a", "bc"]))
        [('a', 1), ('bc', 2)]
    """
    with ThreadPoolExecutor(2) as pool:
        waiting: deque[tuple[Any, Future]] = deque()
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) == 2:
                first, future = waiting.popleft()
                yield first, future.result()
        for last, future in waiting:
            yield last, future.result()


def _in_order(started: Iterable[tuple[Callable[[], InputImage], int]]) -> Iterator[InputImage]:
    waiting, pixels = deque(), 0
    for result, size in started:
        waiting.append((result, size))
        pixels += size
        while len(waiting) > AHEAD or pixels > AHEAD_PIXELS:
            result, size = waiting.popleft()
            pixels -= size
            yield result()
    while waiting:
        yield waiting.popleft()[0]()


def _started(
    pool: ThreadPoolExecutor,
    sources: Iterable[tuple[Path, str]],
    every: int,
    done: Mapping[str, Collection[int | None]],
) -> Iterator[tuple[Callable[[], InputImage], int]]:
    """Begin to read each; yield how to get the result, and how many pixels it will have."""
    for path, name in sources:
        finished = done.get(name, ())
        if None in finished:
            continue
        if video.is_video(name):
            for reading in _video(path, name, every, finished):
                yield (lambda reading=reading: reading), _pixels(reading.picture)
        else:
            yield pool.submit(_photograph, path, name).result, pictures.count_pixels(path)


def _photograph(path: Path, name: str) -> InputImage:
    try:
        return InputImage(name, None, pictures.read_photograph(path))
    except DataError as error:
        return InputImage(name, None, None, str(error))


def _video(path: Path, name: str, every: int, finished: Collection[int | None]) -> Iterator[InputImage]:
    reason = ""
    try:
        for number, time, picture in video.read_frames(path, every):
            if number not in finished:
                yield InputImage(name, number, picture, time=time)
    except DataError as error:
        reason = str(error)
    yield InputImage(name, None, None, reason)


def _pixels(picture: np.ndarray | None) -> int:
    return 0 if picture is None else picture.shape[0] * picture.shape[1]
