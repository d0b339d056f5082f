"""Read shards of cropped faces, as the command ``crop`` writes them.

They are ``faces-00000-of-00012.tfrecord`` and so on. Each record is a ``tf.train.Example`` with the features

========================= ======= =================================================================
``image``, ``size``       bytes, int64: the face as PNG, and its side in pixels
``id``                    bytes   name of the face: the file that ``--format png`` would have written
``label``, ``split``      bytes   names of its class folder and split folder, empty without one
``source``                bytes   the photograph, relative to its folder
``video_frame``, ``face`` int64   frame of the video (-1: no video), face of the photograph, from 0
``score``                 float   the detector's (NaN: the whole picture, since it found no face)
``box``                   float×4 x0, y0, x1, y1 in the photograph
``landmarks``             float×10 five points x, y in the photograph (NaN: none)
``face_landmarks``        float×10 the same in pixels of the face
``frame``                 float×4 what was cut out: center x, y, side, angle in radians
========================= ======= =================================================================
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_tf.datasets.folder import class_index, complete_splits, label_set_of
from fer_tf.datasets.splits import check_shares, split_of
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import FaceTable
from fer_tf.io.cache import Arrays, cached
from fer_tf.io.pictures import check_shape, read_picture
from fer_tf.io.tfrecord import decode_example, read_records
from fer_tf.labels import one_hot

SHARD = re.compile(r"faces-(\d{5,})-of-(\d{5,})\.tfrecord")


def record_name(number: int, total: int) -> str:
    """Name a shard, counted from 0."""
    return f"faces-{number:05d}-of-{total:05d}.tfrecord"


def load_records(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    size: int = 48,
    channels: int = 1,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> FaceTable:
    """Read a folder of shards; classes and splits as ``folder`` has them, and the five landmarks.

    Args:
        data: The folder.
        skip_bad: leave out damaged faces, those without a class, and what follows a damage in a shard.
        size: Height and width in pixels.
        channels: 1 (gray) or 3 (RGB).
        split: shares (train, validation, test) for the splits that the shards lack.
        seed: Seed of that split.

    Raises:
        DataError: no such folder, no shards in it or not all of them, a damaged one, a face without a class.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_records("data/records")
        >>> len(faces) > 0
        True
    """
    shares, root, row_errors = check_shares(split), Path(data), RowErrors(skip_bad)
    check_shape(size, channels)
    shards = find_shards(root)
    arrays = cached(
        "records-1", shards, {"size": size, "channels": channels}, lambda: _read(shards, size, channels, skip_bad)
    )
    for line in arrays["row_errors"].tolist():
        row_errors.add(*line.rsplit("\n", 1))
    row_errors.check_any_left(len(arrays["ids"]), root)
    label_set = label_set_of(arrays["classes"].tolist(), "records")
    column = {name: class_index(label_set, name) for name in set(arrays["classes"].tolist())}
    labels = np.array([column[name] for name in arrays["classes"].tolist()])
    return FaceTable(
        images=arrays["images"],
        targets=one_hot(labels, len(label_set)),
        label_set=label_set,
        split=complete_splits(root, arrays["splits"], arrays["ids"], labels, shares, seed),
        ids=arrays["ids"],
        landmarks=arrays["landmarks"],
        skipped=tuple(row_errors.lines),
    )


def find_shards(root: Path) -> list[Path]:
    """Return the shards of a folder in order.

    Raises:
        DataError: no such folder, none in it, or one is missing.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Expected {record_name(0, 1)} and so on in it.")
    found = {p: m for p in sorted(root.iterdir()) if (m := SHARD.fullmatch(p.name))}
    if not found:
        raise DataError(f"{root}: no shards. Expected {record_name(0, 1)} and so on in it.")
    totals = sorted({int(m[2]) for m in found.values()})
    if len(totals) > 1:
        raise DataError(f"{root}: shards of {totals[0]} and of {totals[-1]}. Expected those of one run of crop.")
    missing = sorted(set(range(totals[0])) - {int(m[1]) for m in found.values()})
    if missing:
        raise DataError(f"{root}: {record_name(missing[0], totals[0])} is missing.")
    return list(found)


def _read(shards: Sequence[Path], size: int, channels: int, skip_bad: bool) -> Arrays:
    row_errors, rows = RowErrors(skip_bad), []
    lines: list[str] = []
    for shard in shards:
        try:
            for number, data in enumerate(read_records(shard)):
                try:
                    rows.append(_face(decode_example(data), size, channels))
                except DataError as error:
                    row_errors.add(f"{shard}: record {number}", error)
                    lines.append(f"{shard}: record {number}\n{error}")
        except DataError as error:
            if not skip_bad:
                raise
            lines.append(f"{shard}\n{str(error).removeprefix(f'{shard}: ')}")
    images, ids, classes, splits, landmarks = zip(*rows, strict=True) if rows else ((),) * 5
    return {
        "images": np.array(images, np.uint8).reshape(-1, size, size, channels),
        "ids": np.array(ids, dtype=str),
        "classes": np.array(classes, dtype=str),
        "splits": np.array(splits, dtype="U10"),
        "landmarks": np.array(landmarks, np.float32).reshape(-1, 5, 2),
        "row_errors": np.array(lines, dtype=str),
    }


def _face(features: dict, size: int, channels: int) -> tuple[np.ndarray, str, str, str, np.ndarray]:
    """Return image, id, class, split and landmarks of one record."""
    try:
        encoded, name = features["image"], features["id"].decode("utf-8", "surrogateescape")
        label, split = (features[k].decode("utf-8", "surrogateescape") for k in ("label", "split"))
        landmarks = features["face_landmarks"].reshape(5, 2) * (size / features["size"].item())
    except (KeyError, AttributeError, ValueError):
        raise DataError("no face of ours. Expected what the command crop writes.") from None
    if not label:
        raise DataError(
            f"{name}: no class. Expected photographs in <class>/ or <split>/<class>/ when they were cropped."
        )
    return read_picture(encoded, size, channels), name, label, split_of(split) or "train", landmarks
