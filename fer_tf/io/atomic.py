"""Write files atomically: a reader finds the old file or the new one."""

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fer_tf.errors import UserError

__all__ = [
    "atomic_write", "folder_lock", "lock_file", "open_without_following", "remove_leftovers", "write_json",
    "write_text",
]  # fmt: skip

_MAX_LINKS = 40
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?P<process>[^/]+))/fd/(?P<number>\d+)")


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path, and move it to ``path`` when the block ends well.

    If the block raises an error, ``path`` stays as it was and the temporary file is removed. A symbolic link stays a
    link: the file that it points to is written. What is no regular file, such as a pipe or a device, is never
    replaced: the content is written into it when the block ends.

    Args:
        path: the file to write; its folder is made.

    Yields:
        The path of an empty file. It keeps the suffix of ``path``, since some writers choose the format by it.

    Raises:
        OSError: the file cannot be written, or ``path`` is a folder.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with atomic_write(Path(folder) / "faces.csv") as part:
        ...         _ = part.write_text("source,face")
        ...     [file.name for file in Path(folder).iterdir()]
        ['faces.csv']
    """
    path = Path(path)
    if _is_special(path):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / path.name
            part.touch()
            yield part
            _copy_into(part, path)
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    # A new file in any case: what lies there may be a link that somebody else has put in the way.
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically, in UTF-8.

    Args:
        path: the file to write.
        text: its content.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_text(f"{folder}/labels.txt", "happiness")
    """
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as JSON atomically, indented, with a newline at the end.

    Args:
        path: the file to write.
        value: what ``json`` can write.

    Raises:
        ValueError: the value contains NaN or an infinity, which JSON does not know.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_json(f"{folder}/metrics.json", {"accuracy": 0.75})
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def remove_leftovers(folder: Path | str) -> None:
    """Delete the temporary files that stopped processes left in a folder.

    Args:
        folder: the folder; no process may be writing into it.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / ".part-1-faces.csv").touch()
        ...     remove_leftovers(folder)
        ...     list(Path(folder).iterdir())
        []
    """
    for part in Path(folder).glob(".part-*"):
        part.unlink(missing_ok=True)


def open_without_following(path: Path | str) -> BinaryIO:
    """Open a file for reading and appending; make it if it is not there, and never empty it.

    Args:
        path: the file; a symbolic link is refused, since the file it points to would be changed.

    Raises:
        UserError: the path is a link, a pipe or a device.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with open_without_following(f"{folder}/.lock") as file:
        ...         file.read()
        b''
    """
    refused = UserError(f"{path} is no plain file. Delete it, or give another place.")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise refused from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refused
    return os.fdopen(descriptor, "a+b")


@contextlib.contextmanager
def folder_lock(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder.

    Args:
        folder: is made if it is not there, and has the file ``.lock`` from then on.
        patience: seconds to wait for another process.

    Raises:
        UserError: the path is not a folder, its ``.lock`` is not a plain file, or another process has the lock.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, folder_lock(Path(folder) / "out"):
        ...     [file.name for file in (Path(folder) / "out").iterdir()]
        ['.lock']
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder} is no folder. Give another place.") from None
    with open_without_following(folder / ".lock") as file:
        lock_file(file, folder, patience)
        yield


def lock_file(file: BinaryIO, place: Path, patience: float = 0.0) -> None:
    """Lock an open file until it is closed.

    Args:
        file: the file.
        place: names the place of work in the error message.
        patience: seconds to wait for another process.

    Raises:
        UserError: another process has the lock.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, open_without_following(f"{folder}/a.lock") as file:
        ...     lock_file(file, Path(folder))
    """
    import fcntl

    end = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise UserError(f"Another process is at work in {place}. Wait for it, or give another place.") from None
            time.sleep(0.1)


def _is_special(path: Path) -> bool:
    """Return whether the content goes into what is there, since it is not a regular file that could be replaced."""
    number = _descriptor(path)
    if number is not None:
        os.fstat(number)
        return True
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return not stat.S_ISREG(mode)


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file of this process that a path such as ``/dev/stdout`` means, else ``None``."""
    for _ in range(_MAX_LINKS):
        if found := _DESCRIPTOR.fullmatch(os.path.abspath(path)):  # noqa: PTH100 - links must stay links
            return int(found["number"]) if found["process"] in (None, "self", str(os.getpid())) else None
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _copy_into(part: Path, path: Path) -> None:
    number = _descriptor(path)
    if number == 1:
        sys.stdout.flush()
    # No O_CREAT and no O_TRUNC: if the pipe or device is gone by now, no file takes its place.
    descriptor = os.open(path, os.O_WRONLY) if number is None else os.dup(number)
    with part.open("rb") as source, os.fdopen(descriptor, "wb") as sink:
        shutil.copyfileobj(source, sink)
