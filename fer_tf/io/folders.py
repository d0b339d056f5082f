"""Find the pictures of a folder tree, and name the files made from them.

The faces of a source take its name: ``a/b.jpg`` becomes ``a/b.png``, and its further faces ``a/b_1.png`` and so on. A
video at the top becomes a folder, ``talk/000123.png``; one in a folder stays in it, ``happy/talk_000123.png``, so that
class folders hold only pictures. If a name is that of an earlier source, or of a further face of one, the source keeps
its suffix: beside ``a.jpg``, ``a.png`` becomes ``a.png.png``. Names that differ only in case are the same name, since
they are on some file systems.
"""

import hashlib
import itertools
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from fer_tf.errors import UserError, printable
from fer_tf.io import pictures, video
from fer_tf.io.video import is_video

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


__all__ = ["assign", "assign_files", "face_name", "short"]

_FURTHER = re.compile(r"(.*)_\d+", re.DOTALL)
# In bytes of UTF-8. File systems take 255, and a suffix, the number of a face and a temporary prefix are added.
_LONGEST = 180


def assign(sources: Sequence[str], known: Mapping[str, str], several: bool) -> dict[str, str]:
    """Give each source a name for its faces, without suffix.

    Args:
        sources: names relative to the input folder, in order.
        known: by source, the names of an earlier run; they stay.
        several: whether a photograph may have more than one face.

    Returns:
        A name for each source.

    Example:
        >>> assign(["a.jpg", "a.png"], {}, several=False)
        {'a.jpg': 'a', 'a.png': 'a.png'}
    """
    claims = _Claims(several)
    for folder in {str(p) for source in sources for p in PurePosixPath(source).parents[:-1]}:
        claims.add(folder, False)
        claims.add(_without_suffix(folder), False)
    for source, name in known.items():
        claims.add(name, is_video(source))
    names = dict(known)
    for source in sources:
        if source not in names:
            names[source] = next(n for n in _candidates(source) if claims.free(n, is_video(source)))
            claims.add(names[source], is_video(source))
    return {source: names[source] for source in sources}


def assign_files(sources: Sequence[str], known: Mapping[str, str], kept: Sequence[str]) -> dict[str, str]:
    """Give each source a file of its own name.

    Args:
        sources: names relative to the input folder, in order.
        known: by source, the files of an earlier run; they stay.
        kept: suffixes in lower case that files may have; others get ``.png`` at the end.

    Returns:
        A file for each source.

    Example:
        >>> assign_files(["a.gif", "b.jpg"], {}, [".png", ".jpg"])
        {'a.gif': 'a.gif.png', 'b.jpg': 'b.jpg'}
    """
    folders = {str(p) for source in sources for p in PurePosixPath(source).parents[:-1]}
    own = {_key(name) for name in (*sources, *folders)}
    taken = {_key(file) for file in known.values()}
    files = dict(known)
    for source in sources:
        if source not in files:
            wanted = source if PurePosixPath(source).suffix.lower() in kept else f"{source}.png"
            more = (short(wanted + ".png" * i, keep_suffix=True) for i in itertools.count())
            free = (f for f in more if _key(f) not in taken and (f == source or _key(f) not in own))
            files[source] = next(free)
            taken.add(_key(files[source]))
    return {source: files[source] for source in sources}


def face_name(name: str, video_frame: int | None, face: int, inside: bool) -> str:
    """Name one face, without suffix.

    Args:
        name: of its source, see ``assign``.
        video_frame: number of the frame of a video, ``None`` for a photograph.
        face: number of the face in the picture, from 0.
        inside: whether the source is in a folder.

    Example:
        >>> face_name("happy/talk", 123, 1, inside=True)
        'happy/talk_000123_1'
    """
    if video_frame is not None:
        name = f"{name}{'_' if inside else '/'}{video_frame:06d}"
    return f"{name}_{face}" if face else name


def short(name: str, keep_suffix: bool = False) -> str:
    """Shorten the last part of a path that file systems would refuse, and make it unique by a hash of the whole.

    Args:
        name: path with ``/``.
        keep_suffix: of the last part.

    Example:
        >>> short("faces/" + "a" * 300 + ".png", keep_suffix=True)[-18:]
        'aaaaa~f0e62479.png'
    """
    path = PurePosixPath(name)
    data = path.name.encode("utf-8", "surrogateescape")
    if len(data) <= _LONGEST:
        return name
    digest = hashlib.blake2b(data, digest_size=4).hexdigest()
    last = f"{data[:_LONGEST].decode('utf-8', 'ignore')}~{digest}{path.suffix if keep_suffix else ''}"
    return str(path.with_name(last))


class _Claims:
    """The names that are taken."""

    def __init__(self, several: bool):
        self._several = several
        self._taken: set[str] = set()
        self._numbered: set[str] = set()
        self._bases: set[str] = set()

    def free(self, name: str, video: bool) -> bool:
        key = _key(name)
        base = _FURTHER.fullmatch(key)
        reads_as_further = base is not None and base[1] in self._numbered
        return not (key in self._taken or reads_as_further or ((self._several or video) and key in self._bases))

    def add(self, name: str, video: bool) -> None:
        key = _key(name)
        self._taken.add(key)
        if self._several or video:
            self._numbered.add(key)
        if base := _FURTHER.fullmatch(key):
            self._bases.add(base[1])


def _candidates(source: str) -> Iterator[str]:
    plain = _without_suffix(source)
    yield short(plain)
    yield short(source)
    number = 2
    while True:
        yield short(f"{plain}~{number}")
        number += 1


def _without_suffix(source: str) -> str:
    return str(PurePosixPath(source).with_suffix(""))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
