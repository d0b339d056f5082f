"""Read videos with PyAV (the extra ``video``), and pictures ahead in threads."""

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.io import pictures
from fer_tf.io.pictures import MAX_PIXELS

# Formats whose files are whole by themselves: a playlist in the place of a video would make FFmpeg open other files.
_FORMATS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,asf,flv,ogg,mxf,nut,ivf,dv,rm,wtv,gif,apng,webp_pipe,"
    "yuv4mpegpipe,mjpeg"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")


def is_video(name: str) -> bool:
    """Return whether a file is a video by its suffix.

    Example:
        >>> is_video("talk.MP4")
        True
    """
    return has_suffix(name, SUFFIXES)


def read_frames(path: Path | str, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Read a video frame by frame, upright and with square pixels; needs the extra ``video``.

    What can be read of a damaged video is read before the error comes.

    Args:
        path: the file.
        every: take every n-th frame, the first one first.

    Yields:
        The frame's number from 0, its time in seconds, and its picture: RGB, uint8 (H, W, 3).

    Raises:
        UserError: the extra is not installed.
        DataError: no video, or a damaged one; without the path in it.

    Example:
        >>> for number, seconds, picture in read_frames("none.mp4"):  # doctest: +SKIP
        ...     print(number, seconds, picture.shape)
    """
    av = import_av()
    try:
        # Absolute, since FFmpeg takes "http:a.mp4" and the like for addresses; a playlist's entries are not followed.
        place = os.path.abspath(path)  # noqa: PTH100 - links must stay links
        with av.open(place, metadata_errors="replace", options=_OPTIONS) as container:
            if not container.streams.video:
                raise DataError("no video in it.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise DataError("a video in a format that cannot be decoded.")
            _check_size(stream.width, stream.height)
            stream.thread_type = "AUTO"
            # The size may change within a video; what is larger is not decoded.
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield from _decoded(av, container, stream, every)
    except av.error.FFmpegError as error:
        raise DataError(f"damaged video ({error.strerror}).") from None


def _decoded(av, container, stream, every: int) -> Iterator[tuple[int, float, np.ndarray]]:
    count, bad, concealed = 0, 0, 0
    promised, whole, seen = _promised(container, stream), False, _Seen(container, stream)
    for packet in container.demux():
        seen.add(packet)
        if packet.stream_index != stream.index:
            continue
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            continue
        for frame in decoded:
            # Leading frames lack what they are built on where a video was cut out of another; that is no damage.
            concealed += bool(frame.is_corrupt) and whole
            whole = whole or not frame.is_corrupt
            if count % every == 0:
                time = frame.time if frame.time is not None else count / float(stream.average_rate or 25)
                yield count, time, _picture(frame, stream)
            count += 1
    # Packets, since a decoder may keep frames to itself that an edit list leaves out.
    lost = 0 if promised else seen.lost()
    if bad or concealed or lost or len(seen.times) < promised or not count:
        of = f" of {promised}" if promised else ""
        more = f", {concealed} with damage" if concealed else ""
        more += f", about {lost} are missing" if lost else ""
        raise DataError(f"damaged video ({count}{of} frames could be read{more}).")


# How many packets farther on a frame is shown than it lies in the file, at most.
_REORDERED = 16


class _Seen:
    """What was read of a video, for containers that do not say how many frames they have.

    Frames are missing where the time between two is too long and bytes between them belong to no packet; where a
    container's packets lie elsewhere, only a long pause in an otherwise regular video is one.
    """

    def __init__(self, container, stream):
        formats = container.format.name.split(",")
        self.container, self.stream = container, stream
        self.has_places = not {"asf", "mpeg", "mpegts", "ogg"} & {*formats}
        self.promises_time = bool({"matroska", "flv", "asf", "mov"} & {*formats}) and container.duration
        self.fragmented = "mov" in formats
        self.times: list[float] = []
        self.holes: list[int] = []
        self.hole, self.position, self.end = 0, None, 0.0

    def add(self, packet) -> None:
        """Note a packet of any of the file's streams, in the order of the file."""
        if not packet.size:
            return
        if packet.pos is not None and packet.pos >= 0:
            if self.position is not None:
                self.hole = max(self.hole, packet.pos - self.position)
            self.position = max(self.position or 0, packet.pos + packet.size)
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            self.end = max(self.end, float((time + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == self.stream.index:
            known = time is not None
            self.times.append(float(time * packet.time_base) if known else (self.times or [0.0])[-1])
            self.holes.append(self.hole)
            self.hole = 0

    def lost(self) -> int:
        """Return about how many frames are missing, 0 where nothing says so."""
        lost = max(0, len(self.stream.index_entries) - len(self.times)) if self.fragmented else 0
        # Sorted, since the order of the file is not that of showing.
        steps, holes = np.diff(np.sort(self.times)), np.array(self.holes[1:])
        if not (steps > 0).any():
            return lost
        step = float(np.median(steps[steps > 0]))
        long = steps > 1.5 * step + 0.001
        if self.has_places:
            large, pauses = np.flatnonzero(holes > 3 * np.median(holes) + 64)[:1000], np.flatnonzero(long)[:1000]
            near = (np.abs(pauses[:, None] - large) <= _REORDERED).any(axis=1)
            long[:] = False
            long[pauses[near]] = True
        elif np.mean(np.abs(steps - step) < 0.1 * step + 0.001) > 0.9:
            long &= steps >= max(5 * step, 0.2)
        else:
            long[:] = False
        lost = max(lost, int((np.round(steps[long] / step) - 1).sum()))
        rest = self.container.duration / 1e6 - self.end if self.promises_time else 0
        return lost + (round(rest / step) if rest > max(2.5 * step, 0.2) else 0)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"{width}×{height} pixels. Expected at most {MAX_PIXELS:,} in all.")


def _promised(container, stream) -> int:
    """Return how many packets an undamaged file gives; 0 where that is unknown.

    QuickTime and MP4 count frames that their edit list leaves out; those are not in the index, which is made of the
    header alone. Other formats' index may have key frames only.
    """
    if "mov" in container.format.name.split(","):
        return min(stream.frames, len(stream.index_entries))
    return stream.frames


def _picture(frame, stream) -> np.ndarray:
    """Convert a decoded frame: RGB, stretched to square pixels, turned as its display matrix says."""
    aspect = float(stream.sample_aspect_ratio or 1)
    width = max(1, round(frame.width * aspect)) if 0.1 < aspect < 10 else frame.width
    _check_size(width, frame.height)
    pixels = frame.reformat(width=width, height=frame.height, format="rgb24").to_ndarray()
    # The matrix's angle is counter-clockwise, as np.rot90 turns.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def import_av() -> ModuleType:
    """Import the video library.

    Raises:
        UserError: the extra ``video`` is not installed.

    Example:
        >>> import_av().__name__  # doctest: +SKIP
        'av'
    """
    try:
        import av
    except ImportError:
        raise UserError("Videos need PyAV: pip install 'fer-tf[video]'.") from None
    # Damaged files are told of once, in our own words.
    av.logging.set_level(av.logging.PANIC)
    return av


def has_suffix(name: str, suffixes: Sequence[str]) -> bool:
    """Return whether a name ends with one of the suffixes, in any case.

    Example:
        >>> has_suffix("a.JPG", [".jpg"])
        True
    """
    return name.lower().endswith(tuple(suffixes))


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
        if is_video(name):
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
        for number, time, picture in read_frames(path, every):
            if number not in finished:
                yield InputImage(name, number, picture, time=time)
    except DataError as error:
        reason = str(error)
    yield InputImage(name, None, None, reason)


def _pixels(picture: np.ndarray | None) -> int:
    return 0 if picture is None else picture.shape[0] * picture.shape[1]
