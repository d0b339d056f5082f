"""Faces as files of rows, written while they come: CSV, JSON, and what was skipped."""

import csv
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from fer_tf import atomic
from fer_tf.errors import UserError
from fer_tf.faces.crop_folder import POINT_COLUMNS, SKIPPED_COLUMNS
from fer_tf.labels import LabelSet
from fer_tf.recognition.records import PIXEL_DIGITS, SECOND_DIGITS, SHARE_DIGITS, Analysed, Face

FACE_COLUMNS = (
    "source", "frame", "time", "index", "track", "score", "x0", "y0", "x1", "y1", *POINT_COLUMNS,
    "label", "probability",
)  # fmt: skip
JSON_SUFFIXES = (".json", ".jsonl")
# Escaped, since a table with names that are no UTF-8 could not be read by others; JSON reads it as the same name.
WRITING = {"mode": "w", "newline": "", "encoding": "utf-8", "errors": "backslashreplace"}


class Writer(Protocol):
    """What takes results as they come, inside a ``with`` block; its file is there when the block has ended well."""

    files: list[Path]

    def __enter__(self) -> "Writer": ...

    def __exit__(self, *error: Any) -> None: ...

    def add(self, result: Analysed) -> None:
        """Take one picture's faces."""
        ...


class _FileWriter:
    """One text file that replaces another of its name at the end."""

    def __init__(self, path: Path):
        self.path, self.files = Path(path), [Path(path)]
        if self.path.is_dir():
            raise UserError(f"{path} is a folder. Expected the name of a file.")

    def __enter__(self) -> "_FileWriter":
        with ExitStack() as stack:
            self._file = stack.enter_context(stack.enter_context(atomic.replacing(self.path)).open(**WRITING))
            self.begin()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        if error[0] is None:
            self.end()
        return self._open.__exit__(*error)

    def begin(self) -> None:
        """Write what comes first."""

    def end(self) -> None:
        """Write what comes last."""


class CsvWriter(_FileWriter):
    """A row a face: ``FACE_COLUMNS`` and a column a class."""

    def __init__(self, path: Path, label_set: LabelSet):
        super().__init__(path)
        self._classes = label_set.classes

    def begin(self) -> None:
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow([*FACE_COLUMNS, *self._classes])

    def add(self, result: Analysed) -> None:
        self._writer.writerows(map(_row, result.faces))


class JsonWriter(_FileWriter):
    """An object a face, as ``Face.to_json`` gives it: an array in a ``.json`` file, lines in a ``.jsonl`` file."""

    def __init__(self, path: Path):
        super().__init__(path)
        if self.path.suffix.lower() not in JSON_SUFFIXES:
            raise UserError(f"{path}: no JSON by its suffix. Expected .json (an array) or .jsonl (a line a face).")
        self._lines, self._count = self.path.suffix.lower() == ".jsonl", 0

    def begin(self) -> None:
        self._file.write("" if self._lines else "[")

    def add(self, result: Analysed) -> None:
        for face in result.faces:
            text = json.dumps(face.to_json(), ensure_ascii=False, allow_nan=False)
            before = "" if self._lines else ",\n" if self._count else "\n"
            self._file.write(f"{before}{text}" + ("\n" if self._lines else ""))
            self._count += 1

    def end(self) -> None:
        self._file.write("" if self._lines else "\n]\n")


class SkippedWriter(_FileWriter):
    """A row for each picture that could not be read or shows no face."""

    def begin(self) -> None:
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(SKIPPED_COLUMNS)

    def add(self, result: Analysed) -> None:
        reason = result.reason or ("" if result.faces else "no face found.")
        if reason:
            self._writer.writerow([result.source, _blank(result.frame), reason])


def _row(face: Face) -> list[Any]:
    points = [""] * len(POINT_COLUMNS)
    if face.landmarks is not None:
        points = [round(float(v), PIXEL_DIGITS) for v in face.landmarks.ravel()]
    time = "" if face.time is None else round(face.time, SECOND_DIGITS)
    score = "" if face.score is None else round(face.score, SHARE_DIGITS)
    shares = [round(p, SHARE_DIGITS) for p in face.distribution.values()]
    return [
        face.source, _blank(face.frame), time, face.index, _blank(face.track), score,
        *(round(v, PIXEL_DIGITS) for v in face.box), *points, face.label, max(shares), *shares,
    ]  # fmt: skip


def _blank(value: Any) -> Any:
    return "" if value is None else value
