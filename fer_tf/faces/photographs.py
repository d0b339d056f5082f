"""Finding and reading what people keep in folders: photographs and videos, nothing trusted."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from fer_tf.datasets.folder import is_litter
from fer_tf.datasets.pictures import MAX_PIXELS, SUFFIXES, read_photograph
from fer_tf.errors import DataError, UserError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp")

Note = Callable[[str, str], None]


def find(src: Path | str, note: Note | None = None, suffixes: Sequence[str] = SUFFIXES) -> list[tuple[Path, str]]:
    """List the pictures of a file or a folder tree by their suffixes; opens none of them.

    Links are followed, but no folder is entered twice. Hidden files and folders and operating systems' litter are
    left out.

    Args:
        src: a picture, or a folder.
        note: called with the name and the reason of each folder that is left out; ``None`` logs a warning.
        suffixes: those of pictures, in lower case; add ``VIDEO_SUFFIXES`` to find videos as well.

    Returns:
        (path, name) sorted by name; the name is relative to ``src``, with ``/`` on every system. A single file goes by
        its own name.

    Raises:
        UserError: no such file or folder, a file of another suffix, nothing found.
    """
    src, note = Path(src), note or _warn
    accepted = f"Expected {', '.join(suffixes)}."
    if src.is_file():
        if not _has_suffix(src.name, suffixes):
            raise UserError(f"{src}: no picture by its suffix. {accepted}")
        return [(src, src.name)]
    if not src.is_dir():
        raise UserError(f"{src}: no such file or folder.")
    found = sorted(_walk(src, note, suffixes), key=lambda pair: pair[1])
    if not found:
        raise UserError(f"{src}: no pictures in it. {accepted}")
    return found


def read(path: Path | str) -> np.ndarray:
    """Read one photograph, whatever its format: upright, in colour, 8 bits a channel, the first frame.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        DataError: no such file, no picture, damaged, too large; without the path in it.
    """
    return read_photograph(path)


def is_video(name: str) -> bool:
    """Tell by the suffix."""
    return _has_suffix(name, VIDEO_SUFFIXES)


def frames(path: Path | str, every: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
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
    """
    av = import_av()
    try:
        with av.open(os.fspath(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError("no video in it.")
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise DataError(f"{stream.width}×{stream.height} pixels. Expected at most {MAX_PIXELS:,} in all.")
            stream.thread_type = "AUTO"
            yield from _decoded(av, container, stream, every)
    except av.error.FFmpegError as error:
        raise DataError(f"damaged video ({error.strerror}).") from None


def _decoded(av, container, stream, every: int) -> Iterator[tuple[int, float, np.ndarray]]:
    count, packets, bad = 0, 0, 0
    promised = _promised(container, stream)
    for packet in container.demux(stream):
        packets += packet.size > 0
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:
            bad += 1
            continue
        for frame in decoded:
            if count % every == 0:
                time = frame.time if frame.time is not None else count / float(stream.average_rate or 25)
                yield count, time, _picture(frame, stream)
            count += 1
    # Packets, since a decoder may keep frames to itself that an edit list leaves out.
    if bad or packets < promised or not count:
        of = f" of {promised}" if promised else ""
        raise DataError(f"damaged video ({count}{of} frames could be read).")


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
    pixels = frame.reformat(width=width, height=frame.height, format="rgb24").to_ndarray()
    # The matrix's angle is counter-clockwise, as np.rot90 turns.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def import_av() -> ModuleType:
    """Import the video library.

    Raises:
        UserError: the extra ``video`` is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError("Videos need PyAV: pip install 'fer-tf[video]'.") from None
    # Damaged files are told of once, in our own words.
    av.logging.set_level(av.logging.PANIC)
    return av


def _walk(root: Path, note: Note, suffixes: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield the pictures below a folder. A stack of its own, since trees may be deeper than Python's."""
    seen: dict[tuple[int, int], str] = {}
    waiting = [(os.fspath(root), "")]
    while waiting:
        folder, name = waiting.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116
            first = seen.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                note(name, f"the same folder as {first or '.'}, which is read already.")
                continue
            with os.scandir(folder) as entries:
                inside = sorted((e for e in entries if not is_litter(e.name)), key=lambda e: e.name)
        except OSError as error:
            note(name or ".", f"folder cannot be read ({error.strerror}).")
            continue
        below = f"{name}/" if name else ""
        for entry in inside:
            if not _is_folder(entry) and _has_suffix(entry.name, suffixes):
                yield Path(entry.path), below + entry.name
        waiting += [(e.path, below + e.name) for e in reversed(inside) if _is_folder(e)]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def _has_suffix(name: str, suffixes: Sequence[str]) -> bool:
    return name.lower().endswith(tuple(suffixes))


def _warn(name: str, reason: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", name, reason)
