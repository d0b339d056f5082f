"""Measure classification, and measure and fit the calibration of probabilities.

The mean recall of the classes that occur is balanced accuracy, the mean F1 is macro-F1. The values are scikit-learn's.
That package itself is not needed: where it is installed, ``import keras`` imports it, which adds 0.8 s to each command.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError
from fer_tf.metrics.distribution import check_pair, softmax


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


BINS = 15
# Where the likelihood has no minimum (all faces right, or worse than chance), the nearer bound is the answer.
TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Faces by confidence (the highest probability), in bins of equal width.

    Attributes:
        edges: float64 (B + 1,), from 0 to 1; bin b holds confidences in (edges[b], edges[b + 1]].
        count: int64 (B,), faces in each bin.
        confidence: float64 (B,), their mean confidence; NaN in an empty bin.
        accuracy: float64 (B,), the share of them that is right; NaN in an empty bin.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> table = metrics.reliability(np.eye(2), np.array([[0.9, 0.1], [0.6, 0.4]]), bins=2)
        >>> table.count, table.accuracy
        (array([0, 2]), array([nan, 0.5]))
    """

    edges: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(targets: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort faces into bins by confidence, with the accuracy of each bin.

    Args:
        targets: float (N, C); a face is right when its most probable class is that of its target.
        probabilities: float (N, C), rows sum to 1.
        bins: number B of bins.

    Returns:
        A ``Reliability``, the numbers of a reliability diagram.

    Raises:
        UserError: shapes that differ, or no face.

    References:
        arXiv 1706.04599.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.reliability(np.eye(2), np.array([[0.9, 0.1], [0.6, 0.4]]), bins=2).confidence
        array([ nan, 0.75])
    """
    targets, probabilities = check_pair(targets, probabilities)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets.argmax(axis=1)
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.where(count > 0, np.bincount(index, values, minlength=bins) / np.maximum(count, 1), np.nan)

    return Reliability(edges, count, mean(confidence), mean(right))


def expected_calibration_error(targets: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Compute the mean over faces of |confidence − accuracy| of their bin.

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.
        bins: number of bins of equal width.

    Returns:
        From 0 to 1.

    Raises:
        UserError: shapes that differ, or no face.

    References:
        arXiv 1706.04599.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.expected_calibration_error(np.eye(2), np.array([[0.75, 0.25], [0.75, 0.25]]))
        0.25
    """
    table = reliability(targets, probabilities, bins)
    return float(np.nansum(table.count * np.abs(table.confidence - table.accuracy)) / table.count.sum())


def brier_score(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the Brier score, the mean over faces of Σ_k (p_k − t_k)².

    Args:
        targets: float (N, C), rows sum to 1.
        probabilities: float (N, C), rows sum to 1.

    Returns:
        From 0 to 2.

    Raises:
        UserError: shapes that differ, or no face.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> metrics.brier_score(np.array([[1, 0]]), np.array([[0.5, 0.5]]))
        0.5
    """
    targets, probabilities = check_pair(targets, probabilities)
    return float(np.square(probabilities - targets).sum(axis=1).mean())


def negative_log_likelihood(targets: np.ndarray, log_probabilities: np.ndarray) -> float:
    """Compute the mean over faces of −Σ_k t_k log p_k.

    A target of 0 adds 0, also where the probability is 0.

    Args:
        targets: float (N, C), rows sum to 1.
        log_probabilities: float (N, C), in nats.

    Returns:
        In nats.

    Raises:
        UserError: shapes that differ, or no face.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> round(metrics.negative_log_likelihood(np.array([[1, 0]]), np.log([[0.5, 0.5]])), 4)
        0.6931
    """
    targets, log_probabilities = check_pair(targets, log_probabilities)
    terms = np.where(targets > 0, targets, 0) * np.where(targets > 0, log_probabilities, 0)
    return float(-terms.sum(axis=1).mean())


def prior_shift(training: Sequence[float], wanted: Sequence[float], strength: float = 1.0) -> np.ndarray:
    """Compute what to add to logits so that they answer for other shares of the classes (logit adjustment).

    A network that saw many neutral faces says "neutral" where it is in doubt. Adding
    strength · (log wanted − log training) to its logits takes that back.

    Args:
        training: C shares of the classes in the training targets, above 0.
        wanted: C shares to answer for, above 0; equal ones favor the mean recall of the classes.
        strength: 0 changes nothing, 1 replaces the prior; between them accuracy is traded for recall (τ in the paper).

    Returns:
        float64 (C,).

    Raises:
        UserError: numbers of classes that differ, a share of 0, or a strength outside 0 to 2.

    References:
        Menon et al., Long-tail learning via logit adjustment, arXiv 2007.07314.

    Example:
        >>> from fer_tf import metrics
        >>> metrics.prior_shift([0.8, 0.2], [0.5, 0.5]).round(2).tolist()
        [-0.47, 0.92]
    """
    training, wanted = np.asarray(training, np.float64), np.asarray(wanted, np.float64)
    if training.ndim != 1 or training.shape != wanted.shape:
        raise UserError(f"Expected as many shares in training as wanted, got {training.shape} and {wanted.shape}.")
    if not (training > 0).all() or not (wanted > 0).all():
        raise UserError("Each class needs a share above 0, in training and in what is wanted.")
    if not 0 <= strength <= 2:
        raise UserError(f"strength is {strength}. Expected 0 (no change) to 2; 1 replaces the prior.")
    return strength * (np.log(wanted / wanted.sum()) - np.log(training / training.sum()))


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Find the temperature T that makes softmax(logits / T) most likely.

    Accuracy stays as it is. The negative log-likelihood is convex in 1/T, and its slope there, the mean over faces of
    Σ_k (p_k − t_k) z_k, only grows: the search halves an interval until it is one floating-point number.

    Args:
        logits: float (N, C), of faces that the network was not trained on.
        targets: float (N, C), rows sum to 1.

    Returns:
        T within ``TEMPERATURES``, 0.01 to 100; 1 where all logits of each row are equal.

    Raises:
        UserError: shapes that differ, or logits that are not finite.

    References:
        arXiv 1706.04599.

    Example:
        >>> import numpy as np
        >>> from fer_tf import metrics
        >>> logits = np.array([[4.0, 0.0], [0.0, 4.0], [1.0, 0.0]])
        >>> round(metrics.fit_temperature(logits, metrics.softmax(logits / 2)), 6)
        2.0
    """
    targets, logits = check_pair(targets, logits)
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise UserError(f"Logits of row {bad[0]} are not finite: {logits[bad[0]].tolist()}.")
    logits = logits - logits.mean(axis=1, keepdims=True)
    if not logits.any():
        return 1.0

    def slope(inverse: float) -> float:
        return float(((softmax(inverse * logits) - targets) * logits).sum(axis=1).mean())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / middle
