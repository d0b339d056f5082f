"""How well a network foresees what several taggers say of a face, and whether it doubts where they do."""

from typing import Any

import numpy as np

from fer_tf.datasets.ferplus_votes import EMOTIONS, vote_shares
from fer_tf.facetable import FaceTable
from fer_tf.metrics import distribution
from fer_tf.metrics.probabilities import softmax


def distribution_scores(logits: np.ndarray, table: FaceTable) -> dict[str, Any]:
    """Score logits against the distributions of a table.

    Args:
        logits: float (N, C).
        table: N faces whose targets are distributions.

    Returns:
        ``faces``; the means of the six distribution measures; ``entropy_correlation`` with the entropy of the raw
        votes where the table has FER+'s, else of the targets (``None`` where it has no spread); ``named``, the share
        of faces whose most probable class is one that the targets allow.

    Raises:
        UserError: shapes that differ.
    """
    probabilities = softmax(logits)
    has_votes = table.votes is not None and table.targets.shape[1] == EMOTIONS
    opinions = vote_shares(table.votes) if has_votes else table.targets
    correlation = distribution.entropy_correlation(opinions, probabilities)
    named = table.targets[np.arange(len(table)), probabilities.argmax(axis=1)] > 0
    return {
        "faces": len(table),
        **distribution.distribution_means(table.targets, probabilities),
        "entropy_correlation": None if np.isnan(correlation) else correlation,
        "named": float(named.mean()),
    }
