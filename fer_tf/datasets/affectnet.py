"""Load AffectNet (Mollahosseini et al. 2017, arXiv 1708.03985)."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fer_tf.datasets.listed import Face, ReadOptions, assemble, carve_validation, first_of, names_in
from fer_tf.datasets.splits import check_share
from fer_tf.errors import DataError, RowErrors, UserError, unknown_name
from fer_tf.facetable import FaceTable, converted
from fer_tf.io.cache import cached, load_array
from fer_tf.io.tables import read_table
from fer_tf.labels import AFFECTNET, AFFECTNET7
from fer_tf.progress import counted

COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
UNUSABLE: Mapping[int, str] = {8: "none of the expressions", 9: "uncertain", 10: "no face"}
POINTS = 68
MISSING = -2.0
ANNOTATIONS: Mapping[str, tuple[str, ...]] = {
    "manual": ("Manually",), "automatic": ("Automatically",), "both": ("Manually", "Automatically"),
}  # fmt: skip
SETS = {"train_set": "train", "val_set": "test"}


def load_affectnet(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    classes: int = 8,
    annotated: str = "manual",
    validation: float = 0.02,
    seed: int = 0,
    landmarks: bool = True,
    in_memory: bool = False,
    crop: bool = True,
    size: int = 224,
    channels: int = 3,
    label_set: str | None = None,
) -> FaceTable:
    """Load AffectNet; its validation set (500 faces a class) becomes the test split.

    AffectNet's test labels are not public.

    The validation split is a share of the training faces of each class. Faces without an expression (none, uncertain,
    no face; with seven classes contempt too) are left out and counted in ``skipped``. Valence and arousal of −2 mean
    missing and become NaN.

    Args:
        data: The folder with ``training.csv``, ``validation.csv`` and ``Manually_Annotated_Images`` (as published, the
            lists in ``Manually_Annotated_file_lists``), or with ``train_set`` and ``val_set``.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        classes: 8, or 7 (without contempt).
        annotated: Labels of the training split in the CSV release: ``manual``, ``automatic`` or ``both``.
        validation: Share of the training faces, at least 0 and below 1.
        seed: Seed of that split.
        landmarks: Read the 68 landmarks if the release has them.
        in_memory: Read all images now; ``False`` keeps paths and only checks that the files exist.
        crop: Crop faces to the box of the CSV release (in memory only; with paths, ``boxes`` holds the box).
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        label_set: Name of the label set to convert to, by class name; ``None`` means AffectNet's own.

    Raises:
        DataError: ``data`` holds no such dataset, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_affectnet("data/affectnet")
        >>> faces.label_set.name
        'affectnet'
    """
    if classes not in (7, 8):
        raise UserError(f"classes={classes!r} is no AffectNet. Expected 7 or 8.")
    if annotated not in ANNOTATIONS:
        raise unknown_name("annotation of AffectNet", annotated, ANNOTATIONS)
    root, row_errors, share = Path(data), RowErrors(skip_bad), check_share(validation)
    options = ReadOptions(size, channels, in_memory, crop, headers=False)
    faces = list(_reader(root, annotated)(classes, landmarks, row_errors))
    table = assemble(root, faces, AFFECTNET if classes == 8 else AFFECTNET7, row_errors, options)
    return converted(carve_validation(table, share, seed), label_set)


def _reader(root: Path, annotated: str) -> Callable[[int, bool, RowErrors], Iterator[Face]]:
    """Choose the reader for ``root``: NumPy annotations or CSV lists."""
    if all((root / name / "annotations").is_dir() for name in SETS):
        return lambda classes, landmarks, row_errors: (
            face for name in SETS for face in _read_set(root, name, classes, landmarks, row_errors)
        )
    wanted = {"Manually": "training.csv", "Automatically": "automatically_annotated.csv"}
    lists = [(kind, wanted[kind], "train") for kind in ANNOTATIONS[annotated]] + [
        ("Manually", "validation.csv", "test")
    ]
    found = [(kind, _find_list(root, kind, name), split) for kind, name, split in lists]
    return lambda classes, landmarks, row_errors: (
        face
        for kind, path, split in found
        for face in _read_list(path, _find_images(root, kind), split, classes, landmarks, row_errors)
    )


def _bases(root: Path, kind: str) -> list[Path]:
    return [root, root / f"{kind}_Annotated", root / f"{kind} Annotated"]


def _find_list(root: Path, kind: str, name: str) -> Path:
    inside = ("", f"{kind}_Annotated_file_lists", f"{kind}_annotated_file_list", f"{kind}_Annotated_file_list")
    found = first_of([base / folder / name for base in _bases(root, kind) for folder in inside])
    if found is None:
        raise DataError(
            f"{root}: no AffectNet there. Looked for {name} (also in {kind}_Annotated_file_lists), and for "
            "train_set/annotations beside val_set/annotations."
        )
    return found


def _find_images(root: Path, kind: str) -> Path:
    name = f"{kind}_Annotated_Images"
    found = first_of([base / inner for base in _bases(root, kind) for inner in (f"{name}/{name}", name)])
    if found is None:
        raise DataError(f"{root}: no folder {name} there.")
    return found


def _wanted(expression: int, classes: int, left_out: Counter) -> bool:
    """Tell whether a face belongs to the requested classes; count it if not."""
    if expression < classes:
        return True
    left_out[UNUSABLE.get(expression, "contempt")] += 1
    return False


def _read_list(
    path: Path, images: Path, split: str, classes: int, landmarks: bool, row_errors: RowErrors
) -> Iterator[Face]:
    """Read one CSV list; its header may be missing, as in some copies."""
    left_out: Counter = Counter()
    for line, row in read_table(path):
        if line == 1 and _is_header(path, row):
            continue
        try:
            face = _parse_row(row, images, split, classes, landmarks, f"{path}:{line}", left_out)
        except DataError as error:
            row_errors.add(f"{path}:{line}", error)
        else:
            if face:
                yield face
    row_errors.count(path, left_out)


def _is_header(path: Path, row: Sequence[str]) -> bool:
    names = tuple(name.strip() for name in row)
    if len(names) == len(COLUMNS) and names[1].lstrip("-").isdigit():
        return False
    if names != COLUMNS:
        raise DataError(f"{path}:1: expected the columns {','.join(COLUMNS)}; found {','.join(names)[:160]}.")
    return True


def _parse_row(
    row: Sequence[str], images: Path, split: str, classes: int, landmarks: bool, place: str, left_out: Counter
) -> Face | None:
    if len(row) != len(COLUMNS):
        raise DataError(f"{len(row)} fields, expected {len(COLUMNS)}.")
    name, *box, points, expression, valence, arousal = (field.strip() for field in row)
    if not name:
        raise DataError("no subDirectory_filePath.")
    label = _expression(expression)
    if not _wanted(label, classes, left_out):
        return None
    return Face(
        path=f"{images}{os.sep}{name}", id=f"{images.name}/{name}", label=label, split=split, place=place,
        box=_box(box), landmarks=_points(points.split(";")) if landmarks else None,
        affect=(_affect("valence", valence), _affect("arousal", arousal)),
    )  # fmt: skip


def _expression(value: str | float) -> int:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if number not in range(11):
        raise DataError(f"expression {value!r}, expected 0 to 10.")
    return int(number)


def _affect(name: str, value: str | float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if number == MISSING:
        return math.nan
    if not -1 <= number <= 1:
        raise DataError(f"{name} {value!r}, expected −1 to 1, or −2 for a missing one.")
    return number


def _box(texts: Sequence[str]) -> tuple[float, float, float, float]:
    """Convert x, y, width, height to corners; NaN if the release has no box (width 0 or less)."""
    try:
        x, y, width, height = (float(text) for text in texts)
    except ValueError:
        raise DataError(f"face box {','.join(texts)!r}, expected four numbers.") from None
    return (x, y, x + width, y + height) if width > 0 and height > 0 else (math.nan,) * 4


def _points(values: Sequence[str] | np.ndarray) -> np.ndarray:
    try:
        points = np.asarray(values, dtype=np.float32)
    except ValueError:
        raise DataError(f"landmarks {str(values[0])[:40]!r}…, expected numbers.") from None
    if points.size != 2 * POINTS:
        raise DataError(f"landmarks of {points.size} numbers, expected {2 * POINTS}.")
    return points.reshape(POINTS, 2)


def _read_set(root: Path, name: str, classes: int, landmarks: bool, row_errors: RowErrors) -> Iterator[Face]:
    """Read one set of the NumPy release: ``images/0.jpg``, ``annotations/0_exp.npy`` and so on."""
    images, annotations, left_out = root / name / "images", root / name / "annotations", Counter()
    if not images.is_dir():
        raise DataError(f"{images}: no such folder. Expected the pictures of {name}.")
    known = {n.removesuffix("_exp.npy") for n in names_in(annotations) if n.endswith("_exp.npy")}
    pictures = {Path(n).stem: n for n in names_in(images) if not n.startswith(".")}
    for stem in sorted(set(pictures) - known, key=_by_number):
        row_errors.add(images / pictures[stem], f"no {stem}_exp.npy in {annotations}.")
    stems = sorted(known, key=_by_number)
    kinds = ("exp", "val", "aro", "lnd") if landmarks else ("exp", "val", "aro")
    arrays = _read_arrays(annotations, stems, kinds)
    for row, stem in enumerate(stems):
        place = f"{annotations}{os.sep}{stem}_exp.npy"
        try:
            if arrays["reasons"][row]:
                raise DataError(arrays["reasons"][row])
            label = _expression(float(arrays["exp"][row]))
            if not _wanted(label, classes, left_out):
                continue
            affect = (_affect("valence", float(arrays["val"][row])), _affect("arousal", float(arrays["aro"][row])))
            points = arrays["lnd"][row].reshape(POINTS, 2) if landmarks and arrays["marked"][row] else None
        except DataError as error:
            row_errors.add(place, error)
        else:
            path = f"{images}{os.sep}{pictures.get(stem, f'{stem}.jpg')}"
            yield Face(path, f"{name}/{stem}", label, SETS[name], place, landmarks=points, affect=affect)
    row_errors.count(annotations, left_out)


def _read_arrays(annotations: Path, stems: Sequence[str], kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the annotations of all faces (10⁶ small files), or take them from the cache if no file changed."""
    present, base = names_in(annotations), f"{annotations}{os.sep}"
    sources = [f"{base}{s}_{k}.npy" for s in stems for k in kinds if f"{s}_{k}.npy" in present]

    def read() -> dict[str, np.ndarray]:
        n = len(stems)
        out = {kind: np.full(n, np.nan) for kind in kinds} | {"lnd": np.full((n, 2 * POINTS), np.nan, np.float32)}
        reasons = [""] * n
        for row in counted(range(n), f"Reading {annotations.parent.name}", "face"):
            try:
                for kind in kinds:
                    name = f"{stems[row]}_{kind}.npy"
                    if name in present or kind != "lnd":
                        out[kind][row] = _read_array(base, name, kind)
            except DataError as error:
                reasons[row] = str(error)
        return {**out, "marked": np.isfinite(out["lnd"]).any(axis=1), "reasons": np.array(reasons, dtype=str)}

    return cached("affectnet-1", sources, {"kinds": tuple(kinds), "stems": len(stems)}, read)


def _read_array(base: str, name: str, kind: str) -> np.ndarray | float:
    """Read one annotation, stored as a number or as text."""
    try:
        values = load_array(f"{base}{name}")
        return _points(values).reshape(-1) if kind == "lnd" else float(values.item())
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"no {name} beside it.") from None
    except (ValueError, TypeError, EOFError, OSError) as error:
        what = f"{2 * POINTS} numbers" if kind == "lnd" else "one number"
        raise DataError(f"{name} cannot be read ({error}). Expected an array of {what}.") from None


def _by_number(stem: str) -> tuple[int, str]:
    return (int(stem) if stem.isdecimal() else -1, stem)
