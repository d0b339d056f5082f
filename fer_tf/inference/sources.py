"""Find the photographs and videos of paths, read webcams, and name figures."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from fer_tf.errors import UserError, given_path
from fer_tf.explain import METHODS
from fer_tf.io import atomic, folders, video
from fer_tf.io.folders import Note
from fer_tf.io.video import InputImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Found:
    """A file to analyze.

    Attributes:
        path: Path of the file.
        source: Name in results: the path as it was given, followed by the path below a folder.
        relative: Path below the given folder; for a single file its name.
    """

    path: Path
    source: str
    relative: str


def find(paths: Sequence[Path | str], note: Note) -> list[Found]:
    """List the photographs and videos of paths and folder trees.

    A file that is given twice is listed twice. In folders, files that are listed already and figures of heat maps are
    left out and noted.

    Args:
        paths: Photographs, videos and folders of both.
        note: Function that is called with the name and the reason of each path that is left out.

    Raises:
        UserError: There is nothing to read; the message gives the reason for the first path.
    """
    suffixes = folders.MEDIA_SUFFIXES
    found: list[Found] = []
    seen: dict[str, str] = {}
    names: set[str] = set()
    first = None
    for path in paths:
        given_path(path)
        given = os.fspath(path)
        try:
            inside = os.path.isdir(given)  # noqa: PTH112
            for file, relative in folders.find_pictures(given, _below(given, note) if inside else note, suffixes):
                real, name = os.path.realpath(file), os.fspath(file)
                if inside and _is_figure(relative):
                    note(name, "a figure of fer-tf gradcam. Name the file itself to read it.")
                    continue
                first = seen.setdefault(real, name)
                if inside and (first != name or name in names):
                    note(name, f"the same file as {first}, which is read already.")
                else:
                    found.append(Found(file, name, relative))
                    names.add(name)
        except UserError as error:
            first = first or error
            note(given, str(error).removeprefix(f"{given}: "))
    if first and not found:
        raise first
    return _readable(found, note)


def _below(folder: str, note: Note) -> Note:
    """Name what a folder leaves out as results name what it holds."""
    return lambda name, reason: note(os.path.join(folder, name), reason)  # noqa: PTH118


def _readable(found: list[Found], note: Note) -> list[Found]:
    """Leave out videos if the extra for them is not installed; raise an error if nothing is left."""
    try:
        if any(video.is_video(f.source) for f in found):
            video.import_av()
    except UserError as error:
        left = [f for f in found if not video.is_video(f.source)]
        if not left:
            raise
        for f in found:
            if video.is_video(f.source):
                note(f.source, str(error))
        return left
    return found


# FFmpeg's input format and device name of camera n. On Windows, devices have individual names.
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


def watch(number: int) -> Iterator[list[InputImage]]:
    """Open a webcam and yield its newest picture on each request; pictures in between are dropped.

    Args:
        number: Number of the camera; the first is 0.

    Returns:
        An iterator of batches of one picture. Close it to release the camera.

    Raises:
        UserError: The camera does not exist, or no library can open it.
    """
    pictures = _opened(number)
    first = next(pictures, None)
    if first is None:
        raise UserError(f"Webcam {number} delivers no picture.")
    return _newest(f"webcam {number}", first, pictures)


def _newest(source: str, first: np.ndarray, pictures: Iterator[np.ndarray]) -> Iterator[list[InputImage]]:
    start, fresh, ended = time.monotonic(), threading.Condition(), threading.Event()
    slot: list[tuple[float, np.ndarray] | None] = []

    def follow() -> None:
        try:
            with contextlib.closing(pictures):
                for picture in pictures:
                    if ended.is_set():
                        return
                    with fresh:
                        slot[:] = [(time.monotonic() - start, picture)]
                        fresh.notify()
        finally:
            with fresh:
                slot.append(None)
                fresh.notify()

    threading.Thread(target=follow, daemon=True).start()
    try:
        yield [InputImage(source, 0, first, time=0.0)]
        number = 1
        while True:
            with fresh:
                fresh.wait_for(lambda: slot)
                item = slot.pop(0)
            if item is None:
                return
            yield [InputImage(source, number, item[1], time=item[0])]
            number += 1
    finally:
        ended.set()


def _opened(number: int) -> Iterator[np.ndarray]:
    """Open a camera with the first library that can, and yield its pictures, uint8 (H, W, 3)."""
    reasons = []
    for reader in (_through_av, _through_opencv):
        pictures = reader(number)
        try:
            first = next(pictures, None)
        except (UserError, OSError) as error:
            reasons.append(str(error))
            continue
        return _after(first, pictures)
    raise UserError(f"No webcam {number}: {'; '.join(reasons)}")


def _after(first: np.ndarray | None, pictures: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    if first is not None:
        yield first
        yield from pictures


def _through_av(number: int) -> Iterator[np.ndarray]:
    av = video.import_av()
    if sys.platform not in CAMERAS:
        raise UserError("PyAV opens webcams on Linux and macOS only.")
    form, name = CAMERAS[sys.platform]
    with av.open(name.format(number), format=form) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _through_opencv(number: int) -> Iterator[np.ndarray]:
    try:
        import cv2
    except ImportError:
        raise UserError("OpenCV is not installed.") from None
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise UserError(f"OpenCV finds no camera {number}.")
        while (read := camera.read())[0]:
            yield np.ascontiguousarray(read[1][..., ::-1])
    finally:
        camera.release()


DPI = 130


@dataclass(frozen=True)
class FigureSource:
    """A picture to explain.

    Attributes:
        path: its file, also in messages: the given path and, for a folder, the path below it.
        name: the path below the given folder.
        figure: the file of its figure.
    """

    path: Path
    name: str
    figure: Path


def find_pictures(paths: Sequence[Path | str], method: str, note: Note, out: Path | None = None) -> list[FigureSource]:
    """List the pictures of files and folder trees, each once, and name their figures.

    A figure is written beside its picture or, with ``out``, at the same place below ``out``: ``a/b.jpg`` has the figure
    ``a/b_gradcam.png``. Where two pictures would share a figure, the second keeps its suffix. Figures of earlier calls
    are skipped in folders.

    Args:
        paths: files and folders.
        method: a name of ``METHODS``, the end of the figures' names.
        note: function that is called with the name of each skipped path or folder and the reason.
        out: folder for the figures; ``None`` means beside the pictures.

    Raises:
        UserError: there is nothing to read, or ``out`` is not a folder.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder. Give a folder for the figures.")
    found: dict[str, tuple[Path, str]] = {}
    first = None
    for path in map(given_path, paths):
        try:
            for file, name in _pictures(path, note):
                found.setdefault(os.path.realpath(file), (file, name))
        except UserError as error:
            first = first or error
            note(str(path), str(error).removeprefix(f"{path}: "))
    if first and not found:
        raise first
    keys = _told_apart([name for _, name in found.values()])
    names = folders.assign(keys, {}, several=False)
    return [
        FigureSource(file, name, _place(file, names[key], out) / f"{PurePosixPath(names[key]).name}_{method}.png")
        for key, (file, name) in zip(keys, found.values(), strict=True)
    ]


