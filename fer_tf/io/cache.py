"""Read arrays from files, and keep those that were slow to read.

The cache lives in ``$FER_TF_CACHE``, else ``$XDG_CACHE_HOME/fer_tf``, else ``~/.cache/fer_tf``. It may be deleted at
any time; where it cannot be written, everything works without it.
"""

import contextlib
import functools
import hashlib
import io
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from fer_tf.errors import DataError
from fer_tf.io.pictures import resized

_MAGIC = b"\x93NUMPY\x01\x00"

Rows = int | slice | Sequence[int] | np.ndarray


@dataclass(frozen=True, eq=False)
class StreamedFaces:
    """Images that stay on disk, as raw pixels at known places of files; the ``ImagesOnDisk`` of a ``FaceTable``.

    ``faces[rows]`` reads those rows, from any number of threads. Pixels are read and not mapped into memory: pages of
    a mapped file count as the process's own, and add up to the file. No file stays open.

    Attributes:
        files: the files.
        digests: text that changes with a file's bytes, one a file.
        file: int32 (N,), the face's file.
        offset: int64 (N,), where in it the pixels begin, in bytes.
        stored: (H, W, C) in the files, uint8.
        size: side in pixels to which faces are resized when they are read; ``None`` as they are.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile() as file:
        ...     _ = Path(file.name).write_bytes(bytes(range(8)))
        ...     faces = StreamedFaces((Path(file.name),), ("",), np.array([0, 0]), np.array([0, 4]), (2, 2, 1))
        ...     faces.shape, faces[1].ravel().tolist()
        ((2, 2, 2, 1), [4, 5, 6, 7])
    """

    files: tuple[Path, ...]
    digests: tuple[str, ...]
    file: np.ndarray
    offset: np.ndarray
    stored: tuple[int, int, int]
    size: int | None = None

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C) of what is read."""
        height, width, channels = self.stored
        return (len(self), self.size or height, self.size or width, channels)

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, rows: Rows) -> np.ndarray:
        """Read faces: uint8 (n, H, W, C), or (H, W, C) of a single row.

        Raises:
            DataError: a file is gone, or ends before the face.
        """
        wanted = np.atleast_1d(np.arange(len(self))[rows])
        faces = self._read(wanted)
        if self.size:
            faces = resized(faces, self.size)
        return faces[0] if isinstance(rows, int | np.integer) else faces

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all, for code that knows arrays only."""
        return self[:].astype(dtype or np.uint8, copy=False)

    def subset(self, rows: Rows) -> Self:
        """Return some of the faces, still on disk."""
        return replace(self, file=self.file[rows], offset=self.offset[rows])

    def resized(self, size: int) -> Self:
        """Return the faces in another size, still on disk."""
        return replace(self, size=None if self.stored[:2] == (size, size) else size)

    def digest(self) -> str:
        """Return sixteen hex digits that change with the files' bytes, the choice of faces and their size."""
        state = hashlib.blake2b(repr((self.digests, self.shape)).encode(), digest_size=8)
        for column in (self.file, self.offset):
            state.update(np.ascontiguousarray(column).data)
        return state.hexdigest()

    def _read(self, rows: np.ndarray) -> np.ndarray:
        faces = np.empty((len(rows), *self.stored), np.uint8)
        # File by file and forwards: each is opened once a batch, and a disk likes it.
        order = np.lexsort((self.offset[rows], self.file[rows]))
        starts = np.flatnonzero(np.diff(self.file[rows[order]], prepend=-1))
        for places in np.split(order, starts[1:]) if len(order) else ():
            self._read_from(self.files[self.file[rows[places[0]]]], rows[places].tolist(), places.tolist(), faces)
        return faces

    def _read_from(self, path: Path, rows: Sequence[int], places: Iterable[int], faces: np.ndarray) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from None
        try:
            for row, place in zip(rows, places, strict=True):
                if os.preadv(descriptor, [faces[place].data], self.offset[row]) != faces[place].nbytes:
                    raise DataError(f"{path}: ends before the face at byte {self.offset[row]}. Prepare it again.")
        finally:
            os.close(descriptor)


def load_array(path: Path | str) -> np.ndarray:
    """Read a small ``.npy`` file, in a quarter of the time of ``np.load``.

    A header is parsed once for all files that have the same one.

    Args:
        path: the file.

    Returns:
        The numbers or texts in it, (N,), whatever their shape in the file.

    Raises:
        ValueError, EOFError: no such file format, a truncated file, or Python objects inside.
        OSError: no such file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/valence.npy", np.array("-0.176846"))
        ...     load_array(f"{folder}/valence.npy").tolist()
        ['-0.176846']
    """
    data = Path(path).read_bytes()
    if not data.startswith(_MAGIC):
        return np.load(io.BytesIO(data), allow_pickle=False).reshape(-1)
    start = 10 + int.from_bytes(data[8:10], "little")
    count, dtype = _header(data[8:start])
    return np.frombuffer(data, dtype, count, start)


