"""Turn FER+ votes of ten annotators into label distributions.

The rules are those of the FER+ release (Barsoum et al. 2016, arXiv 1608.01041), in whole numbers so that every
threshold is exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import DataError, UserError, unknown_name
from fer_tf.facetable import FaceTable
from fer_tf.labels import FERPLUS, normalize, tempered

VOTE_CLASSES = (*FERPLUS.classes, "unknown", "NF")
EMOTIONS = len(FERPLUS)
EVALUATIONS = ("majority", "cross_entropy")
LABELS = ("votes", "fer2013")


def filter_votes(votes: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Turn vote counts into targets by one of the four FER+ rules, and drop the faces that taggers disagree on.

    Args:
        votes: whole numbers ≥ 0 of shape (N, 10), columns ``VOTE_CLASSES``.
        mode: ``majority`` (one-hot), ``probability``, ``cross_entropy`` or ``multi_target`` (shares of the votes
            that each rule keeps; the set of classes that count for the multi-target loss is ``targets > 0``).

    Returns:
        float32 targets (M, 8) over ``FERPLUS``, rows sum to 1, and the int64 indices (M,) of the faces kept.

    Raises:
        UserError: unknown mode.
        DataError: the votes are no (N, 10) table of counts.
    """
    if mode not in MODES:
        raise unknown_name("FER+ mode", mode, MODES)
    votes = np.asarray(votes)
    if votes.ndim != 2 or votes.shape[1] != len(VOTE_CLASSES) or not np.array_equal(votes, votes.astype(np.int64)):
        raise DataError(f"Votes must be whole numbers (N, {len(VOTE_CLASSES)}), got {votes.dtype} {votes.shape}.")
    if (votes < 0).any():
        raise DataError(f"Votes of row {np.flatnonzero((votes < 0).any(axis=1))[0]} are negative.")
    # Few taggers give few patterns (5,335 among 35,887 faces), so the rule is applied once to each.
    patterns, which = np.unique(votes.astype(np.int64), axis=0, return_inverse=True)
    rows = np.array([_distribution(p.tolist(), mode) for p in patterns]).reshape(-1, EMOTIONS)
    targets = rows[which.reshape(-1)]
    kept = np.flatnonzero(targets.any(axis=1))
    return targets[kept].astype(np.float32), kept


def vote_shares(votes: np.ndarray) -> np.ndarray:
    """Return each face's share of votes for the eight expressions, before any rule: what taggers said, outliers too.

    Args:
        votes: counts (N, 10), columns ``VOTE_CLASSES``; every row has a vote for an expression.

    Returns:
        float32 (N, 8), rows sum to 1.
    """
    return normalize(np.asarray(votes)[:, :EMOTIONS])


def _distribution(votes: list[int], mode: str) -> list[float]:
    """Return the target over the eight expressions, all zeros for a face to drop."""
    votes = [v if v > 1 else 0 for v in votes]
    kept = MODES[mode](votes, sum(votes))
    if not any(kept) or kept.index(max(kept)) >= EMOTIONS:
        return [0.0] * EMOTIONS
    kept = kept[:EMOTIONS]
    return [v / sum(kept) for v in kept]


def _majority(votes: list[int], total: int) -> list[int]:
    """Keep the largest count if it is more than half of all."""
    return [v if 2 * v > total and v == max(votes) else 0 for v in votes]


def _multi_target(votes: list[int], total: int) -> list[int]:
    """Keep every count of at least 30 % of all, if together they are more than half."""
    kept = [v if 10 * v >= 3 * total else 0 for v in votes]
    return kept if 2 * sum(kept) > total else [0] * len(votes)


def _share(votes: list[int], total: int) -> list[int]:
    """Keep the largest counts until they make 75 %, ties together; drop the face above three classes.

    A scan that meets *unknown* or *NF* ends there; that class stays only if it is the first one kept.
    """
    left, kept, open_ = list(votes), [0] * len(votes), True
    while open_ and any(left) and 4 * sum(kept) < 3 * total and sum(v > 0 for v in kept) < 3:
        largest = max(left)
        for i in (i for i, v in enumerate(votes) if left[i] == largest == v):
            open_ = i < EMOTIONS
            if open_ or not any(kept):
                kept[i] = largest
            left[i] = 0
            if not open_:
                break
    too_many = sum(v > 0 for v in kept) > 3
    return [0] * len(votes) if too_many or 2 * sum(kept) <= total else kept


MODES: Mapping[str, Callable[[list[int], int], list[int]]] = {
    "majority": _majority,
    "multi_target": _multi_target,
    "probability": _share,
    "cross_entropy": _share,
}


@dataclass(frozen=True)
class VotePolicy:
    """How votes become targets.

    Attributes:
        mode: rule of the training faces, which chooses them and gives their targets; one of ``MODES``.
        evaluation: rule of validation and test, ``majority`` or ``cross_entropy``.
        labels: ``votes``; or ``fer2013``: the training faces that ``mode`` keeps have FER2013's single label instead.
        temperature: of the training targets, see ``labels.tempered``; with 0 all faces that ``mode`` keeps have what
            most taggers said.

    Raises:
        UserError: an unknown word, or a temperature that would change nothing.
    """

    mode: str = "majority"
    evaluation: str = "majority"
    labels: str = "votes"
    temperature: float = 1.0

    def __post_init__(self):
        for kind, name, known in (
            ("FER+ mode", self.mode, MODES), ("FER+ evaluation", self.evaluation, EVALUATIONS),
            ("FER+ labels", self.labels, LABELS),
        ):  # fmt: skip
            if name not in known:
                raise unknown_name(kind, name, known)
        soft = self.mode in ("probability", "cross_entropy") and self.labels == "votes"
        if self.temperature != 1 and not soft:
            reason = f"mode={self.mode!r}" if self.labels == "votes" else f"labels={self.labels!r}"
            raise UserError(f"temperature={self.temperature!r} changes nothing with {reason}. Leave it out.")


def voted_table(
    images: np.ndarray,
    ids: Sequence[str],
    split: np.ndarray,
    votes: np.ndarray,
    policy: VotePolicy,
    single: np.ndarray | None = None,
    skipped: tuple[str, ...] = (),
) -> FaceTable:
    """Apply FER+'s rules to the faces of each split, and leave out those that the rules drop.

    Args:
        images: uint8 (N, H, W, C).
        ids: N names.
        split: str (N,).
        votes: counts (N, 10), columns ``VOTE_CLASSES``.
        policy: how votes become targets.
        single: float32 (N, 8), FER2013's labels as rows over ``FERPLUS``; needed where ``policy`` asks for them.
        skipped: see ``FaceTable``.
    """
    targets = np.zeros((len(votes), len(FERPLUS)), np.float32)
    for rule, rows in ((policy.mode, split == "train"), (policy.evaluation, split != "train")):
        filtered, kept = filter_votes(votes[rows], rule)
        targets[np.flatnonzero(rows)[kept]] = filtered
    index = np.flatnonzero(targets.any(axis=1))
    targets, trained = targets[index], split[index] == "train"
    if policy.labels == "fer2013":
        targets[trained] = single[index][trained]
    elif policy.temperature != 1:
        targets[trained] = tempered(targets[trained], policy.temperature)
    return FaceTable(
        images=images[index],
        targets=targets,
        label_set=FERPLUS,
        split=split[index],
        ids=np.array(ids)[index],
        votes=votes[index].astype(np.float32),
        draw_targets=policy.mode == "probability" and policy.labels == "votes",
        skipped=skipped,
    )
