"""Build a table from the listed faces of a dataset release."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fer_tf.datasets.folder import class_index, read_pictures, read_tree
from fer_tf.datasets.splits import carve
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import FaceTable
from fer_tf.io.cache import cached
from fer_tf.io.pictures import check_picture, check_shape, read_photograph
from fer_tf.labels import LabelSet, one_hot
from fer_tf.progress import counted


@dataclass(frozen=True, slots=True)
class Face:
    """Describe one face of a release.

    Attributes:
        path: Path of the image.
        id: Unique name.
        label: Column of the label set.
        split: ``train``, ``validation`` or ``test``.
        place: Name in messages; empty means the path.
        subject: Person in the image (or film); empty if unknown.
        landmarks: float32 array (K, 2) of x, y in pixels of the file, or ``None``.
        box: x0, y0, x1, y1 in pixels of the file, or ``None``.
        affect: Valence and arousal from −1 to 1, NaN if missing, or ``None``.
    """

    path: str
    id: str
    label: int
    split: str
    place: str = ""
    subject: str = ""
    landmarks: np.ndarray | None = None
    box: Sequence[float] | None = None
    affect: tuple[float, float] | None = None


@dataclass(frozen=True)
class ReadOptions:
    """Set how images are read.

    Attributes:
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        in_memory: Read images now; ``False`` keeps paths, and size, channels and crop do not apply.
        crop: Crop faces to their boxes.
        headers: With paths, check the header of each file; ``False`` only checks that it exists.
    """

    size: int
    channels: int
    in_memory: bool = True
    crop: bool = False
    headers: bool = True

    def __post_init__(self):
        check_shape(self.size, self.channels)


def assemble(
    root: Path, faces: Sequence[Face], label_set: LabelSet, row_errors: RowErrors, options: ReadOptions
) -> FaceTable:
    """Read or check the images of the listed faces and build the table of the valid ones.

    Landmarks and boxes are transformed together with images that are cropped or resized. A column that no face has is
    left out; a face that lacks a value which others have gets NaN.

    Args:
        root: Name in the message if no face is left.
        faces: N faces; one with the id of an earlier face is a bad row.
        label_set: Meaning of the labels.
        row_errors: Collects bad rows and images.
        options: How images are read.

    Raises:
        DataError: A row is bad and not to be skipped, or no valid face is left.
    """
    faces = list(_unique(faces, row_errors))
    places = [face.place or face.path for face in faces]
    marked = any(face.landmarks is not None or face.box is not None for face in faces)
    images, frames = None, None
    if not options.in_memory:
        kept = _with_good_files(faces, places, options.headers, row_errors)
    elif marked:
        images, frames, kept = _read_frames(faces, places, options, row_errors)
    else:
        paths = [face.path for face in faces]
        images, kept = read_pictures(paths, places, options.size, options.channels, row_errors)
    row_errors.check_any_left(len(kept), root)
    faces = [faces[i] for i in kept]
    landmarks, boxes = _column([f.landmarks for f in faces]), _column([f.box for f in faces])
    if frames is not None:
        landmarks, boxes = _moved(landmarks, boxes, frames, options.size)
    subjects = np.array([face.subject for face in faces])
    return FaceTable(
        images=images,
        paths=None if options.in_memory else np.array([face.path for face in faces]),
        targets=one_hot([face.label for face in faces], len(label_set)),
        label_set=label_set,
        split=np.array([face.split for face in faces], dtype="U10"),
        ids=np.array([face.id for face in faces]),
        landmarks=landmarks,
        boxes=boxes,
        valence_arousal=_column([face.affect for face in faces]),
        subject=subjects if (subjects != "").any() else None,
        skipped=tuple(row_errors.lines),
    )


def list_tree(
    place: Path, id_prefix: str, split: str, label_set: LabelSet, row_errors: RowErrors, names: Sequence[str] = ()
) -> list[Face]:
    """List the images in class folders as faces of one split.

    Args:
        place: Folder of class folders.
        id_prefix: Prefix of the ids ``<class>/<file>``.
        split: Split of all faces.
        label_set: Label set of the folder names, in any spelling.
        row_errors: Collects empty classes and misplaced images.
        names: Folder names in the order of the label set, if they differ from the class names.

    Raises:
        DataError: A folder is not a class.
    """
    entries = read_tree(place, row_errors)
    column = {}
    for name in sorted({e.class_name for e in entries}):
        column[name] = names.index(name) if name in names else class_index(label_set, name)
        if column[name] is None:
            expected = ", ".join([*label_set.classes, *names])
            raise DataError(f"{place / name}: no class of {label_set.name}. Expected one of {expected}.")
    return [Face(e.path, f"{id_prefix}{e.id}", column[e.class_name], split) for e in entries]


def carve_validation(table: FaceTable, share: float, seed: int, by_subject: bool = False) -> FaceTable:
    """Take a validation split from train: a share of every class, or of whole subjects."""
    groups = table.subject if by_subject else None
    return replace(table, split=carve(table.split, table.ids, table.labels, (1 - share, share, 0.0), seed, groups))


def first_of(places: Sequence[Path]) -> Path | None:
    """Return the first existing path, or ``None``."""
    return next((place for place in places if place.exists()), None)


def names_in(folder: Path | str) -> frozenset[str]:
    """Return the names of the files in a folder; an empty set if there is no such folder."""
    return (
        frozenset(entry.name for entry in os.scandir(folder) if entry.is_file())
        if Path(folder).is_dir()
        else frozenset()
    )


def _unique(faces: Sequence[Face], row_errors: RowErrors) -> Iterator[Face]:
    seen: dict[str, str] = {}
    for face in faces:
        place = face.place or face.path
        if face.id in seen:
            row_errors.add(place, f"face {face.id!r} is already at {seen[face.id]}.")
        else:
            seen[face.id] = place
            yield face


def _with_good_files(faces: Sequence[Face], places: Sequence[str], headers: bool, row_errors: RowErrors) -> np.ndarray:
    """Check which images exist with one listing for each folder; 10⁵ single checks would take minutes."""
    listings: dict[str, frozenset[str]] = {}
    kept = []
    for i, face in enumerate(faces):
        folder, name = os.path.split(face.path)
        if folder not in listings:
            listings[folder] = names_in(folder)
        try:
            if name not in listings[folder]:
                raise DataError(f"no such picture: {face.path}.")
            if headers:
                check_picture(face.path)
            kept.append(i)
        except DataError as error:
            row_errors.add(places[i], error)
    return np.array(kept, dtype=np.int64)


def _read_frames(
    faces: Sequence[Face], places: Sequence[str], options: ReadOptions, row_errors: RowErrors
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read and crop images; return them, their frames in the files (M, 4), and the indices of the rows kept (M,)."""
    missing = [i for i, face in enumerate(faces) if not Path(face.path).is_file()]
    for i in missing:
        row_errors.add(places[i], f"no such picture: {faces[i].path}.")
    present = np.setdiff1d(np.arange(len(faces)), missing)
    boxes = [faces[i].box if options.crop else None for i in present]
    digest = hashlib.sha256(repr([None if box is None else tuple(map(float, box)) for box in boxes]).encode())
    cache_key = {"size": options.size, "channels": options.channels, "boxes": digest.hexdigest()}

    def read() -> dict[str, np.ndarray]:
        return _cut_all(
            [faces[i].path for i in present], [places[i] for i in present], boxes, options, row_errors.skip_bad
        )

    arrays = cached("frames-1", [faces[i].path for i in present], cache_key, read)
    for i, reason in zip(arrays["bad"], arrays["reasons"], strict=True):
        row_errors.add(places[present[i]], reason)
    return arrays["images"], arrays["frames"], np.delete(present, arrays["bad"])


