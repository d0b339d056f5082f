"""Numbered version folders that a server may watch: each is there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fer_tf.errors import UserError
from fer_tf.io import atomic

HIGHEST = 2**63 - 1
# A server takes subfolders that are numbers for versions, and no others.
PART = ".part-"


def versions_in(folder: Path) -> list[int]:
    """Return the numbers of a model's versions, ascending; none where there is no such folder."""
    return sorted(int(p.name) for p in folder.iterdir() if is_version(p)) if folder.is_dir() else []


def is_version(path: Path) -> bool:
    """Tell whether a server takes a folder for a version."""
    return path.is_dir() and path.name.isascii() and path.name.isdigit()


@contextlib.contextmanager
def new_version(folder: Path, version: int | None = None) -> Iterator[tuple[Path, Path]]:
    """Yield a temporary folder and the version folder it becomes when the block ends well; remove it when not.

    Args:
        folder: of the model; made where it is missing.
        version: its number; ``None`` for the one after the highest.

    Raises:
        UserError: there is such a version, the number is out of range, the name suits no model, or another process
            exports here.
    """
    _check(folder, version)
    with atomic.folder_lock(folder):
        _remove_leftovers(folder)
        present = versions_in(folder)
        number = version if version is not None else max(present, default=0) + 1
        if number in present:
            raise UserError(f"{folder} has a version {number}. Give another --version, or none for the next.")
        part, final = folder / f"{PART}{os.getpid()}-v{number}", folder / str(number)
        try:
            part.mkdir()
            yield part, final
            _to_disk(part)
            part.rename(final)
            _sync(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _check(folder: Path, version: int | None) -> None:
    name = folder.absolute().name
    if not name or name.isdigit() or name.startswith("."):
        raise UserError(f"{folder} is no name of a model. Expected a folder such as saved_models/faces.")
    if version is not None and not 1 <= version <= HIGHEST:
        raise UserError(f"--version {version} is out of range. Expected 1 to {HIGHEST}.")


def _remove_leftovers(folder: Path) -> None:
    """Delete what exports that were killed left; the lock says that none is at work."""
    for part in folder.glob(f"{PART}*"):
        shutil.rmtree(part, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
