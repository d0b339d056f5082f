"""Read shards of cropped or prepared faces, in memory or from disk.

``load_shards`` reads what ``fer-tf shards prepare`` writes. A shard is three files: ``shard-00000.tfrecord``, records
of ``tf.train.Example``, exactly one a photograph; ``shard-00000.npz``, the columns below; ``shard-00000.json``, counts
and digests, written last: a shard is there when its JSON is. ``index.json`` says which shards there are; a folder is
complete when it is there. Features of a record:

============================== ========= =======================================================
``id``, ``label``, ``split``    bytes     the photograph, its class folder and its split folder
``status``, ``reason``          bytes     one of ``STATUSES``, and why there is no face
``pixels``                      bytes     uint8 (size, size, channels) row by row; empty without
``size``, ``channels``          int64     of ``pixels``
``score``, ``box``              float     of the detector: 1 number; x0, y0, x1, y1 (NaN: none)
``landmarks``                   float×10  five points x, y in the photograph (NaN: none)
``face_landmarks``, ``frame``   float     as in ``fer_tf.datasets.shards``
``probabilities``, ``features`` float     of a network, where one was given
============================== ========= =======================================================

Columns of the npz, M records: ``ids`` str; ``statuses``, ``labels``, ``splits`` int, into ``STATUSES``, the JSON's
``classes`` and ``SPLITS`` (-1: none); ``offsets`` int64, where in the TFRecord file the pixels begin (-1: none);
``places`` uint64, a hash of the id; ``probabilities`` and ``features`` float32, NaN where there is no face.

In memory are the columns, about 250 bytes a face (four of them for each character of the longest id); pixels are read
from the shards batch by batch, each from its own place. So an epoch's order is a full shuffle of all faces, the same as
that of a table in memory, and a run resumes exactly. Random places want a local disk: copy shards from a network drive
first.

``load_records`` reads what ``fer-tf crop --format tfrecord`` writes: ``faces-00000-of-00012.tfrecord`` and so on. Each
record is a ``tf.train.Example`` with the features

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

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf.datasets.folder import class_index, complete_splits, label_set_of
from fer_tf.datasets.splits import check_shares, split_of
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.io.cache import Arrays, StreamedFaces, cached
from fer_tf.io.pictures import check_shape, read_picture
from fer_tf.io.tfrecord import decode_example, read_records
from fer_tf.labels import one_hot

INDEX = "index.json"
# With a picture: a face that was found, a whole photograph. Without: no face in it, unreadable.
STATUSES = ("face", "whole", "no face", "unreadable")
COMMAND = "fer-tf shards prepare"


def shard_name(number: int) -> str:
    """Name the three files of a shard, without suffix."""
    return f"shard-{number:05d}"


def load_shards(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    size: int | None = None,
    split: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> FaceTable:
    """Open a folder of shards; the pixels stay on disk.

    Classes that are those of a known label set take its order; others are sorted by name.

    Args:
        data: The folder.
        skip_bad: leave out faces without a class.
        size: side in pixels to which faces are brought when they are read; ``None`` as they are.
        split: shares (train, validation, test) for the splits that the shards lack, taken from their training faces.
        seed: Seed of that split.

    Raises:
        DataError: no such folder, one whose preparation has not ended, shards that are missing or cut off, no faces,
            or a face without a class.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_shards("data/shards")
        >>> len(faces) > 0
        True
    """
    shares, root, row_errors = check_shares(split), Path(data), RowErrors(skip_bad)
    if size is not None:
        check_shape(size, 1)
    index = read_index(root)
    columns = _columns(root, index["shards"])
    row_errors.count(
        root, {"no face found": index["statuses"]["no face"], "unreadable": index["statuses"]["unreadable"]}
    )
    classes = columns.pop("classes")
    named = columns["labels"] >= 0
    if not named.all():
        first = str(columns["ids"][np.flatnonzero(~named)[0]])
        row_errors.add(f"{root}: {first}", "no class. Expected photographs in <class>/ or <split>/<class>/.")
        columns = {name: column[named] for name, column in columns.items()}
    row_errors.check_any_left(len(columns["labels"]), root)
    label_set = label_set_of(classes, "shards")
    order = np.array([class_index(label_set, name) for name in classes])
    images = StreamedFaces(
        files=tuple(root / f"{shard['name']}.tfrecord" for shard in index["shards"]),
        digests=tuple(shard["digest"] for shard in index["shards"]),
        file=columns["files"],
        offset=columns["offsets"],
        stored=(index["settings"]["size"], index["settings"]["size"], index["settings"]["channels"]),
    )
    return FaceTable(
        images=images if size is None else images.resized(size),
        targets=one_hot(order[columns["labels"]], len(label_set)),
        label_set=label_set,
        split=_splits(columns["splits"], columns["places"], shares, seed),
        ids=columns["ids"],
        skipped=tuple(row_errors.lines),
    )


def read_index(root: Path) -> dict[str, Any]:
    """Return what ``index.json`` says of a complete folder.

    Raises:
        DataError: no such folder, or none, or a shard of another length than written.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Expected one that {COMMAND} wrote.")
    try:
        index = json.loads((root / INDEX).read_text(encoding="utf-8"))
        shards = index["shards"]
    except FileNotFoundError:
        raise DataError(f"{root} has no {INDEX}: no shards, or not all yet. Run {COMMAND} to its end.") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{root / INDEX} is damaged. Run {COMMAND} again.") from None
    for shard in shards:
        path = root / f"{shard['name']}.tfrecord"
        if not path.is_file():
            raise DataError(f"{path} is missing. Run {COMMAND} again.")
        if path.stat().st_size != shard["bytes"]:
            raise DataError(f"{path} has {path.stat().st_size} bytes instead of {shard['bytes']}. Prepare it again.")
    return index


