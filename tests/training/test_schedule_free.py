"""Schedule-free AdamW against its definition with x, y and z kept apart."""

import keras
import numpy as np
import pytest

from fer_tf.training import averaging, optimizers


def reference(gradients, start, rate, decay=0.0, warmup=0, beta_1=0.9, beta_2=0.999):
    """Follow algorithm 1 of arXiv 2405.15682 in float64; return x and y."""
    x = y = z = np.array(start, "float64")
    velocity = np.zeros_like(x)
    for t, gradient in enumerate(gradients, start=1):
        velocity = beta_2 * velocity + (1 - beta_2) * gradient**2
        lr = rate * min(1.0, t / warmup) if warmup else rate
        z = z - lr * (gradient / (np.sqrt(velocity / (1 - beta_2**t)) + 1e-8) + decay * y)
        x = (1 - 1 / t) * x + z / t
        y = (1 - beta_1) * z + beta_1 * x
    return x, y


@pytest.mark.parametrize(
    ("text", "decay", "more"),
    [
        ("schedule_free_adamw", 0.0, {}),
        ("schedule_free_adamw", 0.5, {}),
        ("schedule_free_adamw(warmup_steps=4)", 0.0, {"warmup": 4}),
        ("schedule_free_adamw(beta_1=0.5)", 0.0, {"beta_1": 0.5}),
    ],
)
def test_it_follows_the_paper(text, decay, more):
    gradients = np.random.default_rng(0).normal(size=(6, 3)) + 0.5
    weights = keras.Variable(np.array([1.0, -2.0, 0.5], "float32"))
    optimizer = optimizers.get(text, 0.1, weight_decay=decay)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype("float32"))], [weights])
    x, y = reference(gradients, [1.0, -2.0, 0.5], 0.1, decay, **more)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights), y, rtol=1e-5)
    np.testing.assert_allclose(averaging.evaluation_values(optimizer)[id(weights)], x, rtol=1e-5)
    assert np.abs(x - y).max() > 1e-3


def test_weights_set_after_the_build_are_where_it_starts():
    weights = keras.Variable(np.zeros(1, "float32"))
    optimizer = optimizers.get("schedule_free_adamw", 0.1)
    optimizer.build([weights])
    weights.assign([5.0])
    optimizer.apply([keras.ops.ones((1,))], [weights])
    np.testing.assert_allclose(averaging.evaluation_values(optimizer)[id(weights)], [4.9], rtol=1e-6)
