"""Load RAF-DB with its seven basic expressions (Li, Deng and Du 2017)."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fer_tf.datasets.listed import Face, ReadOptions, assemble, carve_validation, first_of, list_tree
from fer_tf.datasets.splits import check_share
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import FaceTable, converted
from fer_tf.labels import RAFDB

LIST = "list_patition_label.txt"
NUMBERS = ("1", "2", "3", "4", "5", "6", "7")
_NAME = re.compile(r"(train|test)_\d+\.jpg")


def load_rafdb(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    size: int = 100,
    channels: int = 3,
    validation: float = 0.1,
    seed: int = 0,
    in_memory: bool = True,
    label_set: str | None = None,
) -> FaceTable:
    """Load the aligned faces of RAF-DB with the official train and test splits.

    There is no official validation split, so a share of the training faces of each class is taken for it.

    Args:
        data: The folder with ``EmoLabel/list_patition_label.txt`` and ``Image/aligned`` (or their ``basic``), or with
            ``train/1`` to ``train/7`` and ``test/…`` (also below ``DATASET``), with or without ``train_labels.csv``.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        size: Height and width in pixels; the files have 100.
        channels: 1 (gray) or 3 (RGB).
        validation: Share of the training faces, at least 0 and below 1.
        seed: Seed of that split.
        in_memory: Read all images now; ``False`` checks their headers and keeps paths.
        label_set: Name of the label set to convert to, by class name; ``None`` means RAF-DB's own.

    Raises:
        DataError: ``data`` holds no such dataset, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_rafdb("data/rafdb")
        >>> faces.label_set.classes[0]
        'surprise'
    """
    root, row_errors = Path(data), RowErrors(skip_bad)
    options, share = ReadOptions(size, channels, in_memory), check_share(validation)
    table = assemble(root, _list(root, row_errors), RAFDB, row_errors, options)
    return converted(carve_validation(table, share, seed), label_set)


def _list(root: Path, row_errors: RowErrors) -> list[Face]:
    for base in (root, root / "basic", root / "RAF-DB" / "basic"):
        labels = first_of([base / "EmoLabel" / LIST, base / LIST])
        if labels is not None:
            return list(_read_list(base, labels, row_errors))
    for base in (root / "DATASET", root):
        if (base / "train").is_dir():
            return [face for split in ("train", "test") for face in _list_folders(base, split, row_errors)]
    raise DataError(f"{root}: no RAF-DB there. Looked for EmoLabel/{LIST} (also in basic) and DATASET/train/1.")


def _read_list(base: Path, labels: Path, row_errors: RowErrors) -> Iterator[Face]:
    """Read lines such as ``train_00001.jpg 5``; classes are numbered from 1."""
    pictures = base / "Image" / "aligned"
    if not pictures.is_dir():
        raise DataError(f"{pictures}: no such folder. Expected the aligned faces (unpack aligned.zip there).")
    for line, text in enumerate(_text(labels).splitlines(), 1):
        place = f"{labels}:{line}"
        try:
            if fields := text.split():
                split, label = _parse(fields)
                path = pictures / fields[0].replace(".jpg", "_aligned.jpg")
                yield Face(str(path), fields[0].removesuffix(".jpg"), label, split, place)
        except DataError as error:
            row_errors.add(place, error)


def _parse(fields: Sequence[str]) -> tuple[str, int]:
    if len(fields) != 2:
        raise DataError(f"{len(fields)} fields, expected a name and a label.")
    name = _NAME.fullmatch(fields[0])
    if not name:
        raise DataError(f"name {fields[0]!r}, expected one such as train_00001.jpg or test_0001.jpg.")
    return name[1], _label(fields[1])


def _label(text: str) -> int:
    if text not in NUMBERS:
        raise DataError(f"label {text!r}, expected 1 to 7.")
    return NUMBERS.index(text)


def _list_folders(base: Path, split: str, row_errors: RowErrors) -> Iterator[Face]:
    """List faces by the label CSV if there is one, so that missing images are noticed; otherwise by class folder."""
    labels = first_of([base / f"{split}_labels.csv", base.parent / f"{split}_labels.csv"])
    if labels is None:
        yield from list_tree(base / split, f"{split}/", split, RAFDB, row_errors, NUMBERS)
        return
    rows = list(csv.reader(_text(labels).splitlines()))
    if not rows or [name.strip() for name in rows[0]] != ["image", "label"]:
        found = ", ".join(rows[0])[:120] if rows else "an empty file"
        raise DataError(f"{labels}:1: expected the columns image,label; found {found}.")
    for line, row in enumerate(rows[1:], 2):
        place = f"{labels}:{line}"
        try:
            if len(row) != 2:
                raise DataError(f"{len(row)} fields, expected image and label.")
            name, label = row[0].strip(), row[1].strip()
            number = _label(label)
            yield Face(str(base / split / label / name), f"{split}/{label}/{name}", number, split, place)
        except DataError as error:
            row_errors.add(place, error)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: cannot be read as text ({error}).") from None
