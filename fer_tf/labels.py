"""Define label sets and convert label distributions between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError, unknown_name

# One spelling a class for conversions; datasets name the same expression by noun or adjective.
SYNONYMS: Mapping[str, str] = {
    "anger": "angry", "disgusted": "disgust", "fearful": "fear", "happiness": "happy",
    "sadness": "sad", "surprised": "surprise", "contemptuous": "contempt",
}  # fmt: skip


def canonical(name: str) -> str:
    """Return the canonical spelling of a class: lower case, adjective.

    Example:
        >>> canonical(" Happiness ")
        'happy'
    """
    plain = name.strip().casefold()
    return SYNONYMS.get(plain, plain)


@dataclass(frozen=True)
class LabelSet:
    """Name and order the classes of a dataset, which are the columns of ``targets``.

    Attributes:
        name: Name of the label set.
        classes: Class names; no name occurs twice.

    Example:
        >>> from fer_tf import LabelSet
        >>> labels = LabelSet("two", ("happy", "sad"))
        >>> len(labels), labels.index("sad")
        (2, 1)
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self):
        seen: dict[str, str] = {}
        for name in self.classes:
            first = seen.get(canonical(name))
            seen[canonical(name)] = name
            if first is not None:
                how = "twice" if first == name else f"in two spellings, {first!r} and {name!r}"
                raise UserError(f"Label set {self.name!r} names a class {how}. Keep one of {', '.join(self.classes)}.")

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, label: str) -> int:
        """Return the column of a class name.

        Raises:
            UserError: the set has no such class.
        """
        if label not in self.classes:
            raise unknown_name(f"class of {self.name}", label, self.classes)
        return self.classes.index(label)


