"""Load images that a CSV lists with labels or label distributions."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_tf.datasets.folder import class_index, label_set_of
from fer_tf.datasets.picture_files import read_pictures
from fer_tf.datasets.splits import ACCEPTED, carve, check_shares, split_of
from fer_tf.errors import DataError, RowErrors, UserError, unknown_name
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import check_shape
from fer_tf.labels import LABEL_SETS, LabelSet

META = ("path", "label", "distribution", "split", "subject")
Row = Mapping[str, str]


@dataclass(frozen=True)
class _Face:
    """Hold one valid row of the CSV."""

    line: int
    name: str
    path: Path
    target: np.ndarray
    split: str
    subject: str


def load_csv(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    size: int = 48,
    channels: int = 1,
    label_set: str | Sequence[str] | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> FaceTable:
    """Load the images that a CSV lists.

    The column ``path`` is relative to the CSV. The label is in the column ``label`` (class name, or index into
    ``label_set``), or in ``distribution`` (numbers in the order of ``label_set``, separated by spaces or semicolons),
    or in one column for each class; the numbers need not sum to 1. Optional columns are ``split`` and ``subject``.
    Missing validation and test splits are taken from the training rows, stratified by class, or by whole subjects if
    there is that column.

    Args:
        data: The file, or a folder with exactly one CSV in it.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        label_set: Name of a known label set, or the class names in order; ``None`` means to infer it from the class
            columns or the label names.
        split: Shares (train, validation, test) for the splits that the file lacks.
        seed: Seed of that split.

    Raises:
        UserError: Labels are numbers and ``label_set`` is missing.
        DataError: The file or a column is missing, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_csv("data/csv")
        >>> len(faces) > 0
        True
    """
    shares, row_errors = check_shares(split), RowErrors(skip_bad)
    check_shape(size, channels)
    path = _find(Path(data))
    rows = _read(path, row_errors)
    labels = _label_set(path, rows, label_set)
    faces = _parse(path, rows, labels, row_errors)
    places = [f"{path}:{face.line}" for face in faces]
    images, kept = read_pictures([face.path for face in faces], places, size, channels, row_errors)
    row_errors.check_any_left(len(kept), path)
    faces = [faces[i] for i in kept]
    targets, ids = np.array([f.target for f in faces], dtype=np.float32), np.array([f.name for f in faces])
    subject = np.array([f.subject for f in faces]) if "subject" in rows[0][1] else None
    parts = carve(np.array([f.split for f in faces]), ids, targets.argmax(axis=1), shares, seed, subject)
    return FaceTable(
        images=images,
        targets=targets,
        label_set=labels,
        split=parts,
        ids=ids,
        subject=subject,
        skipped=tuple(row_errors.lines),
    )


def _find(data: Path) -> Path:
    if data.is_file():
        return data
    if not data.is_dir():
        raise DataError(f"{data}: no such file or folder. Expected a CSV with the columns path,label.")
    found = sorted(data.glob("*.csv"))
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise DataError(f"{data}: expected one CSV in it, found {names}. Name the file itself.")
    return found[0]


def _read(path: Path, row_errors: RowErrors) -> list[tuple[int, Row]]:
    """Return the rows as dicts of stripped values, each with its line number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = [name.strip() for name in next(reader, [])]
            _check_header(path, names)
            rows = []
            for fields in reader:
                if fields and len(fields) != len(names):
                    row_errors.add(f"{path}:{reader.line_num}", f"{len(fields)} fields, expected {len(names)}.")
                elif fields:
                    rows.append((reader.line_num, dict(zip(names, (f.strip() for f in fields), strict=True))))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}).") from None
    row_errors.check_any_left(len(rows), path)
    return rows


def _check_header(path: Path, names: Sequence[str]) -> None:
    found = ", ".join(names)[:120] or "an empty file"
    if "path" not in names:
        raise DataError(f"{path}:1: no column 'path'. Expected path,label or path and a distribution; found {found}.")
    if len(set(names)) != len(names):
        raise DataError(f"{path}:1: a column is named twice. Found {found}.")
    kinds = [k for k in ("label", "distribution") if k in names]
    if len(kinds) > 1 or not (kinds or set(names) - set(META)):
        raise DataError(
            f"{path}:1: expected a column 'label', a column 'distribution' or one column a class; found {found}."
        )


