"""Compare two series of numbers, for use in losses."""

from keras import ops


def concordance(targets, predictions, epsilon: float = 1e-8):
    """Compute Lin's concordance correlation coefficient of a batch.

    CCC = 2·cov / (var_t + var_p + (mean_t − mean_p)²), with biased variances.

    Args:
        targets: float (N,), NaN where unknown; such entries are left out and have no gradient.
        predictions: float (N,).
        epsilon: added to the denominator, so that two constant series give 0.

    Returns:
        Float scalar from −1 to 1; 0 where no target is known.

    References:
        Lin 1989, doi 10.2307/2532051; as the loss (1 − CCC) / 2: arXiv 2103.17107.

    Example:
        >>> import numpy as np
        >>> from fer_tf import losses
        >>> values = np.array([-0.5, 0.0, 0.5], "float32")
        >>> float(losses.concordance(values, values))
        1.0
        >>> float(losses.concordance(values, -values))
        -1.0
    """
    known = ops.logical_not(ops.isnan(targets))
    weights = ops.cast(known, predictions.dtype)
    count = ops.maximum(ops.sum(weights), 1.0)
    # NaN is replaced before it meets a product: taken out afterwards, it would stay in the gradient.
    x, y = ops.where(known, targets, 0.0), ops.where(known, predictions, 0.0)
    mean_x, mean_y = ops.sum(x) / count, ops.sum(y) / count
    x, y = (x - mean_x) * weights, (y - mean_y) * weights
    covariance, variance_x, variance_y = (ops.sum(product) / count for product in (x * y, x * x, y * y))
    return 2 * covariance / (variance_x + variance_y + ops.square(mean_x - mean_y) + epsilon)
