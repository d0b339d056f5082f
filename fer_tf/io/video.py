"""Read videos frame by frame, with PyAV (the extra ``video``)."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.io.pictures import MAX_PIXELS

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
        with av.open(place, metadata_errors="replace", options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                raise DataError("no video in it.")
            stream = container.streams.video[0]
            _check_size(stream.width, stream.height)
            stream.thread_type = "AUTO"
            # The size may change within a video; what is larger is not decoded.
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            yield from _decoded(av, container, stream, every)
    except av.error.FFmpegError as error:
        raise DataError(f"damaged video ({error.strerror}).") from None


def _decoded(av, container, stream, every: int) -> Iterator[tuple[int, float, np.ndarray]]:
    count, packets, bad, concealed = 0, 0, 0, 0
    promised, whole = _promised(container, stream), False
    for packet in container.demux(stream):
        packets += packet.size > 0
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
    if bad or concealed or packets < promised or not count:
        of = f" of {promised}" if promised else ""
        pieced = f", {concealed} with damage" if concealed else ""
        raise DataError(f"damaged video ({count}{of} frames could be read{pieced}).")


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