def _label_set(path: Path, rows: Sequence[tuple[int, Row]], given: str | Sequence[str] | None) -> LabelSet:
    if isinstance(given, str):
        if given not in LABEL_SETS:
            raise unknown_name("label set", given, LABEL_SETS)
        return LABEL_SETS[given]
    if given is not None:
        return LabelSet("csv", tuple(given))
    columns = rows[0][1]
    if "distribution" in columns:
        raise UserError(f"{path}: give label_set, so that the numbers of 'distribution' have names.")
    if "label" not in columns:
        classes = [c for c in columns if c not in META]
        known = label_set_of(classes, "csv")
        return known if known.name != "csv" else LabelSet("csv", tuple(classes))
    names = {row["label"] for _, row in rows if row["label"]}
    if all(name.lstrip("-").isdigit() for name in names):
        raise UserError(f"{path}: the labels are numbers. Say of what, for example csv(label_set='fer2013').")
    return label_set_of(names, "csv")


def _parse(path: Path, rows: Sequence[tuple[int, Row]], label_set: LabelSet, row_errors: RowErrors) -> list[_Face]:
    columns = _class_columns(path, rows[0][1], label_set)
    faces, seen = [], {}
    for line, row in rows:
        try:
            face = _parse_row(path.parent, line, row, label_set, columns)
            real = os.path.normpath(face.path)
            if real in seen:
                raise DataError(f"path {face.name!r} is already on line {seen[real]}.")
            seen[real] = line
            faces.append(face)
        except DataError as error:
            row_errors.add(f"{path}:{line}", error)
    return faces


def _class_columns(path: Path, columns: Row, label_set: LabelSet) -> list[str]:
    """Return the column of each class in the order of the label set; an empty list if one column holds the label."""
    if "label" in columns or "distribution" in columns:
        return []
    found: dict[int | None, str] = {class_index(label_set, c): c for c in columns if c not in META}
    missing = [name for i, name in enumerate(label_set.classes) if i not in found]
    if missing:
        raise DataError(f"{path}:1: no column for class {missing[0]!r} of {label_set.name}.")
    return [found[i] for i in range(len(label_set))]


def _parse_row(base: Path, line: int, row: Row, label_set: LabelSet, columns: Sequence[str]) -> _Face:
    if not row["path"]:
        raise DataError("no path.")
    split = split_of(row["split"]) if "split" in row else "train"
    if split is None:
        raise DataError(f"split {row['split']!r}, expected {ACCEPTED}.")
    if "label" in row:
        target = _one_hot(row["label"], label_set)
    else:
        texts = [row[c] for c in columns] or row["distribution"].strip("[]").replace(";", " ").replace(",", " ").split()
        target = _distribution(texts, label_set)
    return _Face(line, row["path"], base / row["path"], target, split, row.get("subject", ""))


def _one_hot(text: str, label_set: LabelSet) -> np.ndarray:
    index = class_index(label_set, text)
    if index is None and text.isdecimal():
        index = int(text)
    if index is None or index >= len(label_set):
        raise DataError(
            f"label {text!r}, expected one of {', '.join(label_set.classes)}, or 0 to {len(label_set) - 1}."
        )
    return np.eye(len(label_set))[index]


def _distribution(texts: Sequence[str], label_set: LabelSet) -> np.ndarray:
    if len(texts) != len(label_set):
        raise DataError(f"distribution of {len(texts)} numbers, expected {len(label_set)}.")
    try:
        values = np.array([float(t) for t in texts])
    except ValueError:
        raise DataError(f"distribution {' '.join(texts)[:60]!r}, expected numbers ≥ 0.") from None
    total = values.sum()
    if not math.isfinite(total) or total <= 0 or (values < 0).any():
        raise DataError(f"distribution {' '.join(texts)[:60]!r}, expected numbers ≥ 0 that are not all 0.")
    return values / total
