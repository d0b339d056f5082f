"""Keep arrays that were slow to read, until the files they came from change.

The cache lives in ``$FER_TF_CACHE``, else ``$XDG_CACHE_HOME/fer_tf``, else ``~/.cache/fer_tf``. It may be deleted at
any time; where it cannot be written, everything works without it.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
