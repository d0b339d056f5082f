"""From faces and raw votes to a table with targets: what FER+ and the drawn faces that stand for it share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.datasets.votes import MODES, filter_votes
from fer_tf.errors import UserError, unknown_name
from fer_tf.facetable import FaceTable
from fer_tf.labels import FERPLUS, tempered

EVALUATIONS = ("majority", "cross_entropy")
LABELS = ("votes", "fer2013")


@dataclass(frozen=True)
class Reading:
    """How votes become targets.

    Attributes:
        mode: rule of the training faces, which chooses them and gives their targets; one of ``votes.MODES``.
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
    reading: Reading,
    single: np.ndarray | None = None,
    skipped: tuple[str, ...] = (),
) -> FaceTable:
    """Apply FER+'s rules to the faces of each split, and leave out those that the rules drop.

    Args:
        images: uint8 (N, H, W, C).
        ids: N names.
        split: str (N,).
        votes: counts (N, 10), columns ``votes.VOTE_CLASSES``.
        reading: how votes become targets.
        single: float32 (N, 8), FER2013's labels as rows over ``FERPLUS``; needed where ``reading`` asks for them.
        skipped: see ``FaceTable``.
    """
    targets = np.zeros((len(votes), len(FERPLUS)), np.float32)
    for rule, rows in ((reading.mode, split == "train"), (reading.evaluation, split != "train")):
        filtered, kept = filter_votes(votes[rows], rule)
        targets[np.flatnonzero(rows)[kept]] = filtered
    index = np.flatnonzero(targets.any(axis=1))
    targets, trained = targets[index], split[index] == "train"
    if reading.labels == "fer2013":
        targets[trained] = single[index][trained]
    elif reading.temperature != 1:
        targets[trained] = tempered(targets[trained], reading.temperature)
    return FaceTable(
        images=images[index],
        targets=targets,
        label_set=FERPLUS,
        split=split[index],
        ids=np.array(ids)[index],
        votes=votes[index].astype(np.float32),
        draw_targets=reading.mode == "probability" and reading.labels == "votes",
        skipped=skipped,
    )
