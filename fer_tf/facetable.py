"""Hold faces and their label distributions in one table."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from fer_tf.errors import DataError, UserError, unknown_name
from fer_tf.labels import LABEL_SETS, LabelSet, convert

SPLITS = ("train", "validation", "test")


@runtime_checkable
class ImagesOnDisk(Protocol):
    """Interface of images that stay on disk until rows of them are indexed (``fer_tf.io.cache``).

    ``images[rows]`` returns pixels, as with an array; the methods below do not read any.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    ndim: int

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...

    def subset(self, rows: Any) -> Self:
        """Return some of the images, still on disk."""
        ...

    def resized(self, size: int) -> Self:
        """Return the images as squares of another side, still on disk."""
        ...

    def digest(self) -> str:
        """Return hex digits that change with any pixel."""
        ...


@dataclass(frozen=True, eq=False)
class FaceTable:
    """Hold N faces with their label distributions, splits and optional annotations.

    Attributes:
        images: uint8 array (N, H, W, C) or ``ImagesOnDisk``; ``None`` if ``paths`` is given.
        paths: str array (N,); ``None`` if ``images`` is given.
        targets: float32 array (N, classes); each row is a distribution and sums to 1.
        label_set: Names of the columns of ``targets``.
        split: str array (N,) of ``"train"``, ``"validation"`` and ``"test"``.
        ids: str array (N,) of unique names of the faces in their source.
        votes: float array (N, V) with the annotators' raw counts, or ``None``.
        landmarks: float32 array (N, K, 2) of x, y in pixels, or ``None``; (0, 0) is the corner of the first pixel. A
            missing point is NaN.
        boxes: float32 array (N, 4) of x0, y0, x1, y1 in pixels, or ``None``.
        valence_arousal: float32 array (N, 2), or ``None``; a missing value is NaN.
        subject: str array (N,) naming the person in the image, or ``None``.
        draw_targets: Whether each epoch draws a one-hot target from a face's distribution (FER+ probability mode,
            arXiv 1608.01041).
        skipped: One line for each bad row that ``skip_bad`` left out, and one line with the number of faces that the
            dataset itself marks as unusable.

    Raises:
        DataError: Columns differ in length, a row is not a distribution, a split is unknown, or an id occurs twice.

    Example:
        >>> import numpy as np
        >>> from fer_tf import FaceTable, LabelSet
        >>> faces = FaceTable(
        ...     images=np.zeros((2, 48, 48, 1), np.uint8),
        ...     targets=np.array([[1, 0], [0.3, 0.7]], np.float32),
        ...     label_set=LabelSet("two", ("happy", "sad")),
        ...     split=np.array(["train", "test"]),
        ...     ids=np.array(["a", "b"]),
        ... )
        >>> len(faces.select("train")), faces.labels
        (1, array([0, 1]))
    """

    targets: np.ndarray
    label_set: LabelSet
    split: np.ndarray
    ids: np.ndarray
    images: np.ndarray | ImagesOnDisk | None = None
    paths: np.ndarray | None = None
    votes: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    boxes: np.ndarray | None = None
    valence_arousal: np.ndarray | None = None
    subject: np.ndarray | None = None
    draw_targets: bool = False
    skipped: tuple[str, ...] = ()

    def __post_init__(self):
        n = len(self.targets)
        if (self.images is None) == (self.paths is None):
            raise DataError("A FaceTable takes images or paths, one of the two.")
        for name, column in self._columns():
            if len(column) != n:
                raise DataError(f"Column {name!r} has {len(column)} rows, targets have {n}.")
        if self.images is not None and (self.images.ndim != 4 or self.images.dtype != np.uint8):
            raise DataError(f"images must be uint8 (N,H,W,C), got {self.images.dtype} {self.images.shape}.")
        if self.targets.shape != (n, len(self.label_set)) or self.targets.dtype != np.float32:
            raise DataError(
                f"targets must be float32 ({n}, {len(self.label_set)}), got {self.targets.dtype} {self.targets.shape}."
            )
        bad = np.flatnonzero(~(np.abs(self.targets.sum(axis=1) - 1) < 1e-4) | (self.targets < 0).any(axis=1))
        if bad.size:
            raise DataError(f"Target of {self.ids[bad[0]]} is no distribution: {self.targets[bad[0]].tolist()}.")
        unknown = sorted(set(np.unique(self.split)) - set(SPLITS))
        if unknown:
            raise DataError(f"Unknown split {str(unknown[0])!r}. Expected one of {', '.join(SPLITS)}.")
        if len(np.unique(self.ids)) != n:
            raise DataError("Sample ids are not unique.")

    def _columns(self):
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name not in ("label_set", "draw_targets", "skipped") and value is not None:
                yield f.name, value

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def labels(self) -> np.ndarray:
        """Most probable class of each face, int64 (N,); the first on ties."""
        return self.targets.argmax(axis=1)

    @property
    def train(self) -> "FaceTable":
        """The training faces."""
        return self.select("train")

    @property
    def validation(self) -> "FaceTable":
        """The validation faces (PublicTest of FER2013)."""
        return self.select("validation")

    @property
    def test(self) -> "FaceTable":
        """The test faces (PrivateTest of FER2013)."""
        return self.select("test")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images in memory."""
        if self.images is None:
            raise UserError("This table holds paths; give the reader an image_shape.")
        return tuple(self.images.shape[1:])

    def class_counts(self) -> np.ndarray:
        """Number of faces of each class, by the most probable one: int64 (classes,)."""
        return np.bincount(self.labels, minlength=len(self.label_set))

    def digest(self, columns: Sequence[str] = ()) -> str:
        """Return sixteen hex digits that change with any picture (or path), target, class name or id.

        Args:
            columns: names of further columns to include, those that are ``None`` left out.
        """
        pictures = self.images if self.images is not None else self.paths.astype(str)
        if isinstance(pictures, ImagesOnDisk):
            pictures = np.array([pictures.digest()])
        state = hashlib.blake2b(repr((self.label_set, self.draw_targets)).encode(), digest_size=8)
        further = [c for c in (getattr(self, name) for name in columns) if c is not None]
        for column in (pictures, self.targets, self.ids.astype(str), *further):
            state.update(np.ascontiguousarray(column).data)
        return state.hexdigest()

    def with_images(self, images: np.ndarray) -> "FaceTable":
        """Return the table with its faces in another size: landmarks and boxes are scaled along."""
        scale = np.divide(images.shape[2:0:-1], self.image_shape[1::-1])
        landmarks = None if self.landmarks is None else (self.landmarks * scale).astype(np.float32)
        boxes = None if self.boxes is None else (self.boxes * np.tile(scale, 2)).astype(np.float32)
        return replace(self, images=images, landmarks=landmarks, boxes=boxes)

    def take(self, index: Sequence[int] | np.ndarray) -> "FaceTable":
        """Return the rows of an int index or boolean mask, every column alike."""
        return replace(self, **{name: _rows(column, index) for name, column in self._columns()})

    def select(self, split: str) -> "FaceTable":
        """Return the rows of one split.

        Raises:
            UserError: no such split, or none of its rows here.
        """
        if split not in SPLITS:
            raise UserError(f"Unknown split {split!r}. Expected one of {', '.join(SPLITS)}.")
        rows = np.flatnonzero(self.split == split)
        if not rows.size:
            present = ", ".join(sorted(set(self.split)))
            raise UserError(
                f"The dataset has no {split!r} rows. Present: {present}. Without splits of its own, a "
                "dataset needs three faces or more of a class."
            )
        return self.take(rows)

    def save(self, path: Path) -> None:
        """Write the table as one uncompressed ``.npz`` (fast to read back; no pickles inside)."""
        columns = {name: np.asarray(c, dtype=str) if c.dtype == object else c for name, c in self._columns()}
        with Path(path).open("wb") as file:
            np.savez(
                file, label_set=self.label_set.name, classes=np.array(self.label_set.classes),
                draw_targets=self.draw_targets, skipped=np.array(self.skipped, dtype=str), **columns,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "FaceTable":
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        label_set = LabelSet(str(columns.pop("label_set")), tuple(columns.pop("classes").tolist()))
        skipped, drawn = tuple(columns.pop("skipped").tolist()), bool(columns.pop("draw_targets"))
        return cls(label_set=label_set, skipped=skipped, draw_targets=drawn, **columns)


def _rows(column: np.ndarray | ImagesOnDisk, index: Sequence[int] | np.ndarray) -> np.ndarray | ImagesOnDisk:
    return column.subset(index) if isinstance(column, ImagesOnDisk) else column[index]


def joined(tables: Mapping[str, FaceTable]) -> FaceTable:
    """Put tables of one label set one below the other.

    Args:
        tables: by a name that their ids then begin with, ``name/id``.

    Returns:
        All faces; columns that one of the tables lacks are left out.

    Raises:
        UserError: no table, other label sets or sizes of images, or pictures of which some are in memory and some not.
    """
    parts = list(tables.values())
    if not parts:
        raise UserError("There is no table to join.")
    first = parts[0]
    if any((t.label_set, t.draw_targets) != (first.label_set, first.draw_targets) for t in parts):
        raise UserError("Tables to join must have one label set, and draw targets alike.")
    if any((t.images is None) != (first.images is None) for t in parts):
        raise UserError("Tables to join must all have pictures in memory, or none.")
    if first.images is not None and any(t.image_shape != first.image_shape for t in parts):
        raise UserError("Tables to join must have images of one size.")
    names = [name for name, _ in first._columns() if all(getattr(t, name) is not None for t in parts)]
    columns = {name: np.concatenate([getattr(t, name) for t in parts]) for name in names}
    columns["ids"] = np.array([f"{name}/{i}" for name, t in tables.items() for i in t.ids.tolist()])
    skipped = tuple(dict.fromkeys(line for t in parts for line in t.skipped))
    return FaceTable(label_set=first.label_set, draw_targets=first.draw_targets, skipped=skipped, **columns)


def converted(table: FaceTable, label_set: str | LabelSet | None, merged: Mapping[str, str] | None = None) -> FaceTable:
    """Return the table over another label set, by class name; faces that have no class there are left out.

    Args:
        table: faces of any splits.
        label_set: a known name, a label set, or ``None`` for the table as it is.
        merged: as in ``labels.convert``.

    Raises:
        UserError: unknown name, or sets that cannot be converted.
    """
    if label_set is None:
        return table
    if isinstance(label_set, str):
        if label_set not in LABEL_SETS:
            raise unknown_name("label set", label_set, LABEL_SETS)
        label_set = LABEL_SETS[label_set]
    targets, kept = convert(table.targets, table.label_set, label_set, merged)
    if len(kept) < len(table):
        lost = len(table) - len(kept)
        logging.getLogger(__name__).info("%d of %d faces have no class in %s.", lost, len(table), label_set.name)
    return replace(table.take(kept), targets=targets, label_set=label_set)
