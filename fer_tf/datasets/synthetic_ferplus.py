"""Drawn faces with FER+'s target modes, so that studies of label distributions run without a download."""

from dataclasses import replace

import numpy as np

from fer_tf.datasets import synthetic
from fer_tf.datasets.draws import RowDraws
from fer_tf.datasets.voted import Reading, voted_table
from fer_tf.facetable import FaceTable
from fer_tf.labels import FERPLUS, normalise, one_hot

# The stream of the single labels, beside those of people and faces.
_LABELS = 2


def load(
    faces: int = 2400,
    size: int = 48,
    seed: int = 0,
    mode: str = "majority",
    evaluation: str = "majority",
    labels: str = "votes",
    temperature: float = 1.0,
    skip_bad: bool = False,
) -> FaceTable:
    """Draw faces, let ten simulated taggers vote, and read the votes as FER+ reads them.

    Args:
        faces, size, seed, skip_bad: see ``synthetic.load``.
        mode, evaluation, labels, temperature: see ``voted.Reading``. The single label that stands for FER2013's is what
            one tagger, drawn anew, says: as likely as the votes, contempt left out.

    Returns:
        The faces that the rules keep, with votes, landmarks and the other columns of ``synthetic.load``.

    Raises:
        UserError: an option is out of range.
    """
    reading = Reading(mode, evaluation, labels, temperature)
    drawn = synthetic.load(faces=faces, size=size, seed=seed, label_set=FERPLUS.name, skip_bad=skip_bad)
    single = _single_labels(drawn.votes, seed)
    table = voted_table(drawn.images, drawn.ids, drawn.split, drawn.votes.astype(np.int64), reading, single)
    rows = np.flatnonzero(np.isin(drawn.ids, table.ids))
    return replace(drawn.take(rows), targets=table.targets, draw_targets=table.draw_targets)


def _single_labels(votes: np.ndarray, seed: int) -> np.ndarray:
    """Draw one label a face from votes (N, 10): float32 (N, 8), one-hot."""
    contempt = FERPLUS.index("contempt")  # the last one, which FER2013 lacks
    # A tenth of a vote for each of the others, so that a face that all call contempt has a label.
    shares = normalise(votes[:, :contempt] + 0.1)
    drawn = RowDraws(seed, _LABELS, range(len(votes)), uniforms=1, normals=0).choice(shares)
    return one_hot(drawn[:, 0], len(FERPLUS))
