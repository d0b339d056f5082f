"""Score-CAM: a channel weighs what the class's logit is when only its part of the face is shown."""

import tensorflow as tf

from fer_tf.explain.evidence import Evidence

# Masked faces in one forward pass; bounds memory, and is large enough that a pass costs little per face.
MASKED = 256


def scorecam(evidence: Evidence) -> tf.Tensor:
    """Weigh each channel by the softmax over channels of the logit of the face that it masks.

    Channel k, brought to the input's size (bilinear) and to 0…1, multiplies the pixels: what it leaves out turns
    black. The map is Σ_k softmax_k(y(masked by k))·A_k. The logit of a baseline, which the paper takes off, would
    leave the softmax as it is.

    Returns:
        Raw maps float32 (N, h, w).

    References:
        arXiv 1910.01279, algorithm 1.
    """
    shape = tf.shape(evidence.activations)
    count, channels = shape[0], shape[3]
    total = count * channels
    masks = tf.reshape(tf.transpose(evidence.activations, (0, 3, 1, 2)), (total, shape[1], shape[2]))
    batch = tf.maximum(1, tf.minimum(total, MASKED))
    steps = (total + batch - 1) // batch
    # The last batch is filled up with the last mask, so that all have one shape.
    numbers = tf.reshape(tf.minimum(tf.range(steps * batch), total - 1), (steps, batch))

    def scores(rows: tf.Tensor) -> tf.Tensor:
        faces = rows // channels
        shown = tf.gather(evidence.images, faces) * _between_0_and_1(tf.gather(masks, rows), evidence.images)
        return tf.gather(evidence.logits(shown), tf.gather(evidence.classes, faces), batch_dims=1)

    signature = tf.TensorSpec((None,), tf.float32)
    found = tf.reshape(tf.map_fn(scores, numbers, parallel_iterations=1, fn_output_signature=signature), [-1])
    weights = tf.nn.softmax(tf.reshape(found[:total], (count, channels)))
    return tf.einsum("nhwd,nd->nhw", evidence.activations, weights)


def _between_0_and_1(masks: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Bring masks (M, h, w) to the images' size and to 0…1, each by itself; one without contrast becomes 0."""
    large = tf.image.resize(masks[..., None], tf.shape(images)[1:3])
    low = tf.reduce_min(large, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(large - low, tf.reduce_max(large, axis=(1, 2), keepdims=True) - low)
