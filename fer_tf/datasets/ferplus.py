"""Load FER+ with its annotators' votes (arXiv 1608.01041)."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fer_tf.datasets import fer2013
from fer_tf.datasets.ferplus_votes import VOTE_CLASSES, VotePolicy, voted_table
from fer_tf.datasets.folder import read_pictures
from fer_tf.datasets.splits import treat_leaks
from fer_tf.errors import DataError, RowErrors
from fer_tf.facetable import FaceTable, converted
from fer_tf.io.tables import read_table
from fer_tf.labels import FER2013, FERPLUS, convert, normalize, one_hot, valence_arousal

VOTES_FILE = "fer2013new.csv"
FOLDERS = {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}
WHOLE = "(0, 0, 48, 48)"


@dataclass
class Voted:
    """Hold faces with raw votes: images (N, 48, 48, 1), names, splits and votes (N, 10)."""

    images: np.ndarray
    ids: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    votes: list[Sequence[int]] = field(default_factory=list)


def load_ferplus(
    data: Path | str,
    /,
    *,
    skip_bad: bool = False,
    mode: str = "majority",
    evaluation: str = "majority",
    labels: str = "votes",
    temperature: float = 1.0,
    leaks: str = "keep",
    circumplex: bool = False,
    label_set: str | None = None,
) -> FaceTable:
    """Load FER+ and filter it by the published rules.

    Args:
        data: The folder with ``fer2013new.csv`` beside ``fer2013.csv`` (or one of these two files), or the folder of
            ``FER2013Train``, ``FER2013Valid`` and ``FER2013Test``, each with its ``label.csv``.
        skip_bad: Leave out bad rows and list them in ``skipped``, instead of stopping at the first.
        mode: Targets of the training faces: ``majority``, ``multi_target``, ``probability`` (each epoch draws a one-hot
            target) or ``cross_entropy`` (the share of votes).
        evaluation: Targets of validation and test: ``majority``, as published for every mode, or ``cross_entropy`` for
            metrics of distributions.
        labels: ``votes``, or ``fer2013`` to give the training faces that the mode keeps the single label of
            ``fer2013.csv``, which must be in the folder or the one above.
        temperature: Above 1 softens the training distributions of the modes ``probability`` and ``cross_entropy``,
            below 1 sharpens them, 0 keeps the majority only.
        leaks: ``keep`` all faces, ``drop`` faces with an exact copy in a later split, or ``drop_near`` those with a
            near copy too (``fer_tf.datasets.splits``); the test split stays whole.
        circumplex: Derive valence and arousal from the mean position of the votes on the circumplex of affect. They let
            an objective run that needs such values; they are not measured.
        label_set: Name of the label set to convert to, by class name ; faces of a missing class are left out.
            ``None`` means FER+'s own.

    Raises:
        UserError: An option has an unknown value, or the temperature would have no effect.
        DataError: ``data`` holds no such dataset, or a row is bad.

    Example:
        >>> from fer_tf import datasets
        >>> faces = datasets.load_ferplus("data/ferplus", mode="cross_entropy")
        >>> len(faces.label_set), faces.votes.shape[1]
        (8, 10)
    """
    policy = VotePolicy(mode, evaluation, labels, temperature)
    place, row_errors = Path(data), RowErrors(skip_bad)
    voted = _reader(place)(row_errors)
    row_errors.check_any_left(len(voted.ids), place)
    votes, split = np.array(voted.votes, dtype=np.int64), np.array(voted.split)
    single = _single_labels(place, voted.ids, skip_bad) if labels == "fer2013" else None
    table = voted_table(voted.images, voted.ids, split, votes, policy, single, tuple(row_errors.lines))
    if circumplex:
        shares = normalize(table.votes[:, : len(FERPLUS)])
        table = replace(table, valence_arousal=valence_arousal(shares, FERPLUS.classes))
    return converted(treat_leaks(table, leaks), label_set)


def with_votes(table: FaceTable, data: Path | str | None) -> FaceTable:
    """Give FER2013's faces the votes of FER+, row by row.

    Args:
        table: Faces of any dataset. Faces of ``load_fer2013`` get votes; others stay as they are.
        data: The folder of FER2013, in which ``fer2013new.csv`` may lie.

    Returns:
        The table with ``votes`` (N, 10), NaN for faces that FER+ does not have; the table as it is where it has votes,
        is not of FER2013, or where the file is missing.
    """
    if table.votes is not None or table.label_set.name != "fer2013" or data is None:
        return table
    try:
        voted = load_ferplus(data, mode="cross_entropy", evaluation="cross_entropy")
    except DataError:
        return table
    row_of = {name: row for row, name in enumerate(voted.ids.tolist())}
    rows = np.array([row_of.get(name, -1) for name in table.ids.tolist()])
    votes = np.full((len(table), voted.votes.shape[1]), np.nan, np.float32)
    votes[rows >= 0] = voted.votes[rows[rows >= 0]]
    return replace(table, votes=votes)


def _single_labels(place: Path, ids: Sequence[str], skip_bad: bool) -> np.ndarray:
    """Return FER2013's labels of faces named by their row (``fer0000012``): float32 (N, 8) over ``FERPLUS``."""
    base = place.parent if place.is_file() else place
    files = [folder / name for folder in (base, base.parent) for name in fer2013.FILES]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise DataError(f"{base}: labels='fer2013' needs {fer2013.FILES[0]} there or in the folder above.")
    rows = fer2013.read_rows(path, RowErrors(skip_bad))
    label_of = dict(zip((f"fer{i:07d}" for i in rows.index.tolist()), rows.labels.tolist(), strict=True))
    missing = next((name for name in ids if name not in label_of), None)
    if missing is not None:
        raise DataError(f"{path}: no row for the face {missing!r} of FER+. Expected the whole file.")
    return convert(one_hot([label_of[name] for name in ids], len(FER2013)), FER2013, FERPLUS)[0]


