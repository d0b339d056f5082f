"""Read shards of prepared faces that need not fit in memory.

They are what ``fer-tf shards prepare`` writes. A shard is three files: ``shard-00000.tfrecord``, records of
``tf.train.Example``, exactly one a photograph; ``shard-00000.npz``, the columns below; ``shard-00000.json``, counts and
digests, written last: a shard is there when its JSON is. ``index.json`` says which shards there are; a folder is
complete when it is there. Features of a record:

============================== ========= =======================================================
``id``, ``label``, ``split``    bytes     the photograph, its class folder and its split folder
``status``, ``reason``          bytes     one of ``STATUSES``, and why there is no face
``pixels``                      bytes     uint8 (size, size, channels) row by row; empty without
``size``, ``channels``          int64     of ``pixels``
``score``, ``box``              float     of the detector: 1 number; x0, y0, x1, y1 (NaN: none)
``landmarks``                   float×10  five points x, y in the photograph (NaN: none)
``face_landmarks``, ``frame``   float     as in ``fer_tf.datasets.records``
``probabilities``, ``features`` float     of a network, where one was given
============================== ========= =======================================================

Columns of the npz, M records: ``ids`` str; ``statuses``, ``labels``, ``splits`` int, into ``STATUSES``, the JSON's
``classes`` and ``SPLITS`` (-1: none); ``offsets`` int64, where in the TFRecord file the pixels begin (-1: none);
``places`` uint64, a hash of the id; ``probabilities`` and ``features`` float32, NaN where there is no face.

In memory are the columns, about 250 bytes a face (four of them for each character of the longest id); pixels are read
from the shards batch by batch, each from its own place. So an epoch's order is a full shuffle of all faces, the same as
that of a table in memory, and a run resumes exactly. Random places want a local disk: copy shards from a network drive
first.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf.datasets.folder import class_index, label_set_of
from fer_tf.datasets.splits import check_shares
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.io.arrays import StreamedFaces
from fer_tf.io.pictures import check_shape
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
