"""Sharpness-aware minimization, by hand and in fit."""

import keras
import numpy as np
import pytest

from fer_tf.training import averaging, optimizers
from fer_tf.training.optimizer_configs import TableSchedule
from fer_tf.training.optimizer_mixin import SharpnessAware, batch_repeats


def numpy(values):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in values]


def pair(*values):
    return [keras.Variable(np.array([v], "float32")) for v in values]


def descend(optimizer, weights):
    """Apply the gradient of ½·(x² + 4·y²)."""
    # A product is a new tensor; the TensorFlow backend's convert_to_tensor hands out the variable itself.
    optimizer.apply([1 * weights[0], 4 * weights[1]], weights)


def test_one_step_on_a_quadratic_by_hand():
    weights = pair(3.0, 1.0)
    optimizer = optimizers.get("sgd(momentum=0)", 0.1, sharpness=0.5)
    descend(optimizer, weights)
    # Gradient (3, 4), norm 5: up by 0.5·(0.6, 0.8).
    np.testing.assert_allclose(np.concatenate(numpy(weights)), [3.3, 1.4], rtol=1e-6)
    assert int(optimizer.iterations) == 0
    descend(optimizer, weights)
    # From (3, 1) with the gradient (3.3, 5.6) found up there.
    np.testing.assert_allclose(np.concatenate(numpy(weights)), [2.67, 0.44], rtol=1e-6)
    assert int(optimizer.iterations) == 1


def test_between_the_passes_the_place_climbed_from_is_evaluated():
    weights = pair(3.0, 1.0)
    optimizer = optimizers.get("sgd(momentum=0)", 0.1, sharpness=0.5)
    descend(optimizer, weights)
    values = averaging.evaluation_values(optimizer)
    assert [values[id(w)].item() for w in weights] == [3.0, 1.0]
    descend(optimizer, weights)
    assert averaging.evaluation_values(optimizer) == {}


def test_a_variable_without_gradient_stays():
    weights = pair(3.0, 1.0)
    optimizer = optimizers.get("sgd(momentum=0)", 0.1, sharpness=0.5)
    optimizer.build(weights)
    for _ in range(2):
        optimizer.apply([1 * weights[0]], weights[:1])
    assert numpy(weights)[1].item() == 1.0
    assert numpy(weights)[0].item() == pytest.approx(3 - 0.1 * 3.5)


def model():
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)])


def batches(steps, repeats):
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = rng.normal(size=(6, 4)).astype("float32")
        for _ in range(repeats):
            yield x, x[:, :2] - x[:, 2:]


def fit(optimizer, steps=12):
    network, repeats = model(), batch_repeats(optimizer)
    network.compile(optimizer, "mse")
    history = network.fit(batches(steps, repeats), steps_per_epoch=steps * repeats, verbose=0).history
    return network, history["loss"][-1]


@pytest.mark.parametrize("name", ["nesterov", "adam", "muon", "schedule_free_adamw"])
def test_without_a_radius_it_is_the_inner_optimizer_bit_by_bit(name):
    table = TableSchedule(np.linspace(0.1, 0.01, 12))
    plain, _ = fit(optimizers.get(name, table, l2=1e-3, clipnorm=1.0))
    wrapped = SharpnessAware(optimizers.get(name, table, l2=1e-3, clipnorm=1.0), rho=0.0)
    sharp, _ = fit(wrapped)
    assert int(wrapped.iterations) == 12 and batch_repeats(wrapped) == 2
    for a, b in zip(plain.get_weights(), sharp.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_with_a_radius_learns_and_differs():
    plain, _ = fit(optimizers.get("nesterov", 0.05), steps=60)
    sharp, loss = fit(optimizers.get("nesterov", 0.05, sharpness=0.2), steps=60)
    _, start = fit(optimizers.get("nesterov", 1e-9), steps=60)
    assert loss < 0.7 * start
    assert any((a != b).any() for a, b in zip(plain.get_weights(), sharp.get_weights(), strict=True))


def test_fit_equals_the_same_steps_by_hand():
    network, _ = fit(optimizers.get("sgd", 0.05, sharpness=0.1), steps=5)
    slow = model()
    optimizer = optimizers.get("sgd", 0.05)
    optimizer.build(slow.trainable_variables)
    for x, y in batches(5, 1):
        weights = numpy(slow.trainable_variables)
        gradients = gradient(slow, x, y)
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        slow.set_weights([w + 0.1 * g / norm for w, g in zip(weights, gradients, strict=True)])
        gradients = gradient(slow, x, y)
        slow.set_weights(weights)
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], slow.trainable_variables)
    for a, b in zip(network.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def gradient(network, x, y):
    """Return the gradient of the mean squared error of a tanh layer and a linear one, by the chain rule."""
    w1, b1, w2, b2 = numpy(network.trainable_variables)
    hidden = np.tanh(x @ w1 + b1)
    error = 2 * (hidden @ w2 + b2 - y) / y.size
    inner = error @ w2.T * (1 - hidden**2)
    return [x.T @ inner, inner.sum(0), hidden.T @ error, error.sum(0)]


def test_the_learning_rate_is_the_inner_ones():
    optimizer = optimizers.get("sgd", 0.5, sharpness=0.1)
    optimizer.learning_rate = 0.25
    assert float(keras.ops.convert_to_numpy(optimizer.inner_optimizer.learning_rate)) == 0.25
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == 0.25


def test_others_see_each_batch_once():
    assert batch_repeats(optimizers.get("sgd", 0.1)) == 1
