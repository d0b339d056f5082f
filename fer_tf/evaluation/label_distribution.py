"""Compare predictions with the label distributions of several annotators."""

from typing import Any

import numpy as np

from fer_tf.datasets.ferplus_votes import EMOTIONS, vote_shares
from fer_tf.facetable import FaceTable
from fer_tf.metrics import distribution
from fer_tf.metrics.probabilities import softmax


def distribution_scores(logits: np.ndarray, table: FaceTable) -> dict[str, Any]:
    """Score logits against the label distributions of a table.

    Args:
        logits: float (N, C).
        table: N faces whose targets are distributions.

    Returns:
        A dict that JSON can hold: ``faces``; the means of the six distribution measures (``fer_tf.metrics``);
        ``entropy_correlation`` of the predictions and the raw votes where the table has those of FER+, else the
        targets (``None`` where all entropies are equal); ``named``, the share of faces whose predicted class has a
        target above 0.

    Raises:
        UserError: shapes that differ.

    Example:
        >>> import numpy as np
        >>> from fer_tf import datasets, evaluation
        >>> table = datasets.load_synthetic_ferplus(faces=9, mode="probability").test
        >>> logits = np.log(np.maximum(table.targets, 1e-9))
        >>> evaluation.distribution_scores(logits, table)["named"]
        1.0
    """
    probabilities = softmax(logits)
    has_votes = table.votes is not None and table.targets.shape[1] == EMOTIONS
    votes = vote_shares(table.votes) if has_votes else table.targets
    correlation = distribution.entropy_correlation(votes, probabilities)
    named = table.targets[np.arange(len(table)), probabilities.argmax(axis=1)] > 0
    return {
        "faces": len(table),
        **distribution.distribution_means(table.targets, probabilities),
        "entropy_correlation": None if np.isnan(correlation) else correlation,
        "named": float(named.mean()),
    }
