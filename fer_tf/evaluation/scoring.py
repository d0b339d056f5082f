"""Compute all scores of a network on one split, as one flat record."""

from typing import Any

import numpy as np

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet
from fer_tf.metrics import calibration, classification, distribution
from fer_tf.metrics.probabilities import log_softmax


def scores(
    logits: np.ndarray, table_or_targets: FaceTable | np.ndarray, label_set: LabelSet | None = None
) -> dict[str, Any]:
    """Score logits against the targets of the faces.

    Args:
        logits: float (N, C).
        table_or_targets: a ``FaceTable``, or targets (N, C) with rows that sum to 1.
        label_set: names of the C classes; needed with targets, a table has its own.

    Returns:
        A dict that JSON can hold: ``faces``; ``accuracy``, ``macro_f1``, ``balanced_accuracy`` of the most probable
        class; ``nll`` (nats), ``ece``, ``brier``; means of the six distribution measures; ``classes``; ``recall`` by
        class (``None`` for a class that no face has); ``precision`` by class (``None`` for one that is never
        predicted); ``confusion``, a row for each true class.

    Raises:
        UserError: shapes that differ, or logits that are not finite.

    Example:
        >>> import numpy as np
        >>> from fer_tf import evaluation
        >>> from fer_tf.labels import LabelSet
        >>> logits = np.array([[2.0, 0.0], [1.0, 0.0]])
        >>> evaluation.scores(logits, np.eye(2), LabelSet("two", ("happy", "sad")))["accuracy"]
        0.5
    """
    if isinstance(table_or_targets, FaceTable):
        targets, label_set = table_or_targets.targets, table_or_targets.label_set
    elif label_set is None:
        raise UserError("Targets without a table need a label_set.")
    else:
        targets = np.asarray(table_or_targets)
    logits = np.asarray(logits)
    if logits.shape != targets.shape or logits.shape[1:] != (len(label_set),):
        raise UserError(f"Logits {logits.shape} and targets {targets.shape} must both be (N, {len(label_set)}).")
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise UserError(f"Logits of row {bad[0]} are not finite: {logits[bad[0]].tolist()}.")
    return {**_confidence(targets, logits), **_classes(targets.argmax(axis=1), logits.argmax(axis=1), label_set)}


def _confidence(targets: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return the scores of probabilities."""
    log_probabilities = log_softmax(logits)
    probabilities = np.exp(log_probabilities)
    return {
        "nll": calibration.negative_log_likelihood(targets, log_probabilities),
        "ece": calibration.expected_calibration_error(targets, probabilities),
        "brier": calibration.brier_score(targets, probabilities),
        **distribution.distribution_means(targets, probabilities),
    }


def _classes(labels: np.ndarray, predicted: np.ndarray, label_set: LabelSet) -> dict[str, Any]:
    """Return the scores of the most probable class."""
    confusion = classification.confusion_matrix(labels, predicted, len(label_set))
    recall = classification.recall(confusion)
    return {
        "faces": len(labels),
        "accuracy": float((labels == predicted).mean()),
        "macro_f1": float(np.nanmean(classification.f1(confusion))),
        "balanced_accuracy": float(np.nanmean(recall)),
        "classes": list(label_set.classes),
        "recall": _by_class(label_set, recall),
        "precision": _by_class(label_set, classification.precision(confusion)),
        "confusion": confusion.tolist(),
    }


def _by_class(label_set: LabelSet, values: np.ndarray) -> dict[str, float | None]:
    return {name: None if np.isnan(v) else v for name, v in zip(label_set.classes, values.tolist(), strict=True)}
