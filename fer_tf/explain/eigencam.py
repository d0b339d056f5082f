"""Eigen-CAM: what is strongest in a layer's activations, whatever the class."""

import tensorflow as tf

from fer_tf.explain.evidence import Evidence


def eigencam(evidence: Evidence) -> tf.Tensor:
    """Project the activations on their first right singular vector.

    A face's activations are the matrix O (h·w, D), not centred, and its map is O·v₁. A singular vector's sign is free;
    the one is taken whose map has a sum of at least 0.

    Returns:
        Raw maps float32 (N, h, w); the same for all classes.

    References:
        arXiv 2008.00299.
    """
    shape = tf.shape(evidence.activations)
    matrix = tf.reshape(evidence.activations, (shape[0], shape[1] * shape[2], shape[3]))
    # O·v₁ = σ₁·u₁: of OᵀO and OOᵀ the smaller one is decomposed.
    wide = shape[3] > shape[1] * shape[2]
    projected = tf.cond(wide, lambda: _from_rows(matrix), lambda: _from_columns(matrix))
    projected *= tf.where(tf.reduce_sum(projected, axis=1, keepdims=True) < 0, -1.0, 1.0)
    return tf.reshape(projected, shape[:3])


def _from_rows(matrix: tf.Tensor) -> tf.Tensor:
    """Return σ₁·u₁ (N, R) of matrices (N, R, D), from their OOᵀ."""
    values, vectors = tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_b=True))
    return tf.sqrt(tf.nn.relu(values[:, -1:])) * vectors[:, :, -1]


def _from_columns(matrix: tf.Tensor) -> tf.Tensor:
    """Return O·v₁ (N, R) of matrices (N, R, D), from their OᵀO."""
    _, vectors = tf.linalg.eigh(tf.matmul(matrix, matrix, transpose_a=True))
    return tf.linalg.matvec(matrix, vectors[:, :, -1])
