"""The confusion matrix, and recall, precision and F1 of each class from it.

The mean recall of the classes that occur is balanced accuracy, the mean F1 is macro-F1. The values are scikit-learn's.
That package itself is not needed: where it is installed, ``import keras`` imports it, which adds 0.8 s to each command.
"""

import numpy as np

from fer_tf.errors import UserError


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count faces by true class (row) and predicted class (column).

    Args:
        labels: int (N,), the true classes, from 0 to C − 1.
        predicted: int (N,), the predicted classes, from 0 to C − 1.
        num_classes: C.

    Returns:
        int64 (C, C).

    Raises:
        UserError: shapes differ, there is no face, or an index is not from 0 to C − 1.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2)
        array([[1, 1],
               [0, 1]])
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape or labels.ndim != 1 or not labels.size:
        raise UserError(f"labels {labels.shape} and predicted {predicted.shape} must have one shape (N,), N > 0.")
    for name, indices in (("labels", labels), ("predicted", predicted)):
        bad = np.flatnonzero((indices < 0) | (indices >= num_classes))
        if bad.size:
            raise UserError(f"Row {bad[0]} of {name} is {indices[bad[0]]}. Expected 0 to {num_classes - 1}.")
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def recall(confusion: np.ndarray) -> np.ndarray:
    """Compute the share of the faces of each class that were found.

    Args:
        confusion: int (C, C), from ``confusion_matrix``.

    Returns:
        float64 (C,), from 0 to 1; NaN for a class that no face has.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.recall(metrics.confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=3))
        array([0.5, 1. , nan])
    """
    confusion = np.asarray(confusion)
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def precision(confusion: np.ndarray) -> np.ndarray:
    """Compute the share of the predictions of each class that are right.

    Args:
        confusion: int (C, C), from ``confusion_matrix``.

    Returns:
        float64 (C,), from 0 to 1; NaN for a class that is never predicted.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.precision(metrics.confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=3))
        array([1. , 0.5, nan])
    """
    confusion = np.asarray(confusion)
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def f1(confusion: np.ndarray) -> np.ndarray:
    """Compute the F1 score of each class, the harmonic mean of precision and recall.

    Args:
        confusion: int (C, C), from ``confusion_matrix``.

    Returns:
        float64 (C,), from 0 to 1; NaN for a class that no face has and that is never predicted.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.f1(metrics.confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=3)).round(2)
        array([0.67, 0.67,  nan])
    """
    confusion = np.asarray(confusion)
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan)
