"""Heat maps from the gradient of a logit by the activations of a layer: Grad-CAM and what was made of it."""

import tensorflow as tf

from fer_tf.explain.evidence import Evidence

SPACE = (1, 2)


def gradcam(evidence: Evidence) -> tf.Tensor:
    """Weigh each channel by the mean of its gradient: Σ_k mean(∂y/∂A_k)·A_k.

    Returns:
        Raw maps float32 (N, h, w); below 0 where the activations speak against the class.

    References:
        arXiv 1610.02391.
    """
    weights = tf.reduce_mean(evidence.gradients, axis=SPACE, keepdims=True)
    return tf.reduce_sum(weights * evidence.activations, axis=-1)


def gradcam_plus_plus(evidence: Evidence) -> tf.Tensor:
    """Weigh each channel by its positive gradients, and these by α, so that small regions count as much as large ones.

    α = g² / (2g² + g³·ΣA) over a channel's pixels, divided by its sum, and the weight is Σ α·relu(g): the score is
    exp(y), whose first three derivatives are exp(y) times the powers of g = ∂y/∂A. The factor exp(y), the same for a
    whole map, is left out: it cannot be seen in a heat map, and overflows.

    Returns:
        Raw maps float32 (N, h, w).

    References:
        arXiv 1710.11063; α sums to 1 as in its authors' code.
    """
    g, activations = evidence.gradients, evidence.activations
    square = tf.square(g)
    below = 2 * square + square * g * tf.reduce_sum(activations, axis=SPACE, keepdims=True)
    alpha = tf.math.divide_no_nan(square, below)
    alpha = tf.math.divide_no_nan(alpha, tf.reduce_sum(alpha, axis=SPACE, keepdims=True))
    weights = tf.reduce_sum(alpha * tf.nn.relu(g), axis=SPACE, keepdims=True)
    return tf.reduce_sum(weights * activations, axis=-1)


def layercam(evidence: Evidence) -> tf.Tensor:
    """Weigh each activation by its own positive gradient: Σ_k relu(∂y/∂A_k)·A_k; good for early layers, too.

    Returns:
        Raw maps float32 (N, h, w).

    References:
        Jiang et al., LayerCAM, IEEE TIP 2021, doi 10.1109/TIP.2021.3089943.
    """
    return tf.reduce_sum(tf.nn.relu(evidence.gradients) * evidence.activations, axis=-1)