def read_columns(root: Path, shard: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the columns of one shard of the index.

    Raises:
        DataError: they are missing or damaged.
    """
    path = root / f"{shard['name']}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
    except Exception:
        raise DataError(f"{path} is missing or damaged. Run {COMMAND} again.") from None
    if len(columns["ids"]) != shard["images"]:
        raise DataError(f"{path} has {len(columns['ids'])} records instead of {shard['images']}. Prepare it again.")
    return columns


def _columns(root: Path, shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the columns of all faces, with their ``files``, and the names of the ``classes``."""
    classes = sorted({name for shard in shards for name in shard["classes"]})
    total = sum(shard["faces"] for shard in shards)
    longest = max((shard["longest_id"] for shard in shards), default=1)
    found: dict[str, Any] = {
        "files": np.empty(total, np.int32), "offsets": np.empty(total, np.int64), "labels": np.empty(total, np.int32),
        "splits": np.empty(total, np.int8), "places": np.empty(total, np.uint64), "ids": np.empty(total, f"U{longest}"),
    }  # fmt: skip
    end = 0
    for number, shard in enumerate(shards):
        columns = read_columns(root, shard)
        rows = np.flatnonzero(columns["offsets"] >= 0)
        part, end = slice(end, end + len(rows)), end + len(rows)
        found["files"][part] = number
        # The last, -1, is for records without a class.
        place = np.array([*(classes.index(name) for name in shard["classes"]), -1])
        found["labels"][part] = place[columns["labels"][rows]]
        for name in ("offsets", "splits", "places", "ids"):
            found[name][part] = columns[name][rows]
    return {**found, "classes": classes}


def _splits(given: np.ndarray, places: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Name each face's split; those that the dataset lacks are taken out of train, by the hashes of the ids alone."""
    split = np.where(given < 0, 0, given)
    train = np.flatnonzero(split == 0)
    drawn = train[np.argsort(_mixed(places[train], seed), kind="stable")]
    taken = 0
    for number, share in ((2, shares[2]), (1, shares[1])):
        if not (split == number).any() and share > 0:
            count = max(round(share * len(train)), 1 if len(train) >= 3 else 0)
            split[drawn[taken : taken + count]] = number
            taken += count
    return np.array(SPLITS)[split]


def _mixed(places: np.ndarray, seed: int) -> np.ndarray:
    """Hash the hashes with a seed (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = places + np.uint64((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


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
