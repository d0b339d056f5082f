"""Load FER2013 (Goodfellow et al. 2013, arXiv 1307.0414)."""

import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_tf.datasets import folder
from fer_tf.datasets.splits import duplicates as find_duplicates
from fer_tf.datasets.splits import treat_leaks
from fer_tf.errors import DataError, RowErrors, UserError
from fer_tf.facetable import SPLITS, FaceTable, converted
from fer_tf.io.cache import cached
from fer_tf.io.tables import read_lines, separator_of
from fer_tf.labels import FER2013, one_hot, valence_arousal

SIDE = 48
FILES = ("fer2013.csv", "fer2013.csv.gz", "icml_face_data.csv", "icml_face_data.csv.gz")
COLUMNS = ("emotion", "pixels", "usage")
USAGES: Mapping[str, str] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
_USAGE = {usage.encode(): SPLITS.index(split) for usage, split in USAGES.items()}


@dataclass(frozen=True)
class Rows:
    """Hold the valid rows of a FER2013 CSV.

    Attributes:
        images: uint8 (N, 48, 48, 1).
        labels: int64 (N,), columns of ``FER2013``.
        split: str (N,).
        index: int64 (N,), position among all rows of the file, including bad rows, from 0.
        lines: int64 (N,), line number in the file; the header is line 1.
        total: Number of rows of the file, including bad rows.
    """

    images: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    index: np.ndarray
    lines: np.ndarray
    total: int


def load_fer2013(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    duplicates: str = "keep",
    leaks: str = "keep",
    seed: int = 0,
    circumplex: bool = False,
    label_set: str | None = None,
) -> FaceTable:
    """Load FER2013; Training, PublicTest and PrivateTest become train, validation and test.

    The packaging with only ``train`` and ``test`` image folders merges PublicTest and PrivateTest in ``test``. There,
    ``test`` keeps its 7,178 faces and a stratified tenth of ``train`` becomes validation; its scores are not
    comparable with those on PrivateTest. A packaging without ``test`` takes a tenth of ``train`` for it, too.

    Args:
        data: One of ``FILES``, a folder with one of them, or with ``train``, ``validation`` and ``test`` folders
            (also below ``images``) of class folders.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        duplicates: ``keep`` rows that repeat an earlier face and label (the published file has them), or treat each as
            a bad row with ``error``.
        leaks: ``keep`` all faces, ``drop`` faces with an exact copy in a later split, or ``drop_near`` those with a
            near copy too (``fer_tf.datasets.splits``); the test split stays whole.
        seed: Seed of the split for packagings without validation or test.
        circumplex: Derive valence and arousal from the label's position on the circumplex of affect. They let an
            objective run that needs such values; they are not measured.
        label_set: Name of the label set to convert to, by class name; ``None`` means FER2013's own.

    Raises:
        DataError: ``data`` holds no such dataset, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_fer2013("data/fer2013")
        >>> len(faces.label_set), faces.train.image_shape
        (7, (48, 48, 1))
    """
    if duplicates not in ("keep", "error"):
        raise UserError(f"duplicates={duplicates!r} is unknown. Expected 'keep' or 'error'.")
    place, row_errors = find(data), RowErrors(skip_bad)
    if place.is_dir():
        table = _read_folders(place, row_errors, seed)
        places = [str(place / i) for i in table.ids]
    else:
        rows = read_rows(place, row_errors)
        table = FaceTable(
            images=rows.images,
            targets=one_hot(rows.labels, len(FER2013)),
            label_set=FER2013,
            split=rows.split,
            ids=np.array([f"fer{i:07d}" for i in rows.index.tolist()]),
            skipped=tuple(row_errors.lines),
        )
        places = [f"{place}:{line}" for line in rows.lines.tolist()]
    table = table if duplicates == "keep" else _without_repeats(table, places, row_errors)
    if circumplex:
        table = replace(table, valence_arousal=valence_arousal(table.targets, FER2013.classes))
    return converted(treat_leaks(table, leaks), label_set)


def find(data: Path | str) -> Path:
    """Find the CSV, or the folder of splits, in ``data``.

    Raises:
        DataError: There is none; the message lists the expected names.
    """
    data = Path(data)
    if data.is_file():
        return data
    if not data.is_dir():
        raise DataError(f"{data}: no such file or folder. Expected {FILES[0]} or the folder it lies in.")
    for base in (data, data / "fer2013"):
        for name in FILES:
            if (base / name).is_file():
                return base / name
    for base in (data / "images", data):
        if (base / "train").is_dir():
            return base
    raise DataError(f"{data}: no FER2013 there. Looked for {', '.join(FILES)}, images/train/<class>, train/<class>.")


def read_rows(path: Path, row_errors: RowErrors, classes: int = len(FER2013)) -> Rows:
    """Read a FER2013 CSV, plain or gzipped, or take it from the cache if the file did not change.

    Args:
        path: The file. Its columns ``emotion``, ``pixels`` and ``Usage`` may have any order.
        row_errors: Collects the bad rows.
        classes: Number of classes; ``emotion`` is below it.

    Raises:
        DataError: A column is missing, the file is empty or unreadable, or a row is bad and not to be skipped.
    """

    def read() -> dict[str, np.ndarray]:
        return _read_file(path, row_errors.skip_bad, classes)

    options = {} if classes == len(FER2013) else {"classes": classes}
    arrays = cached("fer2013-1", [path], options, read, by_content=True)
    for line, reason in zip(arrays["bad"], arrays["reasons"], strict=True):
        row_errors.add(f"{path}:{line}", reason)
    row_errors.check_any_left(len(arrays["labels"]), path)
    return Rows(
        images=arrays["images"],
        labels=arrays["labels"],
        split=np.array(SPLITS)[arrays["split"]],
        index=arrays["index"],
        lines=arrays["lines"],
        total=int(arrays["total"]),
    )


