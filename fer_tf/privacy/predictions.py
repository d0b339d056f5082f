"""Draw the faces of an audit, and store predictions for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_tf.errors import DataError, UserError
from fer_tf.io import atomic
from fer_tf.metrics.distribution import log_softmax
from fer_tf.models.saving import open_archive


def balanced_rows(labels: np.ndarray, member: np.ndarray, most: int | None = None, seed: int = 0) -> np.ndarray:
    """Draw as many members as non-members of every class.

    Otherwise an attack could profit from classes that are more frequent on one side.

    Args:
        labels: int (N,).
        member: bool (N,).
        most: about how many members at most, and as many non-members; every class keeps at least one. ``None`` draws
            all that can be balanced.
        seed: of the draw.

    Returns:
        Rows, int (M,), in ascending order.

    Raises:
        UserError: no class has members and non-members.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> labels, member = np.array([0, 0, 1, 0, 1]), np.array([True, True, True, False, False])
        >>> rows = privacy.balanced_rows(labels, member)
        >>> len(rows), int(member[rows].sum())
        (4, 2)
    """
    rng = np.random.default_rng([seed, 0xBA1A])
    sides = [np.bincount(labels[member == side], minlength=labels.max() + 1) for side in (True, False)]
    wanted = np.minimum(*sides)
    if not wanted.any():
        raise UserError("No class has both members and non-members. Expected faces of the same classes on both sides.")
    if most is not None and wanted.sum() > most:
        wanted = np.where(wanted > 0, np.maximum(wanted * most // wanted.sum(), 1), 0)
    chosen = [
        rng.permutation(np.flatnonzero((labels == label) & (member == side)))[:count]
        for label, count in enumerate(wanted)
        for side in (True, False)
    ]
    return np.sort(np.concatenate(chosen))


def halves(strata: np.ndarray, seed: int = 0) -> np.ndarray:
    """Divide rows into halves in which every stratum differs by at most one row.

    Args:
        strata: int (N,), a number for each group of rows.
        seed: of the draw.

    Returns:
        bool (N,), true for one half.
    """
    rng = np.random.default_rng([seed, 0x4A1F])
    order = np.lexsort((rng.random(len(strata)), strata))
    half = np.empty(len(strata), bool)
    half[order] = np.arange(len(strata)) % 2 == 0
    return half


def audit_halves(labels: np.ndarray, member: np.ndarray, seed: int = 0) -> np.ndarray:
    """Divide the audited faces into halves, stratified by class and membership; bool (N,)."""
    return halves(member * (labels.max() + 1) + labels, seed)


def shadow_halves(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Choose the faces that each shadow model is trained on.

    Shadow models come in pairs that share all faces between them, stratified by class, so that half of the models have
    seen each face.

    Args:
        labels: int (N,).
        count: number S of shadow models.
        seed: of the halves.

    Returns:
        bool (S, N).

    Raises:
        UserError: an odd number of models, or none.
    """
    if count < 2 or count % 2:
        raise UserError(
            f"{count} shadow models. Expected an even number from 2 on: pairs share the faces between them."
        )
    first = [halves(labels, seed + pair) for pair in range(count // 2)]
    return np.stack([half for mask in first for half in (mask, ~mask)])


# What a file of predictions holds: logits or probabilities, the labels, and which faces were in the training.
FORMAT = """\
logits        float (N, C), or probabilities float (N, C)
labels        int (N,), from 0 to C - 1
member        bool (N,), true for faces that the network was trained on
classes       str (C,), optional
ids           str (N,), optional
shadow_logits float (S, N, C), optional: logits of S networks that were trained like this one
shadow_member bool (S, N), which of the faces each of them was trained on"""

# Probabilities given as numbers are raised to this, the smallest float32, before their logarithm.
_SMALLEST = 1e-45


def from_logits(logits: np.ndarray) -> np.ndarray:
    """Turn logits into log-probabilities.

    Args:
        logits: float (…, C), C ≥ 2.

    Returns:
        float64 (…, C), in nats.

    Raises:
        UserError: fewer than two classes, or a number that is not finite.

    Example:
        >>> from fer_tf import privacy
        >>> privacy.from_logits([[2.0, 2.0]]).round(4)
        array([[-0.6931, -0.6931]])
    """
    logits = np.asarray(logits, np.float64)
    _check("Logits", logits)
    return log_softmax(logits)


def from_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Turn probabilities into log-probabilities.

    Args:
        probabilities: float (…, C), C ≥ 2, rows sum to 1. A probability of 0 is raised to 1e-45.

    Returns:
        float64 (…, C), in nats.

    Raises:
        UserError: fewer than two classes, or a row that is not a distribution.

    Example:
        >>> from fer_tf import privacy
        >>> privacy.from_probabilities([[0.5, 0.5]]).round(4)
        array([[-0.6931, -0.6931]])
    """
    p = np.asarray(probabilities, np.float64)
    _check("Probabilities", p)
    rows = p.reshape(-1, p.shape[-1])
    bad = np.flatnonzero((rows < 0).any(axis=1) | (np.abs(rows.sum(axis=1) - 1) > 1e-3))
    if bad.size:
        raise UserError(
            f"Row {bad[0]} is not a distribution: {rows[bad[0]].tolist()}. Expected sum 1, no value below 0."
        )
    return np.log(np.maximum(p, _SMALLEST))


def _check(name: str, values: np.ndarray) -> None:
    if values.ndim < 2 or values.shape[-1] < 2 or not values.size:
        raise UserError(f"{name} must be (N, C) with C of two or more and N > 0, got {values.shape}.")
    bad = np.flatnonzero(~np.isfinite(values.reshape(-1, values.shape[-1])).all(axis=1))
    if bad.size:
        raise UserError(f"{name} of row {bad[0]} are not finite.")


@dataclass(frozen=True, eq=False)
class ShadowPredictions:
    """Predictions of S shadow models, which were trained like the audited one on known faces.

    Attributes:
        log_probabilities: float64 (S, N, C).
        member: bool (S, N), whether shadow model s was trained on face n.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> shadows = privacy.ShadowPredictions(np.log(np.full((2, 4, 7), 1 / 7)), np.array([[1, 1, 0, 0]] * 2, bool))
        >>> shadows.member.sum(axis=0)
        array([2, 2, 0, 0])
    """

    log_probabilities: np.ndarray
    member: np.ndarray


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a network for N faces, some of which it was trained on.

    Attributes:
        log_probabilities: float64 (N, C), in nats.
        labels: int64 (N,), the labels that the attacker knows.
        member: bool (N,), whether the network was trained on the face.
        classes: C names.
        ids: str (N,), or ``None``.
        shadows: predictions of shadow models, or ``None``.

    Raises:
        DataError: shapes that do not belong together, or a label out of range.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> logits, labels = np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([0, 0])
        >>> found = privacy.Predictions(privacy.from_logits(logits), labels, np.array([True, False]), ("sad", "happy"))
        >>> found.right
        array([ True, False])
    """

    log_probabilities: np.ndarray
    labels: np.ndarray
    member: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray | None = None
    shadows: ShadowPredictions | None = None

    def __post_init__(self):
        n, c = self.log_probabilities.shape
        for name, column in (("labels", self.labels), ("member", self.member), ("ids", self.ids)):
            if column is not None and column.shape != (n,):
                raise DataError(f"{name} is {column.shape}, but there are predictions for {n} faces. Expected ({n},).")
        if len(self.classes) != c:
            raise DataError(f"There are {len(self.classes)} class names for {c} columns of predictions.")
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= c))
        if bad.size:
            raise DataError(f"Row {bad[0]} has label {self.labels[bad[0]]}. Expected 0 to {c - 1}.")
        if self.shadows is not None:
            shapes = self.shadows.log_probabilities.shape, self.shadows.member.shape
            if shapes[0][1:] != (n, c) or shapes[1] != shapes[0][:2]:
                raise DataError(
                    f"Shadow predictions of {shapes[0]} and {shapes[1]}. Expected (S, {n}, {c}) and (S, {n})."
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class is the label, bool (N,)."""
        return self.log_probabilities.argmax(axis=1) == self.labels

    def take(self, rows: np.ndarray) -> "Predictions":
        """Return the predictions for some of the faces."""
        shadows = self.shadows
        if shadows is not None:
            shadows = ShadowPredictions(shadows.log_probabilities[:, rows], shadows.member[:, rows])
        return replace(
            self, log_probabilities=self.log_probabilities[rows], labels=self.labels[rows], member=self.member[rows],
            ids=None if self.ids is None else self.ids[rows], shadows=shadows,
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Write a file that ``read_predictions`` reads."""
        columns = {
            "logits": self.log_probabilities, "labels": self.labels, "member": self.member,
            "classes": np.array(self.classes), **({} if self.ids is None else {"ids": self.ids.astype(str)}),
        }  # fmt: skip
        if self.shadows is not None:
            columns |= {"shadow_logits": self.shadows.log_probabilities, "shadow_member": self.shadows.member}
        with atomic.atomic_write(Path(path)) as part, part.open("wb") as file:
            np.savez(file, **columns)


def read_predictions(path: Path) -> Predictions:
    """Read predictions from an ``.npz`` file, of which ``FORMAT`` lists the arrays.

    Args:
        path: the file.

    Returns:
        Its predictions.

    Raises:
        UserError: no such file.
        DataError: not an ``.npz`` file, an array is missing, or one does not fit.

    Example:
        >>> import tempfile, pathlib, numpy as np
        >>> from fer_tf import privacy
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "predictions.npz")
        ...     np.savez(path, logits=np.eye(3), labels=np.arange(3), member=np.array([True, True, False]))
        ...     len(privacy.read_predictions(path))
        3
    """
    if not Path(path).is_file():
        raise UserError(f"No file of predictions at {Path(path).absolute()}.")
    try:
        with open_archive(path, ".npz"), np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, AttributeError, MemoryError) as error:
        raise DataError(f"{path} is not an .npz file without pickles ({error}).") from None
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
        raise DataError(f"the predictions are {found.shape}. Expected (N, C).")
    labels, member = columns["labels"], columns["member"]
    if labels.dtype.kind not in "iu" or not set(np.unique(member)) <= {0, 1}:
        raise DataError(
            f"labels are {labels.dtype}, member is {member.dtype}. Expected whole numbers and true or false."
        )
    classes = columns.get("classes", np.arange(found.shape[1]))
    shadows = None
    if {"shadow_logits", "shadow_probabilities"} & columns.keys():
        if "shadow_member" not in columns:
            raise DataError("it has shadow predictions, but no shadow_member.")
        shadows = ShadowPredictions(_log_probabilities(columns, "shadow_"), columns["shadow_member"].astype(bool))
    return Predictions(
        found, labels.astype(np.int64), member.astype(bool), tuple(map(str, classes)), columns.get("ids"), shadows
    )


def _log_probabilities(columns: Mapping[str, np.ndarray], prefix: str) -> np.ndarray:
    if f"{prefix}logits" in columns:
        return from_logits(columns[f"{prefix}logits"])
    return from_probabilities(columns[f"{prefix}probabilities"])
