"""The one folder that uploads touch: bounded in size and age, and gone when the server ends."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

MEGABYTE = 1_000_000


class Uploads:
    """A folder whose files are deleted when they are old, or the oldest of them when there are too many."""

    def __init__(self, path: Path, seconds: float, total: int, least: int = 0):
        """Take a folder over; all that is in it is ours.

        Args:
            path: the folder.
            seconds: after which a file is deleted, counted from its last change.
            total: bytes that are kept at most.
            least: bytes that a file counts for at least, which bounds the number of files.
        """
        self.path, self.seconds, self.total, self.least = path.resolve(), seconds, total, least
        self._one_at_a_time = threading.Lock()

    def has(self, path: str) -> bool:
        """Tell whether a path is inside, links and ``..`` resolved; whether it exists does not matter."""
        try:
            return Path(path).is_absolute() and self.path in Path(path).resolve().parents
        except (OSError, ValueError, RuntimeError):
            return False

    def exists(self, path: str) -> bool:
        """Tell whether a path is a file inside."""
        return self.has(path) and Path(path).is_file()

    def sweep(self, room: int = 0) -> int:
        """Delete what is too old, then the oldest files until so many bytes fit in; return the bytes that are left."""
        with self._one_at_a_time:
            files = sorted(self._files())
            left = sum(size for _, size, _ in files)
            limit = time.time() - self.seconds
            for changed, size, path in files:
                if changed >= limit and left + room <= self.total:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                left -= size
                # An upload is alone in its folder; one that is not empty stays.
                with contextlib.suppress(OSError):
                    if path.parent != self.path:
                        path.parent.rmdir()
            return left

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    yield status.st_mtime, max(status.st_size, self.least), path


@contextlib.contextmanager
def uploads(seconds: float = 600.0, total: int = 1000 * MEGABYTE, every: float = 30.0) -> Iterator[Uploads]:
    """Make the folder, sweep it in a thread of its own, and delete it at the end.

    Args:
        seconds, total: as ``Uploads`` takes them.
        every: seconds between two sweeps.
    """
    folder = Path(tempfile.mkdtemp(prefix="fer_tf-uploads-"))
    ended = threading.Event()
    try:
        kept = Uploads(folder, seconds, total, MEGABYTE)

        def watch() -> None:
            while not ended.wait(every):
                kept.sweep()

        threading.Thread(target=watch, name="sweep uploads", daemon=True).start()
        yield kept
    finally:
        ended.set()
        shutil.rmtree(folder, ignore_errors=True)