def _cut_all(
    paths: Sequence[str], places: Sequence[str], boxes: Sequence, options: ReadOptions, skip_bad: bool
) -> dict[str, np.ndarray]:
    images = np.empty((len(paths), options.size, options.size, options.channels), np.uint8)
    frames, bad, reasons = np.zeros((len(paths), 4)), [], []
    for i in counted(range(len(paths))):
        try:
            images[i], frames[i] = _cut(paths[i], boxes[i], options)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{places[i]}: {error}") from None
            bad.append(i)
            reasons.append(str(error))
    return {
        "images": np.delete(images, bad, axis=0) if bad else images,
        "frames": np.delete(frames, bad, axis=0),
        "bad": np.array(bad, dtype=np.int64),
        "reasons": np.array(reasons, dtype=str),
    }


def _cut(path: str, box: Sequence[float] | None, options: ReadOptions) -> tuple[np.ndarray, tuple[float, ...]]:
    """Read one image or its box (black beyond the image); return it with its frame in the file."""
    whole = Image.fromarray(read_photograph(path))
    frame = (0, 0, *whole.size) if box is None or not np.isfinite(box).all() else tuple(round(float(b)) for b in box)
    if frame[2] <= frame[0] or frame[3] <= frame[1]:
        raise DataError(f"box {tuple(box)} is empty. Expected x0 < x1 and y0 < y1.")
    picture = whole.crop(frame).convert("L" if options.channels == 1 else "RGB")
    picture = picture.resize((options.size, options.size), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(options.size, options.size, options.channels), frame


def _moved(
    landmarks: np.ndarray | None, boxes: np.ndarray | None, frames: np.ndarray, size: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Convert landmarks and boxes from pixels of the files to pixels of the ``size`` × ``size`` images."""
    corner, side = frames[:, None, :2], frames[:, None, 2:] - frames[:, None, :2]

    def move(points: np.ndarray) -> np.ndarray:
        return ((points - corner) * size / side).astype(np.float32)

    return (
        None if landmarks is None else move(landmarks),
        None if boxes is None else move(boxes.reshape(-1, 2, 2)).reshape(-1, 4),
    )


def _column(values: Sequence) -> np.ndarray | None:
    """Stack values, with NaN for ``None``; return ``None`` if all are ``None``."""
    shape = next((np.shape(value) for value in values if value is not None), None)
    if shape is None:
        return None
    column = np.full((len(values), *shape), np.nan, np.float32)
    for i, value in enumerate(values):
        if value is not None:
            column[i] = value
    return column