def _reader(place: Path) -> Callable[[RowErrors], Voted]:
    """Choose the reader for ``place``: the two CSV files if both exist, otherwise the FER+ folders."""
    if not place.exists():
        raise DataError(f"{place}: no such file or folder. Expected the folder with {VOTES_FILE} and fer2013.csv.")
    base = place.parent if place.is_file() else place
    faces = [place] if place.is_file() and place.name != VOTES_FILE else [base / name for name in fer2013.FILES]
    faces = [f for f in faces if f.is_file()]
    if faces and (base / VOTES_FILE).is_file():
        return lambda row_errors: _read_csv(faces[0], base / VOTES_FILE, row_errors)
    for root in (base, base / "ferplus", base / "data"):
        if all((root / name).is_dir() for name in FOLDERS):
            return lambda row_errors: _read_folders(root, row_errors)
    raise DataError(
        f"{base}: no FER+ there. Looked for {VOTES_FILE} beside one of {', '.join(fer2013.FILES)}, and for "
        f"{', '.join(FOLDERS)} (also in ferplus/ and data/)."
    )


def _read_csv(faces: Path, votes: Path, row_errors: RowErrors) -> Voted:
    """Join the two files row by row; faces without an image name are left out, as FER+ defines."""
    rows = fer2013.read_rows(faces, row_errors)
    lines = list(_read_lines(votes))
    order = _column_order(votes, lines[0][1] if lines else [])
    if len(lines) - 1 != rows.total:
        raise DataError(f"{votes}: {len(lines) - 1} rows, but {faces} has {rows.total}. The files go row by row.")
    voted, kept, seen = Voted(rows.images), [], set()
    for position, index in enumerate(rows.index.tolist()):
        line, fields = lines[index + 1]
        try:
            name, usage, counts = _parse_row(fields, order)
            if fer2013.USAGES.get(usage) != rows.split[position]:
                raise DataError(f"Usage {usage!r}, but {faces.name} has its row {index} in {rows.split[position]}.")
            if not name:
                continue
            _add(voted, seen, name, str(rows.split[position]), counts)
            kept.append(position)
        except DataError as error:
            row_errors.add(f"{votes}:{line}", error)
    voted.images = rows.images if len(kept) == len(rows.images) else rows.images[kept]
    return voted


def _read_folders(root: Path, row_errors: RowErrors) -> Voted:
    voted, seen, paths, places = Voted(np.empty(0)), set(), [], []
    for folder, split in FOLDERS.items():
        labels = root / folder / "label.csv"
        for line, fields in _read_lines(labels):
            try:
                if len(fields) != 2 + len(VOTE_CLASSES):
                    raise DataError(f"{len(fields)} fields, expected name, box and {len(VOTE_CLASSES)} votes.")
                if fields[1].strip() != WHOLE:
                    raise DataError(f"box {fields[1]!r}, expected the whole picture, {WHOLE}.")
                _add(voted, seen, fields[0].strip(), split, _parse_votes(tuple(fields[2:])))
                paths.append(root / folder / fields[0].strip())
                places.append(f"{labels}:{line}")
            except DataError as error:
                row_errors.add(f"{labels}:{line}", error)
    voted.images, kept = read_pictures(paths, places, fer2013.SIDE, 1, row_errors)
    for column in ("ids", "split", "votes"):
        setattr(voted, column, [getattr(voted, column)[i] for i in kept])
    return voted


def _add(voted: Voted, seen: set[str], name: str, split: str, counts: Sequence[int]) -> None:
    if not name:
        raise DataError("no image name.")
    if name in seen:
        raise DataError(f"image {name!r} is named twice.")
    seen.add(name)
    voted.ids.append(name.removesuffix(".png"))
    voted.split.append(split)
    voted.votes.append(counts)


def _read_lines(path: Path) -> Sequence[tuple[int, list[str]]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file. Expected the FER+ votes.")
    return list(read_table(path))


def _column_order(path: Path, header: Sequence[str]) -> list[int]:
    """Return the positions of Usage, Image name and the ten votes, then the number of columns."""
    names = [h.strip().casefold() for h in header]
    wanted = ("Usage", "Image name", *VOTE_CLASSES)
    for column in wanted:
        if names.count(column.casefold()) != 1:
            found = ", ".join(header)[:160] or "an empty file"
            raise DataError(f"{path}:1: no column {column!r}. Expected {', '.join(wanted)}; found {found}.")
    return [names.index(column.casefold()) for column in wanted] + [len(names)]


def _parse_row(fields: Sequence[str], order: Sequence[int]) -> tuple[str, str, tuple[int, ...]]:
    if len(fields) != order[-1]:
        raise DataError(f"{len(fields)} fields, expected {order[-1]}.")
    usage, name, *counts = (fields[i] for i in order[:-1])
    return name.strip(), usage.strip(), _parse_votes(tuple(counts))


@functools.cache
def _parse_votes(fields: tuple[str, ...]) -> tuple[int, ...]:
    for name, text in zip(VOTE_CLASSES, fields, strict=True):
        if not text.strip().isdecimal():
            raise DataError(f"{text!r} votes for {name}, expected a whole number from 0.")
    counts = tuple(int(text) for text in fields)
    if not any(counts):
        raise DataError("no votes at all.")
    return counts
