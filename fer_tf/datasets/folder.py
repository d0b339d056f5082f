"""Load images from class folders, and read the image files of a dataset."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_tf.datasets.splits import ACCEPTED, carve, check_shares, split_of
from fer_tf.errors import DataError, RowErrors, given_path
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.io.cache import cached
from fer_tf.io.folders import is_litter
from fer_tf.io.pictures import SUFFIXES, check_picture, check_shape, is_file, read_picture, why_no_file
from fer_tf.labels import LABEL_SETS, LabelSet, canonical, one_hot
from fer_tf.progress import counted


def read_pictures(
    paths: Sequence[Path | str], places: Sequence[str], size: int, channels: int, row_errors: RowErrors
) -> tuple[np.ndarray, np.ndarray]:
    """Read many pictures; a second time, with no file changed, from the cache.

    Args:
        paths: N files.
        places: how to call each in a message, (N,).
        size: Height and width in pixels.
        channels: 1 or 3.
        row_errors: takes the bad ones.

    Returns:
        uint8 images (M, size, size, channels) and the int64 indices (M,) of the pictures that were read.

    Raises:
        DataError: a picture cannot be read and ``row_errors`` does not skip.
    """
    check_shape(size, channels)
    present = [i for i, path in enumerate(paths) if is_file(path)]
    for i in sorted(set(range(len(paths))) - set(present)):
        named = "" if str(paths[i]) in str(places[i]) else f": {paths[i]}"
        row_errors.add(places[i], f"{why_no_file(paths[i])}{named}. Expected a picture.")
    sources = [paths[i] for i in present]

    def read() -> dict[str, np.ndarray]:
        return _read_all(sources, [places[i] for i in present], size, channels, row_errors.skip_bad)

    arrays = cached("pictures-1", sources, {"size": size, "channels": channels}, read)
    for i, reason in zip(arrays["bad"], arrays["reasons"], strict=True):
        row_errors.add(places[present[i]], reason)
    kept = np.setdiff1d(np.arange(len(present)), arrays["bad"])
    return arrays["images"], np.array(present, dtype=np.int64)[kept]


def _read_all(
    paths: Sequence[Path | str], places: Sequence[str], size: int, channels: int, skip_bad: bool
) -> dict[str, np.ndarray]:
    images, bad, reasons = np.empty((len(paths), size, size, channels), np.uint8), [], []
    for i in counted(range(len(paths))):
        try:
            images[i] = read_picture(paths[i], size, channels)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{places[i]}: {error}") from None
            bad.append(i)
            reasons.append(str(error))
    return {
        "images": np.delete(images, bad, axis=0) if bad else images,
        "bad": np.array(bad, dtype=np.int64),
        "reasons": np.array(reasons, dtype=str),
    }


@dataclass(frozen=True)
class Entry:
    """Hold one image of a tree of class folders; ``split`` is empty if the tree has no splits."""

    path: str
    id: str
    class_name: str
    split: str


def load_folder(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    size: int = 48,
    channels: int = 1,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    in_memory: bool = True,
) -> FaceTable:
    """Load images from class folders.

    If the classes are those of a known label set, its order is used; otherwise they are sorted by name. Missing splits
    are taken from the training faces, stratified by class.

    Args:
        data: The folder.
        skip_bad: Leave out bad images and empty classes and list them in ``skipped``, instead of stopping.
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        split: Shares (train, validation, test) for the splits that the folder lacks.
        seed: Seed of that split.
        in_memory: Read all images now; ``False`` checks their headers and keeps paths (``size`` and ``channels``
            then do not apply).

    Raises:
        DataError: The folder is missing, a class is empty, or a file is not an image.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_folder("data/folder", size=64)
        >>> faces.train.image_shape
        (64, 64, 1)
    """
    root, row_errors = _find(given_path(data)), RowErrors(skip_bad)
    entries = read_tree(root, row_errors)
    label_set = label_set_of({e.class_name for e in entries}, "folder")
    return build(root, entries, label_set, row_errors, split, seed, size, channels, in_memory)


def _find(root: Path) -> Path:
    """Return the folder of splits or classes in ``root``; archives often have it inside of one other folder."""
    while root.is_dir():
        inside = [p for p in root.iterdir() if not is_litter(p.name)]
        folders = [p for p in inside if p.is_dir()]
        if len(folders) != 1 or len(inside) != 1 or split_of(folders[0].name):
            break
        inner = [p for p in folders[0].iterdir() if not is_litter(p.name)]
        if not inner or not all(p.is_dir() for p in inner):
            break
        root = folders[0]
    return root


def read_tree(root: Path, row_errors: RowErrors, splits_only: bool = False) -> list[Entry]:
    """List the images of a tree of class folders, sorted by id, without opening them.

    Args:
        root: Root of the tree.
        row_errors: Collects empty classes and misplaced images.
        splits_only: Ignore folders that are not splits, such as ``runs``.

    Raises:
        DataError: The folder is missing or has no classes, a class is empty, or a split is unknown.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Expected DIR/<split>/<class>/*.png or DIR/<class>/*.png.")
    folders = [f for f in _folders(root, row_errors) if not splits_only or split_of(f.name)]
    named = {f: split_of(f.name) for f in folders}
    if not any(named.values()):
        entries = _read_classes(root, folders, "", row_errors)
    else:
        for f, name in named.items():
            if name is None:
                raise DataError(f"{f}: a folder beside splits that is none. Expected {ACCEPTED}.")
        twice = [f for f in folders if list(named.values()).count(named[f]) > 1]
        if twice:
            raise DataError(f"{root}: {' and '.join(f.name for f in twice)} both mean {named[twice[0]]}. Keep one.")
        entries = [e for f in folders for e in _read_classes(root, _folders(f, row_errors), named[f], row_errors)]
    row_errors.check_any_left(len(entries), root)
    return sorted(entries, key=lambda e: e.id)


def label_set_of(names: Iterable[str], otherwise: str) -> LabelSet:
    """Return the known label set with exactly these classes in any spelling, or a new one sorted by name.

    A class in several spellings (``Happy``, ``happiness``) is one class, named in its canonical spelling.

    Args:
        names: Class names.
        otherwise: Name of the new label set.
    """
    spellings: dict[str, set[str]] = {}
    for name in names:
        spellings.setdefault(canonical(name), set()).add(name)
    for known in LABEL_SETS.values():
        if set(spellings) == {canonical(c) for c in known.classes}:
            return known
    return LabelSet(otherwise, tuple(sorted(s.pop() if len(s) == 1 else plain for plain, s in spellings.items())))


def class_index(label_set: LabelSet, name: str) -> int | None:
    """Return the column of a class in any spelling; ``None`` if the label set does not have it."""
    spelled = [canonical(c) for c in label_set.classes]
    return spelled.index(canonical(name)) if canonical(name) in spelled else None


def build(
    root: Path,
    entries: Sequence[Entry],
    label_set: LabelSet,
    row_errors: RowErrors,
    shares: Sequence[float],
    seed: int,
    size: int,
    channels: int,
    in_memory: bool = True,
) -> FaceTable:
    """Read the listed images and create their table; arguments as in ``load_folder``."""
    shares = check_shares(shares)
    check_shape(size, channels)
    paths, images = [e.path for e in entries], None
    if in_memory:
        images, kept = read_pictures(paths, paths, size, channels, row_errors)
    else:
        kept = _with_good_headers(paths, row_errors)
    row_errors.check_any_left(len(kept), root)
    entries = [entries[i] for i in kept]
    column = {name: class_index(label_set, name) for name in {e.class_name for e in entries}}
    labels = np.array([column[e.class_name] for e in entries])
    ids = np.array([e.id for e in entries])
    return FaceTable(
        images=images,
        paths=None if in_memory else np.array([e.path for e in entries]),
        targets=one_hot(labels, len(label_set)),
        label_set=label_set,
        split=complete_splits(root, np.array([e.split or "train" for e in entries]), ids, labels, shares, seed),
        ids=ids,
        skipped=tuple(row_errors.lines),
    )


def complete_splits(
    root: Path, split: np.ndarray, ids: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """Take missing splits from the training faces and log which; see ``splits.carve``."""
    missing = [s for s in SPLITS if s not in split]
    if missing:
        logging.getLogger(__name__).info("%s has no %s: taken from train, seed %d.", root, " and ".join(missing), seed)
    carved = carve(split, ids, labels, shares, seed)
    if empty := [s for s, share in zip(SPLITS, shares, strict=True) if share > 0 and s not in carved]:
        logging.getLogger(__name__).warning(
            "%s: no faces are left for %s. Expected three faces or more of a class.", root, " and ".join(empty)
        )
    return carved


def _with_good_headers(paths: Sequence[str], row_errors: RowErrors) -> np.ndarray:
    kept = []
    for i, path in enumerate(paths):
        try:
            check_picture(path)
            kept.append(i)
        except DataError as error:
            row_errors.add(path, error)
    return np.array(kept, dtype=np.int64)


def _read_classes(root: Path, folders: Sequence[Path], split: str, row_errors: RowErrors) -> list[Entry]:
    entries = []
    for folder in folders:
        found = [e for e in os.scandir(folder) if not is_litter(e.name)]
        for inner in (e for e in found if e.is_dir()):
            row_errors.add(inner.path, "a folder inside a class folder. Expected pictures; give the folder of classes.")
        files = [(e.path, e.name) for e in found if not e.is_dir()]
        if not found:
            row_errors.add(folder, "empty class folder. Expected pictures in it.")
        place = folder.relative_to(root).as_posix()
        entries += [Entry(path, f"{place}/{name}", folder.name, split) for path, name in files]
    return entries


def _folders(place: Path, row_errors: RowErrors) -> list[Path]:
    """Return the sorted folders in ``place``; an image beside them is a bad row, since it has no class."""
    inside = sorted(p for p in place.iterdir() if not is_litter(p.name))
    for path in inside:
        if path.suffix.lower() in SUFFIXES:
            row_errors.add(path, "a picture outside the class folders. Expected <class>/picture.")
    folders = [p for p in inside if p.is_dir()]
    if not folders:
        raise DataError(f"{place}: no class folders. Expected <class>/*.png in it.")
    return folders
