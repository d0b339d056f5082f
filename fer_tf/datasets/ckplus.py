"""Load CK+ (Lucey et al. 2010) with folds in which nobody is in two splits."""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_tf.datasets import fer2013
from fer_tf.datasets.listed import Face, ReadOptions, assemble, first_of, list_tree
from fer_tf.datasets.splits import group_folds
from fer_tf.errors import DataError, RowErrors, UserError
from fer_tf.facetable import FaceTable, converted
from fer_tf.io.pictures import SUFFIXES, resized
from fer_tf.labels import CKPLUS, CKPLUS8, LabelSet, one_hot

FRAMES, CSV_FILE, CLASS_FOLDERS = "cohn-kanade-images", "ckextended.csv", "CK+48"
POINTS = 68
# Half more than the points span, so that the forehead, which has none, is in the picture.
MARGIN = 1.5
CSV_LABELS = LabelSet(
    "ckextended", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
)  # fmt: skip
_NAME = re.compile(r"(S\d+)_\d+_\d+\.\w+")


def load_ckplus(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    neutral: bool = False,
    peak_frames: int = 3,
    folds: int = 10,
    fold: int = 0,
    seed: int = 0,
    crop: bool = True,
    size: int = 48,
    channels: int = 1,
    in_memory: bool = True,
    label_set: str | None = None,
) -> FaceTable:
    """Load CK+ and split it by person into folds.

    One fold becomes the test split, the next one validation, and the rest train. Frames of one sequence are nearly
    identical, so a split by image would test on training data. The CSV packaging does not name the people: it keeps
    its ``Usage`` column, has no folds, and its scores are too high.

    Args:
        data: The folder with ``cohn-kanade-images``, ``Emotion`` and ``Landmarks``; or the class folders ``anger`` to
            ``surprise`` (also below ``CK+48``); or ``ckextended.csv``.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        neutral: Add an eighth class: the first frame of each labeled sequence (the CSV's neutral rows).
        peak_frames: Number of last frames taken from each sequence.
        folds: Number of folds, at least 3.
        fold: Index of the test fold, from 0 to ``folds − 1``.
        seed: Seed of the folds.
        crop: Crop frames to a square around the landmarks (in memory only; with paths, ``boxes`` holds it).
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        in_memory: Read all images now; ``False`` checks their headers and keeps paths.
        label_set: Name of the label set to convert to, by class name; ``None`` means ``ckplus`` or ``ckplus8``.

    Raises:
        UserError: An option is out of range or does not apply to this packaging.
        DataError: ``data`` holds no such dataset, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_ckplus("data/ckplus")
        >>> faces.label_set.name
        'ckplus'
    """
    _check_options(peak_frames, folds, fold)
    root, row_errors, options = Path(data), RowErrors(skip_bad), ReadOptions(size, channels, in_memory, crop)
    own = CKPLUS8 if neutral else CKPLUS
    if (root / FRAMES).is_dir():
        faces = list(_list_sequences(root, neutral, peak_frames, crop, row_errors))
    elif (file := root if root.is_file() else root / CSV_FILE).is_file():
        return converted(_read_csv(file, own, options, (folds, fold), row_errors), label_set)
    else:
        faces = list(_list_folders(root, neutral, row_errors))
    table = assemble(root, faces, own, row_errors, options)
    number = group_folds(table.subject.tolist(), table.labels, folds, seed)
    split = np.where(number == fold, "test", np.where(number == (fold + 1) % folds, "validation", "train"))
    return converted(replace(table, split=split), label_set)