def _pictures(path: Path, note: Note) -> list[tuple[Path, str]]:
    found = folders.find_pictures(path, note)
    if path.is_dir():
        found = [(file, name) for file, name in found if not _is_figure(name)]
    if not found:
        raise UserError(f"{path}: no pictures in it but figures of heat maps.")
    return found


def montage_path(paths: Sequence[Path | str], method: str, out: Path | None = None, page: int = 1) -> Path:
    """Return the file of a montage, in ``out`` or in the folder of the first path."""
    first = Path(paths[0])
    folder = out or (first if first.is_dir() else first.parent)
    return folder / f"montage{page if page > 1 else ''}_{method}.png"


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, completely or not at all."""
    with atomic.atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=DPI)


def _told_apart(names: Sequence[str]) -> list[str]:
    """Number the names that several folders share."""
    keys: dict[str, None] = {}
    for name in names:
        key, number = name, 2
        while key in keys:
            key, number = f"{number}/{name}", number + 1
        keys[key] = None
    return list(keys)


def _place(file: Path, name: str, out: Path | None) -> Path:
    return file.parent if out is None else out / PurePosixPath(name).parent


def _is_figure(name: str) -> bool:
    return PurePosixPath(name).stem.endswith(tuple(f"_{method}" for method in METHODS))
