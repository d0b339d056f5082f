"""Read landmark CSVs and add them to datasets."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.facetable import FaceTable
from fer_tf.io.cache import cached
from fer_tf.io.tables import cell

# Then x0, y0, x1, y1 and so on, the points. A face without points has found 0, no points, and the reason.
COLUMNS = (
    "source", "face", "found", "reason", "score", "width", "height", "box_x0", "box_y0", "box_x1", "box_y1",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Hold the landmarks of N images, one face each.

    Attributes:
        ids: str array (N,) of unique image or sample names.
        points: float32 array (N, K, 2) of x, y in pixels of the image; NaN if no face was found.
        sizes: float32 array (N, 2) of image widths and heights; NaN if the image could not be read.
    """

    ids: np.ndarray
    points: np.ndarray
    sizes: np.ndarray


def point_columns(count: int) -> list[str]:
    """Return the names of the columns of ``count`` points."""
    return [f"{axis}{i}" for i in range(count) for axis in "xy"]


def read_landmarks(path: Path | str) -> Landmarks:
    """Read a landmark CSV (the first face of each image), or take it from the cache if the file did not change.

    Raises:
        DataError: The file is missing, has other columns or a bad row, or lists the first face of an image twice.
    """
    path = Path(path)
    try:
        return Landmarks(**cached("landmarks-1", [path], {}, lambda: _read(path)))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}).") from None


def _read(path: Path) -> dict[str, np.ndarray]:
    """Return the columns of ``Landmarks``."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        count = _count_points(path, next(reader, []))
        rows, lines = {}, {}
        for fields in reader:
            try:
                row = _parse(fields, count)
                if row and row[0] in lines:
                    raise DataError(f"face 0 of {row[0]!r} is already on line {lines[row[0]]}.")
            except DataError as error:
                raise DataError(f"{path}:{reader.line_num}: {error}") from None
            if row:
                rows[row[0]], lines[row[0]] = row[1], reader.line_num
    numbers = np.array(list(rows.values()), np.float32).reshape(len(rows), 2 + 2 * count)
    return {
        "ids": np.array(list(rows), dtype=str), "points": numbers[:, 2:].reshape(-1, count, 2), "sizes": numbers[:, :2],
    }  # fmt: skip


def with_landmarks(table: FaceTable, path: Path | str) -> FaceTable:
    """Add the landmarks of a CSV that ``fer-tf landmarks`` wrote, matched by id.

    If images in memory have another size than the files in which the landmarks were found, the landmarks are scaled
    like the images. Landmarks of images that stay on disk remain in pixels of the files.

    Args:
        table: The faces. Landmarks that they already have are replaced.
        path: The CSV file.

    Returns:
        A new table with ``landmarks``; NaN for faces that are not in the file.

    Raises:
        UserError: No face of ``table`` is in the file.
        DataError: See ``read_landmarks``.

    Example:
        >>> from pathlib import Path
        >>> from fer_tf import datasets
        >>> faces = datasets.load_synthetic(faces=20).take([0])
        >>> header = "source,face,found,reason,score,width,height,box_x0,box_y0,box_x1,box_y1,x0,y0"
        >>> _ = Path("points.csv").write_text(f"{header}\\n{faces.ids[0]},0,1,,1,96,96,0,0,96,96,48,24\\n")
        >>> datasets.with_landmarks(faces, "points.csv").landmarks.tolist()  # from 96 to 48 pixels
        [[[24.0, 12.0]]]
    """
    found = read_landmarks(path)
    row_of = {name: row for row, name in enumerate(found.ids.tolist())}
    rows = np.array([row_of.get(name, row_of.get(cell(name), -1)) for name in table.ids.tolist()], dtype=np.int64)
    known = rows >= 0
    if not known.any():
        theirs, ours = (f"{ids[0]!r}" if len(ids) else "none" for ids in (found.ids.tolist(), table.ids.tolist()))
        raise UserError(f"{path}: none of the {len(table)} faces is in it. Its first is {theirs}, theirs is {ours}.")
    points = np.full((len(table), *found.points.shape[1:]), np.nan, np.float32)
    points[known] = found.points[rows[known]]
    if table.images is not None:
        height, width = table.image_shape[:2]
        points[known] *= ((width, height) / found.sizes[rows[known]])[:, None]
    return replace(table, landmarks=points)


def _count_points(path: Path, header: Sequence[str]) -> int:
    count = (len(header) - len(COLUMNS)) // 2
    if count < 1 or list(header) != [*COLUMNS, *point_columns(count)]:
        found = ", ".join(header)[:120] or "an empty file"
        raise DataError(f"{path}:1: no table of landmarks. Expected {', '.join(COLUMNS)}, x0, y0, …; found {found}.")
    return count


def _parse(fields: Sequence[str], count: int) -> tuple[str, list[float]] | None:
    """Return the id of a row with its width, height and points; ``None`` if it is not the first face of an image."""
    if len(fields) != len(COLUMNS) + 2 * count:
        raise DataError(f"{len(fields)} fields, expected {len(COLUMNS) + 2 * count}.")
    row = dict(zip(COLUMNS, fields, strict=False))
    if row["found"] not in ("0", "1"):
        raise DataError(f"found {row['found']!r}, expected 0 or 1.")
    if not row["face"].isdecimal():
        raise DataError(f"face {row['face']!r}, expected a number from 0.")
    if int(row["face"]):
        return None
    found = row["found"] == "1"
    size = [_number(row[name], required=found) for name in ("width", "height")]
    return row["source"], size + [_number(f, required=True) if found else math.nan for f in fields[len(COLUMNS) :]]


def _number(text: str, required: bool) -> float:
    if not text and not required:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{text[:20]!r} is no number.")
    return value