def _check_options(peak_frames: int, folds: int, fold: int) -> None:
    for name, value, low in (("peak_frames", peak_frames, 1), ("folds", folds, 3), ("fold", fold, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise UserError(f"{name}={value!r}. Expected a whole number ≥ {low}.")
    if fold >= folds:
        raise UserError(f"fold={fold!r} of {folds}. Expected 0 to {folds - 1}.")


def _list_sequences(root: Path, neutral: bool, peak_frames: int, crop: bool, row_errors: RowErrors) -> Iterator[Face]:
    """List the labeled sequences: ``Emotion/S005/001/S005_001_00000011_emotion.txt`` and its frames."""
    labels = first_of([root / "Emotion", root / "Emotion_labels" / "Emotion", root / "Emotion_labels"])
    if labels is None:
        raise DataError(f"{root / 'Emotion'}: no such folder. Expected the labels of CK+.")
    points = first_of([root / "Landmarks" / "Landmarks", root / "Landmarks"])
    if points is None and crop:
        raise DataError(f"{root / 'Landmarks'}: no such folder. Give CK+'s landmarks, or crop=False for whole frames.")
    for file in sorted(labels.glob("*/*/*_emotion.txt")):
        try:
            label = _read_label(file)
            frames = _frames(root / FRAMES / file.parent.relative_to(labels), peak_frames + neutral)
        except DataError as error:
            row_errors.add(file, error)
            continue
        chosen = [(frame, label) for frame in frames[-peak_frames:]]
        for frame, number in [(frames[0], 0), *chosen] if neutral else chosen:
            try:
                yield _face(frame, number if neutral else number - 1, points, crop)
            except DataError as error:
                row_errors.add(frame, error)


def _read_label(file: Path) -> int:
    """Read a label such as ``3.0000000e+00``; 1 to 7 in the order of ``CKPLUS``."""
    text = file.read_text("ascii", "replace").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if number not in range(1, len(CKPLUS) + 1):
        raise DataError(f"label {text[:20]!r}, expected a number from 1 to {len(CKPLUS)}.")
    return int(number)


def _frames(folder: Path, wanted: int) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"no frames: {folder} is not there.")
    frames = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    if len(frames) < wanted:
        raise DataError(f"{len(frames)} frames in {folder}, expected at least {wanted}.")
    return frames


def _face(frame: Path, label: int, points: Path | None, crop: bool) -> Face:
    name = _NAME.fullmatch(frame.name)
    if not name:
        raise DataError("expected a name such as S005_001_00000011.png.")
    marks = None
    if points is not None:
        file = points / frame.parent.parent.name / frame.parent.name / f"{frame.stem}_landmarks.txt"
        marks = _read_points(file) if file.is_file() else None
        if marks is None and crop:
            raise DataError(f"no landmarks: {file} is not there.")
    box = None if marks is None else _square(marks)
    return Face(str(frame), frame.stem, label, "train", subject=name[1], landmarks=marks, box=box)


def _read_points(file: Path) -> np.ndarray:
    try:
        numbers = np.array(file.read_text("ascii", "replace").split(), dtype=np.float32)
    except ValueError:
        raise DataError(f"{file}: expected numbers.") from None
    if numbers.size != 2 * POINTS or not np.isfinite(numbers).all():
        raise DataError(f"{file}: {numbers.size} numbers, expected x and y of {POINTS} points.")
    return numbers.reshape(POINTS, 2)


def _square(marks: np.ndarray) -> tuple[float, ...]:
    """Return a square around the points that leaves room for the forehead above them."""
    low, high = marks.min(axis=0), marks.max(axis=0)
    side = MARGIN * float((high - low).max())
    x0, y1 = float(low[0] + high[0] - side) / 2, float(high[1]) + 0.1 * side
    return x0, y1 - side, x0 + side, y1


def _list_folders(root: Path, neutral: bool, row_errors: RowErrors) -> Iterator[Face]:
    place = root / CLASS_FOLDERS if (root / CLASS_FOLDERS).is_dir() else root
    if not (place / "anger").is_dir():
        raise DataError(f"{root}: no CK+ there. Looked for {FRAMES}, {CSV_FILE}, {CLASS_FOLDERS}/anger and anger.")
    if neutral:
        raise UserError(f"{place}: these class folders have no neutral faces. Leave neutral=True out.")
    for face in list_tree(place, "", "train", CKPLUS, row_errors):
        name = _NAME.fullmatch(Path(face.path).name)
        if name:
            yield replace(face, subject=name[1])
        else:
            row_errors.add(face.path, "expected a name such as S010_004_00000017.png.")


def _read_csv(
    file: Path, own: LabelSet, options: ReadOptions, chosen: Sequence[int], row_errors: RowErrors
) -> FaceTable:
    if tuple(chosen) != (10, 0):
        raise UserError(f"{file}: does not say who is who, so there are no folds. Leave folds and fold out.")
    if not options.in_memory:
        raise UserError(f"{file}: holds the pixels themselves. Leave in_memory=False out.")
    logging.getLogger(__name__).warning("%s: its splits share people; scores on them are too good.", file)
    rows = fer2013.read_rows(file, row_errors, classes=len(CSV_LABELS))
    images = np.repeat(resized(rows.images, options.size), options.channels, axis=-1)
    table = FaceTable(
        images=images, targets=one_hot(rows.labels, len(CSV_LABELS)), label_set=CSV_LABELS, split=rows.split,
        ids=np.array([f"ck{i:04d}" for i in rows.index.tolist()]), skipped=tuple(row_errors.lines),
    )  # fmt: skip
    return converted(table, own)
