"""How often the most probable class is right.

``labels`` and ``predicted`` are int (N,), each in [0, C). **Absent classes**: recall is NaN for a class that no face
has, precision is NaN for a class that is never predicted. Balanced accuracy averages the recall of the classes that
occur in ``labels``; macro-F1 averages over the classes that occur in ``labels`` or ``predicted``, so a class predicted
but absent counts 0. Both are the conventions of scikit-learn's functions without ``labels=``.
"""

import numpy as np

from fer_tf.errors import UserError


def _check(labels: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as int arrays; raise a ``UserError`` unless they have one shape (N,) with N > 0."""
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1 or not labels.size:
        raise UserError(f"labels {labels.shape} and predicted {predicted.shape} must have one shape (N,), N > 0.")
    return labels, predicted


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count faces by true class (row) and predicted class (column), int64 (C, C).

    Raises:
        UserError: shapes differ, or an index is not in [0, num_classes).
    """
    labels, predicted = _check(labels, predicted)
    for name, indices in (("labels", labels), ("predicted", predicted)):
        bad = np.flatnonzero((indices < 0) | (indices >= num_classes))
        if bad.size:
            raise UserError(f"Row {bad[0]} of {name} is {indices[bad[0]]}. Expected 0 to {num_classes - 1}.")
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of faces that are right, in [0, 1]."""
    labels, predicted = _check(labels, predicted)
    return float((labels == predicted).mean())


def recall(confusion: np.ndarray) -> np.ndarray:
    """Return, for each class, the share of its faces that were found, float64 (C,), from a confusion matrix."""
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def precision(confusion: np.ndarray) -> np.ndarray:
    """Return, for each class, the share of its predictions that are right, float64 (C,), from a confusion matrix."""
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def f1(confusion: np.ndarray) -> np.ndarray:
    """Return each class's harmonic mean of precision and recall, float64 (C,); NaN where the class never occurs."""
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Return the mean recall of the classes that occur in ``labels``, in [0, 1]."""
    return float(np.nanmean(recall(confusion_matrix(labels, predicted, num_classes))))


def macro_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Return the mean F1 of the classes that occur in ``labels`` or ``predicted``, in [0, 1]."""
    return float(np.nanmean(f1(confusion_matrix(labels, predicted, num_classes))))
