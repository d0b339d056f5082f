"""The photographs and videos that paths name."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces import photographs
from fer_tf.faces.photographs import Note
from fer_tf.faces.reading import Reading


@dataclass(frozen=True)
class Found:
    """A file to analyze.

    Attributes:
        path: where it is.
        source: how records call it: the path as it was given, with what is below a folder.
        relative: its name below the folder that was given; a single file's own name.
    """

    path: Path
    source: str
    relative: str


def find(paths: Sequence[Path | str], note: Note) -> list[Found]:
    """List the photographs and videos that paths name; the first mention of a file counts.

    Args:
        paths: photographs, videos, folder trees of both.
        note: called with the name and the reason of each path and folder that is left out.

    Raises:
        UserError: there is nothing to read; says why of the first path.
    """
    suffixes = (*photographs.SUFFIXES, *photographs.VIDEO_SUFFIXES)
    found: dict[str, Found] = {}
    first = None
    for path in paths:
        given = os.fspath(path)
        try:
            for file, relative in photographs.find(given, note, suffixes):
                found.setdefault(os.path.realpath(file), Found(file, os.fspath(file), relative))
        except UserError as error:
            first = first or error
            note(given, str(error).removeprefix(f"{given}: "))
    if first and not found:
        raise first
    return _readable(list(found.values()), note)


def _readable(found: list[Found], note: Note) -> list[Found]:
    """Leave videos out, and note why, where the extra for them is missing; raise where nothing is left."""
    try:
        if any(photographs.is_video(f.source) for f in found):
            photographs.import_av()
    except UserError as error:
        left = [f for f in found if not photographs.is_video(f.source)]
        if not left:
            raise
        for f in found:
            if photographs.is_video(f.source):
                note(f.source, str(error))
        return left
    return found


# FFmpeg's name of the system's cameras, and how it calls camera n. Windows' go by names that only its owner knows.
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


def watch(number: int) -> Iterator[list[Reading]]:
    """Open a webcam, and yield its newest picture whenever one is asked for; those in between are lost.

    Args:
        number: of the camera, 0 for the first.

    Returns:
        An iterator of batches of one; close it to let the camera go. Numbers and times are of the pictures that were
        yielded.

    Raises:
        UserError: there is no such camera, or nothing that can open it.
    """
    pictures = _opened(number)
    first = next(pictures, None)
    if first is None:
        raise UserError(f"Webcam {number} gives no picture.")
    return _newest(f"webcam {number}", first, pictures)


def _newest(source: str, first: np.ndarray, pictures: Iterator[np.ndarray]) -> Iterator[list[Reading]]:
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
        yield [Reading(source, 0, first, time=0.0)]
        number = 1
        while True:
            with fresh:
                fresh.wait_for(lambda: slot)
                item = slot.pop(0)
            if item is None:
                return
            yield [Reading(source, number, item[1], time=item[0])]
            number += 1
    finally:
        ended.set()


def _opened(number: int) -> Iterator[np.ndarray]:
    """Yield a camera's pictures, uint8 (H, W, 3)."""
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
    av = photographs.import_av()
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
