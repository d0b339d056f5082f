"""List the pictures to explain and name the files of their figures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fer_tf.errors import UserError
from fer_tf.explain import METHODS
from fer_tf.io import atomic, folders, naming
from fer_tf.io.folders import Note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 130


@dataclass(frozen=True)
class FigureSource:
    """A picture to explain.

    Attributes:
        path: its file, also in messages: the given path and, for a folder, the path below it.
        name: the path below the given folder.
        figure: the file of its figure.
    """

    path: Path
    name: str
    figure: Path


def find_pictures(paths: Sequence[Path | str], method: str, note: Note, out: Path | None = None) -> list[FigureSource]:
    """List the pictures of files and folder trees, each once, and name their figures.

    A figure is written beside its picture or, with ``out``, at the same place below ``out``: ``a/b.jpg`` has the figure
    ``a/b_gradcam.png``. Where two pictures would share a figure, the second keeps its suffix. Figures of earlier calls
    are skipped in folders.

    Args:
        paths: files and folders.
        method: a name of ``METHODS``, the end of the figures' names.
        note: function that is called with the name of each skipped path or folder and the reason.
        out: folder for the figures; ``None`` means beside the pictures.

    Raises:
        UserError: there is nothing to read, or ``out`` is not a folder.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise UserError(f"{out} is no folder. Give a folder for the figures.")
    found: dict[str, tuple[Path, str]] = {}
    first = None
    for path in map(Path, paths):
        try:
            for file, name in _pictures(path, note):
                found.setdefault(os.path.realpath(file), (file, name))
        except UserError as error:
            first = first or error
            note(str(path), str(error).removeprefix(f"{path}: "))
    if first and not found:
        raise first
    keys = _told_apart([name for _, name in found.values()])
    names = naming.assign(keys, {}, several=False)
    return [
        FigureSource(file, name, _place(file, names[key], out) / f"{PurePosixPath(names[key]).name}_{method}.png")
        for key, (file, name) in zip(keys, found.values(), strict=True)
    ]


def _pictures(path: Path, note: Note) -> list[tuple[Path, str]]:
    found = folders.find_pictures(path, note)
    if path.is_dir():
        found = [(file, name) for file, name in found if not _is_figure(name)]
    if not found:
        raise UserError(f"{path}: no pictures in it but figures of heat maps.")
    return found


def montage_path(paths: Sequence[Path | str], method: str, out: Path | None = None, page: int = 1) -> Path:
    """Return the file of a montage, in ``out`` or in the folder of the first path."""
    first = Path(paths[0])
    folder = out or (first if first.is_dir() else first.parent)
    return folder / f"montage{page if page > 1 else ''}_{method}.png"


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, completely or not at all."""
    with atomic.atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=DPI)


def _told_apart(names: Sequence[str]) -> list[str]:
    """Number the names that several folders share."""
    keys: dict[str, None] = {}
    for name in names:
        key, number = name, 2
        while key in keys:
            key, number = f"{number}/{name}", number + 1
        keys[key] = None
    return list(keys)


def _place(file: Path, name: str, out: Path | None) -> Path:
    return file.parent if out is None else out / PurePosixPath(name).parent


def _is_figure(name: str) -> bool:
    return PurePosixPath(name).stem.endswith(tuple(f"_{method}" for method in METHODS))