def _read_file(path: Path, skip_bad: bool, classes: int) -> dict[str, np.ndarray]:
    pixels, facts, bad, reasons, total = bytearray(), [], [], [], 0
    lines = _lines(path)
    order = _column_order(path, next(lines, (1, b""))[1])
    # Text that is no number is an error in numpy 2.4 and a warning before; either leads to the slow, exact reading.
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        for line, text in lines:
            try:
                if isinstance(text, Exception):
                    raise DataError(f"damaged or truncated file, rows from here on are lost ({text}).")
                label, split, face = _parse_row(text, order, classes)
            except DataError as error:
                if not skip_bad:
                    raise DataError(f"{path}:{line}: {error}") from None
                bad.append(line)
                reasons.append(str(error))
            else:
                pixels += face
                facts.append((label, split, total, line))
            total += 1
    columns = np.array(facts, dtype=np.int64).reshape(-1, 4).T
    return {
        "images": np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE, 1),
        **dict(zip(("labels", "split", "index", "lines"), columns, strict=True)),
        "bad": np.array(bad, dtype=np.int64),
        "reasons": np.array(reasons, dtype=str),
        "total": np.array(total),
    }


def _lines(path: Path) -> Iterator[tuple[int, bytes | Exception]]:
    """Yield the numbers (from 1) and texts of non-blank lines, and finally the exception that ended reading, if any."""
    number = 0
    try:
        for number, line in enumerate(read_lines(path), 1):
            if line.strip():
                yield number, line
    except (DataError, EOFError, OSError, zlib.error) as error:
        yield number + 1, error


def _column_order(path: Path, header: bytes | Exception) -> tuple[list[int], int, bytes]:
    """Return the positions of ``COLUMNS`` in the header, the number of its fields, and what separates them."""
    if isinstance(header, Exception):
        raise DataError(f"{path}: cannot be read ({header}).")
    if not header:
        raise DataError(f"{path}: empty file. Expected the columns emotion, pixels, Usage.")
    text = header.decode("utf-8-sig", "replace")
    separator = separator_of(text)
    names = [n.strip().strip('"').strip() for n in text.split(separator)]
    folded = [n.casefold() for n in names]
    for column in COLUMNS:
        if folded.count(column) != 1:
            found = ", ".join(names)[:120]
            raise DataError(
                f"{path}:1: no column {column!r}. Expected emotion, pixels, Usage once each; found {found}."
            )
    return [folded.index(column) for column in COLUMNS], len(names), separator.encode()


def _parse_row(text: bytes, order: tuple[list[int], int, bytes], classes: int) -> tuple[int, int, bytes]:
    """Return label, index of the split and the 2,304 pixels of one line.

    Raises:
        DataError: The row is bad; the message has the reason, without file and line.
    """
    places, count, separator = order
    fields = text.replace(b'"', b"").split(separator)
    if len(fields) != count:
        raise DataError(f"{len(fields)} fields, expected {count}.")
    emotion, pixels, usage = (fields[i].strip() for i in places)
    # Data frames with gaps write whole numbers as 3.0.
    emotion = emotion.removesuffix(b".0")
    if not emotion.isdigit() or len(emotion) > 1 or int(emotion) >= classes:
        raise DataError(f"emotion {_shown(emotion)}, expected 0 to {classes - 1}.")
    if usage not in _USAGE:
        raise DataError(f"Usage {_shown(usage)}, expected one of {', '.join(USAGES)}.")
    return int(emotion), _USAGE[usage], _parse_pixels(pixels)


def _parse_pixels(text: bytes) -> bytes:
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        values = None
    if values is None or values.size != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        values = _parse_pixels_slowly(text)
    return values.astype(np.uint8).tobytes()


def _parse_pixels_slowly(text: bytes) -> np.ndarray:
    """Find the first error in the pixels."""
    tokens = text.split()
    if len(tokens) != SIDE * SIDE:
        raise DataError(f"{len(tokens)} pixels, expected {SIDE * SIDE}.")
    for i, token in enumerate(tokens, 1):
        if not token.isdigit() or int(token[:9]) > 255:
            raise DataError(f"pixel {i} is {_shown(token)}, expected a whole number from 0 to 255.")
    return np.array([int(t) for t in tokens])


def _shown(text: bytes) -> str:
    return repr(text[:20].decode("utf-8", "replace"))


def _read_folders(place: Path, row_errors: RowErrors, seed: int) -> FaceTable:
    entries = folder.read_tree(place, row_errors, splits_only=True)
    for name in sorted({e.class_name for e in entries}):
        if folder.class_index(FER2013, name) is None:
            raise DataError(f"{place}: class folder {name!r} is none of FER2013's: {', '.join(FER2013.classes)}.")
    return folder.build(place, entries, FER2013, row_errors, (0.8, 0.1, 0.1), seed, SIDE, channels=1)


def _without_repeats(table: FaceTable, places: list[str], row_errors: RowErrors) -> FaceTable:
    """Treat rows that repeat the face and label of an earlier row as bad."""
    repeats = []
    for group in find_duplicates(table):
        first: dict[int, int] = {}
        for row in group.tolist():
            earlier = first.setdefault(int(table.labels[row]), row)
            if earlier != row:
                repeats.append((row, earlier))
    for row, earlier in sorted(repeats):
        row_errors.add(places[row], f"repeats the face and label of {places[earlier]}.")
    kept = np.setdiff1d(np.arange(len(table)), [row for row, _ in repeats])
    return FaceTable(
        images=table.images[kept], targets=table.targets[kept], label_set=table.label_set,
        split=table.split[kept], ids=table.ids[kept], skipped=tuple(row_errors.lines),
    )  # fmt: skip
