"""Find the pictures and videos of a folder tree by their suffixes."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fer_tf.errors import UserError, printable
from fer_tf.io import pictures, video

MEDIA_SUFFIXES = (*pictures.SUFFIXES, *video.SUFFIXES)
# What operating systems leave in folders that people open.
_LITTER = ("thumbs.db", "desktop.ini", "__macosx")

Note = Callable[[str, str], None]


def find_pictures(
    src: Path | str, note: Note | None = None, suffixes: Sequence[str] = pictures.SUFFIXES
) -> list[tuple[Path, str]]:
    """List the pictures of a folder tree by their suffixes, and those without a suffix by their content.

    What looks like a picture or video and is not listed is noted, and so are animations and files of several pages, of
    which only the first frame is read. Links are followed, but no folder is entered twice. Hidden files and folders and
    operating systems' litter are left out.

    Args:
        src: a picture, or a folder.
        note: called with the name and the reason of each folder, picture and video that is left out; ``None`` logs a
            warning.
        suffixes: in lower case; ``MEDIA_SUFFIXES`` finds videos as well.

    Returns:
        (path, name) sorted by name; the name is relative to ``src``, with ``/`` on every system. A single file goes by
        its own name.

    Raises:
        UserError: no such file or folder, a file of another suffix, nothing found.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("a.jpg", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     [name for _, name in find_pictures(folder)]
        ['a.jpg']
    """
    src, note = Path(src), note or _warn
    accepted = f"Expected {', '.join(suffixes)}."
    if src.is_file():
        if not _accepts(os.fspath(src), src.name, suffixes, lambda *_: None):
            raise UserError(f"{src}: no picture by its suffix. {accepted}")
        _note_frames(src, os.fspath(src), note)
        return [(src, src.name)]
    if not src.is_dir():
        raise UserError(f"{src}: no such file or folder.")
    found = sorted(_walk(src, note, suffixes), key=lambda pair: pair[1])
    if not found:
        raise UserError(f"{src}: no pictures in it. {accepted}")
    return found


def is_litter(name: str) -> bool:
    """Return whether a file is hidden, or one that operating systems leave in folders.

    Args:
        name: of the file.

    Example:
        >>> is_litter("Thumbs.db"), is_litter("a.jpg")
        (True, False)
    """
    return name.startswith(".") or name.casefold() in _LITTER


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
            if not _is_folder(entry) and _accepts(entry.path, below + entry.name, suffixes, note):
                _note_frames(Path(entry.path), below + entry.name, note)
                yield Path(entry.path), below + entry.name
        waiting += [(e.path, below + e.name) for e in reversed(inside) if _is_folder(e)]


def _accepts(path: str, name: str, suffixes: Sequence[str], note: Note) -> bool:
    """Return whether a file is to be read; note one that looks like a picture or video and is not."""
    if video.has_suffix(name, suffixes):
        return True
    suffix = os.path.splitext(name)[1]  # noqa: PTH122
    if video.is_video(name):
        note(name, "a video. Expected a picture here.")
    elif suffix.lower() in pictures.OTHER_SUFFIXES:
        note(name, f"a picture of a kind that is not read. Expected {', '.join(pictures.SUFFIXES)}.")
    elif kind := pictures.kind_of(pictures.head_of(path)):
        if kind == "picture" and not suffix:
            return True
        note(name, f"a {kind} by its content, but its suffix is {suffix!r}. Rename it.")
    return False


def _note_frames(path: Path, name: str, note: Note) -> None:
    if path.suffix.lower() not in (".jpg", ".jpeg", *video.SUFFIXES) and (count := pictures.count_frames(path)) > 1:
        note(name, f"animated, or of several pages: only the first of {count} frames is read.")


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def _warn(name: str, reason: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", printable(name), printable(reason))
