"""Keep uploads in a temporary folder of limited size and age.

Gradio's ``delete_cache`` deletes complete uploads by age. This also limits their total size, and deletes what an
interrupted upload left.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Limits of one request, and of the requests of one address.

    Attributes:
        megabytes: most megabytes of an uploaded file.
        rate: most uploads and calls of an address in a minute; a photograph is one of each.
        seconds: most seconds that an upload may take.
        uploads: most uploads at a time; what they have sent is on the disk, and is not deleted before it is complete.
    """

    megabytes: float = 25.0
    rate: int = 240
    seconds: float = 300.0
    uploads: int = 64


class Uploads:
    """A folder whose files are deleted when they are old, and the oldest of them when there are too many."""

    def __init__(self, path: Path, seconds: float, total: int, least: int = 0):
        """Take over a folder with everything in it.

        Args:
            path: the folder.
            seconds: age at which a file is deleted, counted from its last change.
            total: most bytes that are kept.
            least: least bytes that a file counts for, which limits the number of files.
        """
        self.path, self.seconds, self.total, self.least = path.resolve(), seconds, total, least
        self._lock = threading.Lock()

    def has(self, path: str) -> bool:
        """Return whether a path is inside, with links and ``..`` resolved; the file need not exist."""
        try:
            return Path(path).is_absolute() and self.path in Path(path).resolve().parents
        except (OSError, ValueError, RuntimeError):
            return False

    def exists(self, path: str) -> bool:
        """Return whether a path is a file inside."""
        return self.has(path) and Path(path).is_file()

    def sweep(self, room: int = 0) -> int:
        """Delete files that are too old, then the oldest ones until ``room`` bytes fit in; return the bytes kept."""
        with self._lock:
            files = sorted(self._files())
            left = sum(size for _, size, _ in files)
            limit = time.time() - self.seconds
            for changed, size, path in files:
                if changed >= limit and left + room <= self.total:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                left -= size
                # An upload is alone in its folder; a folder that is not empty stays.
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
def temporary_uploads(seconds: float = 600.0, total: int = 1000 * MEGABYTE, every: float = 30.0) -> Iterator[Uploads]:
    """Create a folder of uploads, sweep it in a thread, and delete it at the end.

    Args:
        seconds: age at which a file is deleted.
        total: most bytes that are kept.
        every: seconds between two sweeps.
    """
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="fer_tf-uploads-", ignore_cleanup_errors=True) as folder:
        kept = Uploads(Path(folder), seconds, total, MEGABYTE)

        def watch() -> None:
            while not ended.wait(every):
                kept.sweep()

        threading.Thread(target=watch, name="sweep uploads", daemon=True).start()
        try:
            yield kept
        finally:
            ended.set()
