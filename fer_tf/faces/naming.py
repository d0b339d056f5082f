"""What the faces of a source are called, so that no two sources write the same file.

A source's faces take its own name: ``a/b.jpg`` becomes ``a/b.png``, and its further faces ``a/b_1.png`` and so on. A
video at the top becomes a folder, ``talk/000123.png``; one in a folder stays in it, ``happy/talk_000123.png``, so that
class folders hold nothing but pictures. A name that an earlier source has, or that would read as an earlier one's
further face, keeps the source's suffix: with ``a.jpg``, ``a.png`` becomes ``a.png.png``. Case makes no difference,
since it does not on every file system.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from fer_tf.io.video import is_video

_FURTHER = re.compile(r"(.*)_\d+", re.DOTALL)
# In bytes of UTF-8; file systems take 255, and the suffix, the face's number and a temporary file's name come on top.
LONGEST = 180


def assign(sources: Sequence[str], known: Mapping[str, str], several: bool) -> dict[str, str]:
    """Give each source a name for its faces, without suffix.

    Args:
        sources: names relative to the folder, in order.
        known: names given in an earlier run; they stay.
        several: whether a photograph may have further faces.

    Returns:
        A name for each source.
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


def face_name(name: str, video_frame: int | None, face: int, inside: bool) -> str:
    """Name one face, without suffix.

    Args:
        name: of its source, see ``assign``.
        video_frame: number of the video's frame, ``None`` for a photograph.
        face: number of the face in the picture.
        inside: whether the source lies in a folder.
    """
    if video_frame is not None:
        name = f"{name}{'_' if inside else '/'}{video_frame:06d}"
    return f"{name}_{face}" if face else name


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


def short(name: str) -> str:
    """Cut the last part of a name that file systems would refuse, and tell it apart by a hash of the whole."""
    folder, _, last = name.rpartition("/")
    data = last.encode("utf-8", "surrogateescape")
    if len(data) <= LONGEST:
        return name
    last = data[:LONGEST].decode("utf-8", "ignore") + "~" + hashlib.blake2b(data, digest_size=4).hexdigest()
    return f"{folder}/{last}" if folder else last


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
