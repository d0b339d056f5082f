"""Concordance of a predicted series with the true one, for valence and arousal."""

from keras import ops


def concordance(truth, predicted, epsilon: float = 1e-8):
    """Return Lin's concordance correlation coefficient of a batch, 2·cov / (var + var + (difference of means)²).

    Args:
        truth: float (B,), NaN where missing; such entries count nowhere and have no gradient.
        predicted: float (B,).
        epsilon: joins the denominator, so that two constant series give 0.

    Returns:
        Float scalar in [−1, 1], 0 where nothing is known; biased variances.

    References:
        arXiv 2103.17107 for the loss (1 − CCC)/2.
    """
    known = ops.logical_not(ops.isnan(truth))
    weights = ops.cast(known, predicted.dtype)
    count = ops.maximum(ops.sum(weights), 1.0)
    # NaN is replaced before it meets a product: taken out afterwards, it would stay in the gradient.
    x, y = ops.where(known, truth, 0.0), ops.where(known, predicted, 0.0)
    mean_x, mean_y = ops.sum(x) / count, ops.sum(y) / count
    x, y = (x - mean_x) * weights, (y - mean_y) * weights
    covariance, variance_x, variance_y = (ops.sum(product) / count for product in (x * y, x * x, y * y))
    return 2 * covariance / (variance_x + variance_y + ops.square(mean_x - mean_y) + epsilon)