FER2013 = LabelSet("fer2013", ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"))
FERPLUS = LabelSet("ferplus", ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"))
RAFDB = LabelSet("rafdb", ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"))
AFFECTNET = LabelSet("affectnet", ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"))
AFFECTNET7 = LabelSet("affectnet7", AFFECTNET.classes[:7])
CKPLUS8 = LabelSet(
    "ckplus8", ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
)  # fmt: skip
CKPLUS = LabelSet("ckplus", CKPLUS8.classes[1:])
SFEW = LabelSet("sfew", ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"))
LFWFER = LabelSet("lfwfer", ("positive", "neutral", "negative"))
# A folder of classes that several sets share, in another order, takes the first of them.
LABEL_SETS: Mapping[str, LabelSet] = {
    s.name: s for s in (FER2013, FERPLUS, RAFDB, AFFECTNET, AFFECTNET7, CKPLUS, CKPLUS8, SFEW, LFWFER)
}

# What an expression is among LFW-FER's three. Surprise is left out, as contempt is where eight classes become seven:
# it may be either, and no rule of LFW-FER's authors is published. Give ``convert`` another mapping to keep it.
POLARITY: Mapping[str, str] = {
    "happy": "positive", "neutral": "neutral", "angry": "negative", "disgust": "negative", "fear": "negative",
    "sad": "negative", "contempt": "negative",
}  # fmt: skip
# Valence and arousal in −1 to 1, about where the circumplex of affect (Russell 1980) has each expression.
CIRCUMPLEX: Mapping[str, tuple[float, float]] = {
    "angry": (-0.55, 0.65), "disgust": (-0.65, 0.4), "fear": (-0.45, 0.8), "happy": (0.8, 0.35), "sad": (-0.7, -0.3),
    "surprise": (0.2, 0.8), "neutral": (0.0, 0.0), "contempt": (-0.55, 0.2),
}  # fmt: skip
MERGED: Mapping[str, Mapping[str, str]] = {LFWFER.name: POLARITY}


def one_hot(labels: Sequence[int] | np.ndarray, num_classes: int) -> np.ndarray:
    """Turn class indices into distributions.

    Args:
        labels: ints of shape (N,), each in [0, num_classes).
        num_classes: C.

    Returns:
        float32 of shape (N, C), one 1 a row.

    Raises:
        UserError: an index is out of range; names the row.
    """
    labels = np.asarray(labels, dtype=np.int64)
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if bad.size:
        raise UserError(f"Row {bad[0]} has label {labels[bad[0]]}. Expected 0 to {num_classes - 1}.")
    return np.eye(num_classes, dtype=np.float32)[labels]


def normalize(distributions: np.ndarray) -> np.ndarray:
    """Scale non-negative rows (N, C) to sum to 1, as float32. A row of zeros is an error."""
    rows = np.asarray(distributions, dtype=np.float64)
    sums = rows.sum(axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(sums[:, 0]) | (sums[:, 0] <= 0) | (rows < 0).any(axis=1))
    if bad.size:
        raise UserError(f"Row {bad[0]} is no distribution: {rows[bad[0]].tolist()}. Expected values ≥ 0, sum > 0.")
    return (rows / sums).astype(np.float32)


def tempered(distributions: np.ndarray, temperature: float) -> np.ndarray:
    """Sharpen or soften rows (N, C): p^(1/T), scaled to sum to 1, as float32. Classes of 0 stay 0.

    Args:
        distributions: rows that sum to 1.
        temperature: T ≥ 0; 1 changes nothing, more is softer, less is sharper. At 0 the most probable classes, one or
            several, share all.

    Raises:
        UserError: a temperature below 0.
    """
    if not temperature >= 0:
        raise UserError(f"temperature is {temperature!r}. Expected a number from 0 on.")
    rows = np.asarray(distributions, dtype=np.float64)
    highest = rows.max(axis=1, keepdims=True)
    if not temperature:
        return normalize(np.isclose(rows, highest, rtol=1e-6, atol=0))
    # Shares of the highest: at low temperatures powers of small probabilities alone would all be 0.
    return normalize((rows / highest) ** (1 / temperature))


def valence_arousal(shares: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return the mean place on the circumplex of affect of the shares of expressions.

    Args:
        shares: float (N, C), rows sum to 1.
        classes: C expressions, nouns or adjectives.

    Returns:
        float32 (N, 2), valence and arousal in −1 to 1.

    Example:

    >>> valence_arousal(np.array([[0.5, 0.5]]), ("happy", "neutral")).tolist()
    [[0.4000000059604645, 0.17499999701976776]]
    """
    places = np.array([CIRCUMPLEX[canonical(name)] for name in classes])
    return (shares @ places).astype(np.float32)


def convert(
    targets: np.ndarray, source: LabelSet, target: LabelSet, merged: Mapping[str, str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Move distributions from one label set to another by class name (noun and adjective forms are one).

    Mass of classes that ``target`` lacks is dropped and the rest scaled to sum to 1; a row whose whole mass is
    dropped is dropped itself. A row whose most probable class is dropped is dropped too, so that a face is never
    relabeled by the conversion.

    Args:
        targets: float (N, len(source)), rows sum to 1.
        source: label set of the columns.
        target: label set wanted.
        merged: class of ``target`` for classes of ``source`` (spelled as ``SYNONYMS`` spells them) that have another
            name there; ``None`` takes the row of ``MERGED``, which is ``POLARITY`` for LFW-FER's three classes.

    Returns:
        float32 (M, len(target)) and the int indices (M,) of the rows kept.

    Raises:
        UserError: the sets share no class, or ``source`` is coarser than ``target``.
    """
    column = _columns(source, target, merged)
    moved = np.zeros((len(targets), len(target)), np.float64)
    for i, c in enumerate(source.classes):
        if c in column:
            moved[:, column[c]] += targets[:, i]
    shared = np.array([c in column for c in source.classes])
    kept = np.flatnonzero(shared[np.asarray(targets).argmax(axis=1)])
    return normalize(moved[kept]), kept


def _columns(source: LabelSet, target: LabelSet, merged: Mapping[str, str] | None) -> dict[str, int]:
    """Return the column in ``target`` of each class of ``source`` that has one."""
    if source.name in MERGED and source.classes != target.classes:
        raise UserError(f"Label set {source.name!r} is coarser than {target.name!r}. Convert the other way.")
    merged = MERGED.get(target.name, {}) if merged is None or source.classes == target.classes else merged
    spelled = [canonical(c) for c in target.classes]
    plain = {c: canonical(c) for c in source.classes}
    column = {c: spelled.index(merged.get(p, p)) for c, p in plain.items() if merged.get(p, p) in spelled}
    if not column:
        raise UserError(f"Label sets {source.name!r} and {target.name!r} share no class.")
    return column
