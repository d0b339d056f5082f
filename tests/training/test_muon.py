"""Muon: which variables it turns into rotations, and that it does so."""

import keras
import numpy as np
import pytest

from fer_tf.training import optimizers


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            keras.layers.Flatten(),
            keras.layers.Dense(6, name="dense0"),
            keras.layers.Dense(3, name="logits"),
        ]
    )


def orthogonalised(optimizer, model):
    """Return the names of the layers whose kernel has no second moment, which AdamW alone keeps."""
    optimizer.build(model.trainable_variables)
    pairs = zip(model.trainable_variables, optimizer.adam_velocities, strict=True)
    return {v.path.split("/")[-2] for v, velocity in pairs if velocity is None}


def test_hidden_kernels_alone_are_orthogonalised():
    model = network()
    optimizer = optimizers.get("muon", 0.1)
    assert orthogonalised(optimizer, model) == {"conv", "dense0"}


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (12, 5), (4, 9)])
def test_the_update_is_nearly_a_rotation_of_adams_size(shape):
    gradient = np.random.default_rng(0).normal(size=shape).astype("float32")
    weights = keras.Variable(np.zeros(shape, "float32"), name="kernel")
    optimizers.get("muon", 1.0).apply([keras.ops.convert_to_tensor(gradient)], [weights])
    update = -keras.ops.convert_to_numpy(weights).reshape(-1, shape[-1])
    singular = np.linalg.svd(update / (0.2 * np.sqrt(max(update.shape))), compute_uv=False)
    # Five Newton–Schulz steps bring every singular value near 1, by design not nearer than this.
    assert singular.min() > 0.6 and singular.max() < 1.3
    # Same singular vectors as the gradient: the first momentum is a multiple of it.
    u, _, vt = np.linalg.svd(gradient.reshape(update.shape), full_matrices=False)
    inside = u.T @ update @ vt.T
    np.testing.assert_allclose(inside - np.diag(np.diag(inside)), 0, atol=2e-3)


def test_other_layers_can_be_left_out():
    model = network()
    optimizer = optimizers.get("muon(exclude=('logits', 'dense'))", 0.1)
    assert orthogonalised(optimizer, model) == {"conv"}
