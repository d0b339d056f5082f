"""The answers of any network to known members and non-members, and the file that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.io import atomic
from fer_tf.privacy import scores

# What a file of answers holds: one of the first two, the labels, and which faces were in training.
FORMAT = """\
logits        float (N, C), or probabilities float (N, C)
labels        int (N,), from 0 to C - 1
member        bool (N,), true for faces that the network was trained on
classes       str (C,), optional
ids           str (N,), optional
shadow_logits float (S, N, C), optional: what networks trained like this one say of the same faces
shadow_member bool (S, N), which of the faces each of them was trained on"""


@dataclass(frozen=True, eq=False)
class Shadows:
    """What networks that were trained like the audited one, on known faces, say of the audited faces.

    Attributes:
        log_probabilities: float64 (S, N, C).
        member: bool (S, N), whether shadow s was trained on face n.
    """

    log_probabilities: np.ndarray
    member: np.ndarray


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network says of N faces.

    Attributes:
        log_probabilities: float64 (N, C).
        labels: int64 (N,), the labels that the attacker knows.
        member: bool (N,), whether the network was trained on the face.
        classes: C names.
        ids: str (N,), or ``None``.
        shadows: further networks' answers, or ``None``.

    Raises:
        DataError: columns that do not belong together, or a label out of range.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    member: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray | None = None
    shadows: Shadows | None = None

    def __post_init__(self):
        n, c = self.log_probabilities.shape
        for name, column in (("labels", self.labels), ("member", self.member), ("ids", self.ids)):
            if column is not None and column.shape != (n,):
                raise DataError(f"{name} is {column.shape}, but there are answers for {n} faces. Expected ({n},).")
        if len(self.classes) != c:
            raise DataError(f"There are {len(self.classes)} class names for {c} columns of answers.")
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= c))
        if bad.size:
            raise DataError(f"Row {bad[0]} has label {self.labels[bad[0]]}. Expected 0 to {c - 1}.")
        if self.shadows is not None:
            shapes = self.shadows.log_probabilities.shape, self.shadows.member.shape
            if shapes[0][1:] != (n, c) or shapes[1] != shapes[0][:2]:
                raise DataError(f"Shadows of {shapes[0]} and {shapes[1]}. Expected (S, {n}, {c}) and (S, {n}).")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class is the label, bool (N,)."""
        return self.log_probabilities.argmax(axis=1) == self.labels

    def take(self, rows: np.ndarray) -> "Predictions":
        """Return some of the faces."""
        shadows = self.shadows
        if shadows is not None:
            shadows = Shadows(shadows.log_probabilities[:, rows], shadows.member[:, rows])
        return replace(
            self, log_probabilities=self.log_probabilities[rows], labels=self.labels[rows], member=self.member[rows],
            ids=None if self.ids is None else self.ids[rows], shadows=shadows,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write a file that ``read`` reads."""
        columns = {
            "logits": self.log_probabilities, "labels": self.labels, "member": self.member,
            "classes": np.array(self.classes), **({} if self.ids is None else {"ids": self.ids.astype(str)}),
        }  # fmt: skip
        if self.shadows is not None:
            columns |= {"shadow_logits": self.shadows.log_probabilities, "shadow_member": self.shadows.member}
        with atomic.atomic_write(Path(path)) as part, part.open("wb") as file:
            np.savez(file, **columns)


def read(path: Path) -> Predictions:
    """Read a file of answers, an ``.npz`` as ``FORMAT`` says.

    Raises:
        UserError: no such file.
        DataError: it is no ``.npz`` file, lacks a column, or has one that does not fit.
    """
    if not Path(path).is_file():
        raise UserError(f"No file of answers at {Path(path).absolute()}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise DataError(f"{path} is no .npz file without pickles ({error}).") from None
    try:
        return _of(columns)
    except UserError as error:
        raise DataError(f"{path}: {error}") from None


def _of(columns: Mapping[str, np.ndarray]) -> Predictions:
    missing = [name for name in ("labels", "member") if name not in columns]
    if missing or not {"logits", "probabilities"} & columns.keys():
        raise DataError(f"no {(missing or ['logits or probabilities'])[0]} in it. Expected:\n{FORMAT}")
    found = _log_probabilities(columns, "")
    if found.ndim != 2:
        raise DataError(f"answers are {found.shape}. Expected (N, C).")
    labels, member = columns["labels"], columns["member"]
    if labels.dtype.kind not in "iu" or not set(np.unique(member)) <= {0, 1}:
        raise DataError(
            f"labels are {labels.dtype}, member is {member.dtype}. Expected whole numbers and true or false."
        )
    classes = columns.get("classes", np.arange(found.shape[1]))
    shadows = None
    if {"shadow_logits", "shadow_probabilities"} & columns.keys():
        if "shadow_member" not in columns:
            raise DataError("it has shadow answers, but no shadow_member.")
        shadows = Shadows(_log_probabilities(columns, "shadow_"), columns["shadow_member"].astype(bool))
    return Predictions(
        found, labels.astype(np.int64), member.astype(bool), tuple(map(str, classes)), columns.get("ids"), shadows
    )


def _log_probabilities(columns: Mapping[str, np.ndarray], prefix: str) -> np.ndarray:
    if f"{prefix}logits" in columns:
        return scores.from_logits(columns[f"{prefix}logits"])
    return scores.from_probabilities(columns[f"{prefix}probabilities"])