@functools.lru_cache(maxsize=64)
def _header(data: bytes) -> tuple[int, np.dtype]:
    shape, _, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(data))
    if dtype.hasobject:
        raise ValueError("Python objects inside")
    return math.prod(shape), dtype


Arrays = dict[str, np.ndarray]

# Linux takes the times of files from a clock of 1 to 10 ms: a file that changed so recently may change again unnoticed.
_SETTLED_NS = 100_000_000
LIMIT_BYTES = 10_000_000_000


def cached(
    kind: str,
    sources: Sequence[Path | str],
    options: Mapping[str, Any],
    make: Callable[[], Arrays],
    by_content: bool = False,
    limit_bytes: int = LIMIT_BYTES,
) -> Arrays:
    """Return the arrays that ``make`` returns, from the cache if the files and options are the same as before.

    A file counts as unchanged while its path, size, inode, modification time and change time (which nobody can set
    back) are the same.

    Args:
        kind: name and version of the reader; change it when the meaning of the arrays changes.
        sources: the files that ``make`` reads.
        options: whatever else the result depends on.
        make: reads the files; returns arrays without Python objects in them.
        by_content: files whose times changed are hashed, so that a copied or touched file is still known. For few,
            large files.
        limit_bytes: what the cache may hold; the longest unused entries go when it holds more.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile() as file:
        ...     cached("sizes-1", [file.name], {}, lambda: {"bytes": np.array([Path(file.name).stat().st_size])})
        {'bytes': array([0])}
    """
    before = _signature(sources)
    settled = time.time_ns() - max((stamp.changed for stamp in before.values()), default=0) > _SETTLED_NS
    content = _content(before, settled) if by_content else _digest(before.items())
    name = f"{kind}-{_digest([content, sorted(options.items())])}.npz"
    arrays = _recall(name)
    if arrays is None:
        arrays = make()
        if (settled or by_content) and before == _signature(sources):
            _store(name, lambda file: np.savez(file, **arrays), limit_bytes)
    return arrays


def folder() -> Path:
    """Return the cache folder; it need not exist.

    Example:
        >>> isinstance(folder(), Path)
        True
    """
    if os.environ.get("FER_TF_CACHE"):
        return Path(os.environ["FER_TF_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "fer_tf"


class _Stamp(NamedTuple):
    """What the file system tells about one file; times in nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int
    device: int


def _signature(sources: Sequence[Path | str]) -> dict[str, _Stamp]:
    # os.stat and os.path, since Path takes five times as long and there are up to 10⁵ files.
    stamps = {}
    for path in sources:
        s = os.stat(path)  # noqa: PTH116
        stamps[os.path.abspath(path)] = _Stamp(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev)  # noqa: PTH100
    return stamps


def _digest(parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _content(stamps: dict[str, _Stamp], settled: bool) -> str:
    """Hash the files' bytes, or look the hash up under their stamps."""
    name = f"content-{_digest(stamps.items())}.sha256"
    with contextlib.suppress(OSError, RuntimeError, UnicodeDecodeError):
        known = (folder() / name).read_text("ascii")
        if len(known) == 64:
            return known
    digest = hashlib.sha256()
    for path in stamps:
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if settled and stamps == _signature(list(stamps)):
        _store(name, lambda file: file.write(digest.hexdigest().encode("ascii")))
    return digest.hexdigest()


def _recall(name: str) -> Arrays | None:
    try:
        path = folder() / name
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return arrays


def _store(name: str, write: Callable[[Any], Any], limit_bytes: int = LIMIT_BYTES) -> None:
    """Write a file whole or not at all; several processes may do so at once."""
    with contextlib.suppress(OSError, RuntimeError):
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, part = tempfile.mkstemp(prefix=".part-", dir=place)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(part).replace(place / name)
        finally:
            Path(part).unlink(missing_ok=True)
        _prune(place, name, limit_bytes)


def _prune(place: Path, keep: str, limit_bytes: int) -> None:
    """Delete what dead processes left, and the longest unused entries beyond the size limit."""
    now, used = time.time(), 0
    entries = [
        (p.stat(), p) for p in place.iterdir() if p.name.startswith((".part-", "content-")) or p.suffix == ".npz"
    ]
    for stat, path in sorted(entries, key=lambda e: e[0].st_mtime, reverse=True):
        used += stat.st_size
        dead = path.name.startswith(".part-") and now - stat.st_mtime > 86_400
        if dead or (used > limit_bytes and path.name != keep and not path.name.startswith(".part-")):
            path.unlink(missing_ok=True)
