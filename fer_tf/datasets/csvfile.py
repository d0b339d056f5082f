"""Load images that a CSV lists with labels or label distributions."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_tf.datasets.folder import class_index, label_set_of, read_pictures
from fer_tf.datasets.splits import ACCEPTED, carve, check_shares, split_of
from fer_tf.errors import DataError, RowErrors, UserError, unknown_name
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import check_shape
from fer_tf.io.tables import read_table
from fer_tf.labels import LABEL_SETS, LabelSet, canonical

META = ("path", "label", "distribution", "split", "subject")
# What people name these columns; a heading counts where the column's own name is not there.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "path": ("image", "file", "filename", "filepath", "image_path", "img"),
    "label": ("emotion", "expression", "class"), "split": ("usage", "set"), "subject": ("person",),
}  # fmt: skip
EXPRESSIONS = frozenset(canonical(c) for known in LABEL_SETS.values() for c in known.classes)
_SUFFIXES = (".csv", ".csv.gz")
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

    The file may be gzipped, and have commas, semicolons or tabs. The column ``path`` (or ``image``, ``file``, in any
    case) is relative to the CSV. The label is in the column ``label`` (class name, or index into ``label_set``), or in
    ``distribution`` (numbers in the order of ``label_set``, separated by spaces or semicolons), or in one column for
    each class; the numbers need not sum to 1. Two columns of one class (``Happy``, ``happiness``) are added. Optional
    columns are ``split`` and ``subject``; the nameless index column of a data frame is ignored. Missing validation
    and test splits are taken from the training rows, stratified by class, or by whole subjects if there is that column.

    Args:
        data: The file, or a folder with exactly one CSV in it.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        label_set: Name of a known label set, or the class names in order; ``None`` means to infer it from the class
            columns or the label names. Columns of classes that are no expressions must be named here.
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
    found = sorted(f for f in data.iterdir() if f.name.lower().endswith(_SUFFIXES) and not f.name.startswith("."))
    if len(found) != 1:
        names = ", ".join(f.name for f in found) or "none"
        raise DataError(f"{data}: expected one CSV in it, found {names}. Name the file itself.")
    return found[0]


def _read(path: Path, row_errors: RowErrors) -> list[tuple[int, Row]]:
    """Return the rows as dicts of stripped values, each with its line number."""
    table = read_table(path)
    names = _named([name.strip() for name in next(table, (1, []))[1]])
    _check_header(path, [name for name in names if name])
    rows = []
    for line, fields in table:
        if len(fields) != len(names):
            row_errors.add(f"{path}:{line}", f"{len(fields)} fields, expected {len(names)}.")
        else:
            rows.append((line, {n: f.strip() for n, f in zip(names, fields, strict=True) if n}))
    row_errors.check_any_left(len(rows), path)
    return rows


def _named(header: Sequence[str]) -> list[str]:
    """Return the columns' own names for what people call them; empty for the index column of a data frame."""
    names = ["" if re.fullmatch(r"Unnamed: \d+(\.\d+)*", name) else name for name in header]
    for own in META:
        known = (own, *ALIASES.get(own, ()))
        places = [i for i, name in enumerate(names) if name.casefold() in known]
        if own not in names and places:
            names[min(places, key=lambda i: known.index(names[i].casefold()))] = own
    return names


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
        other = [c for c in classes if canonical(c) not in EXPRESSIONS]
        if other:
            raise DataError(
                f"{path}:1: column {other[0]!r} is no expression that is known. Delete it, or name the classes, for "
                f"example csv(label_set={tuple(classes)[:3]!r})."
            )
        known = label_set_of(classes, "csv")
        merged = {canonical(c): c for c in known.classes}
        in_order = dict.fromkeys(merged[canonical(c)] for c in classes)
        return known if known.name != "csv" else LabelSet("csv", tuple(in_order))
    names = {row["label"] for _, row in rows if row["label"]}
    if all(_is_number(name) for name in names):
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


def _class_columns(path: Path, columns: Row, label_set: LabelSet) -> list[list[str]]:
    """Return the columns of each class in the order of the label set; an empty list if one column holds the label."""
    if "label" in columns or "distribution" in columns:
        return []
    found: list[list[str]] = [[] for _ in label_set.classes]
    for column in columns:
        index = None if column in META else class_index(label_set, column)
        if index is not None:
            found[index].append(column)
        elif column not in META and canonical(column) in EXPRESSIONS:
            raise DataError(f"{path}:1: column {column!r} is no class of {label_set.name}. Delete it, or name it too.")
    missing = [name for name, names in zip(label_set.classes, found, strict=True) if not names]
    if missing:
        raise DataError(f"{path}:1: no column for class {missing[0]!r} of {label_set.name}.")
    return found


def _parse_row(base: Path, line: int, row: Row, label_set: LabelSet, columns: Sequence[Sequence[str]]) -> _Face:
    if not row["path"]:
        raise DataError("no path.")
    split = split_of(row["split"]) if "split" in row else "train"
    if split is None:
        raise DataError(f"split {row['split']!r}, expected {ACCEPTED}.")
    if "label" in row:
        target = _one_hot(row["label"], label_set)
    elif columns:
        numbers = _numbers([row[c] for same in columns for c in same])
        ends = np.cumsum([len(same) for same in columns])[:-1]
        target = _distribution([part.sum() for part in np.split(numbers, ends)], label_set)
    else:
        texts = row["distribution"].strip("[]").replace(";", " ").replace(",", " ").split()
        target = _distribution(_numbers(texts), label_set)
    return _Face(line, row["path"], _located(base, row["path"]), target, split, row.get("subject", ""))


def _located(base: Path, name: str) -> Path:
    """Return the path of a listed picture; backslashes separate folders unless they are in the file's name."""
    path = base / name
    return path if "\\" not in name or path.exists() else base / name.replace("\\", "/")


def _is_number(text: str) -> bool:
    """Return whether a label is a whole number; data frames with gaps write ``3.0``."""
    return re.fullmatch(r"-?\d+(\.0*)?", text) is not None


def _one_hot(text: str, label_set: LabelSet) -> np.ndarray:
    index = class_index(label_set, text)
    if index is None and _is_number(text):
        index = int(float(text))
    if index is None or not 0 <= index < len(label_set):
        raise DataError(
            f"label {text!r}, expected one of {', '.join(label_set.classes)}, or 0 to {len(label_set) - 1}."
        )
    return np.eye(len(label_set))[index]


def _numbers(texts: Sequence[str]) -> np.ndarray:
    try:
        # Where semicolons separate fields, commas separate decimals.
        values = np.array([float(t.replace(",", ".")) for t in texts])
    except ValueError:
        values = np.full(1, np.nan)
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise DataError(f"distribution {' '.join(texts)[:60]!r}, expected numbers ≥ 0 that are not all 0.")
    return values


def _distribution(values: Sequence[float], label_set: LabelSet) -> np.ndarray:
    if len(values) != len(label_set):
        raise DataError(f"distribution of {len(values)} numbers, expected {len(label_set)}.")
    total = float(np.sum(values))
    if not math.isfinite(total):
        raise DataError(f"distribution of numbers up to {max(values)}, whose sum is too large.")
    return np.asarray(values) / total
