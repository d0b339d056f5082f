import keras
import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.layers.attention import BRANCHES, TripletAttention


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def stirred(layer, x, seed=1):
    """Build a layer and give every weight, statistics too, a random value, positive where it is a scale."""
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for w in layer.weights:
        positive = w.name in ("gamma", "moving_variance")
        w.assign(rng.uniform(0.5, 1.5, w.shape) if positive else rng.normal(0, 0.3, w.shape))
    return layer


def gate(layer, branch, pooled):
    """One branch's gate (a, b) of a map (a, b, 2), by a loop over the window, in float64."""
    kernel, *bias = (np.asarray(w, np.float64) for w in layer.convolutions[branch].weights)
    gamma, beta, mean, variance = (float(np.asarray(w)[0]) for w in layer.norms[branch].weights)
    a, b, _ = pooled.shape
    padded = np.pad(pooled, [(3, 3), (3, 3), (0, 0)])
    z = sum(padded[i : i + a, j : j + b] @ kernel[i, j, :, 0] for i in range(7) for j in range(7))
    z = gamma * (z + (bias[0] if bias else 0) - mean) / np.sqrt(variance + layer.epsilon) + beta
    return 1 / (1 + np.exp(-z))


def pool_last(t):
    return np.stack([t.max(axis=-1), t.mean(axis=-1)], axis=-1)


def attended(layer, branch, t):
    """The paper's branch on a tensor whose last axis is pooled."""
    return t * gate(layer, branch, pool_last(t))[..., None]


@pytest.mark.parametrize("shape", [(5, 9, 4), (8, 8, 3), (3, 3, 12)], ids=str)
def test_equals_the_papers_three_branches_written_in_numpy(shape):
    x = maps(2, *shape)
    layer = stirred(TripletAttention(), x)
    for image, out in zip(x.astype(np.float64), np.asarray(layer(x)), strict=True):
        space = attended(layer, "space", image)
        height = attended(layer, "height", image.transpose(0, 2, 1)).transpose(0, 2, 1)
        width = attended(layer, "width", image.transpose(2, 1, 0)).transpose(2, 1, 0)
        np.testing.assert_allclose(out, (space + height + width) / 3, atol=1e-5)


def test_turned_equals_the_public_mixture_written_in_numpy():
    x = maps(2, 6, 6, 5)
    layer = stirred(TripletAttention(turned=True, epsilon=1e-3), x)
    for image, out in zip(x.astype(np.float64), np.asarray(layer(x)), strict=True):
        space = attended(layer, "space", image)
        height = attended(layer, "height", image.transpose(0, 2, 1)).transpose(0, 2, 1)
        # Permutation (3, 1, 2) makes (C, H, W); (3, 2, 1) does not undo it: the result is (W, H, C).
        turned = attended(layer, "width", image.transpose(2, 0, 1)).transpose(2, 1, 0)
        np.testing.assert_allclose(out, (space + height + turned) / 3, atol=1e-5)


def test_a_fixed_tensor_gives_the_known_output():
    """All kernels 0.01, no bias, x = 0…17: worked out by hand for the first number."""
    x = np.arange(18, dtype="float32").reshape(1, 3, 3, 2)
    layer = TripletAttention(epsilon=0.0)
    layer.build(x.shape)
    for convolution in layer.convolutions.values():
        convolution.kernel.assign(np.full((7, 7, 2, 1), 0.01))
    # The window covers every pooled map whole, so each gate is one number: the sigmoid of the pooled maps' sum / 100.
    space = (1 + 3 + 5 + 7 + 9 + 11 + 13 + 15 + 17 + 153 / 2) / 100
    height = (4 + 5 + 10 + 11 + 16 + 17 + 153 / 3) / 100
    width = (12 + 13 + 14 + 15 + 16 + 17 + 153 / 3) / 100
    mean_gate = np.mean([1 / (1 + np.exp(-z)) for z in (space, height, width)])
    np.testing.assert_allclose(np.asarray(layer(x)), x * mean_gate, rtol=1e-5)


def test_height_and_width_are_treated_alike():
    x = maps(2, 7, 7, 3)
    layer = stirred(TripletAttention(), x)
    space = np.asarray(layer.convolutions["space"].kernel)
    layer.convolutions["space"].kernel.assign((space + space.transpose(1, 0, 2, 3)) / 2)
    # The height branch sees (H, C), the width branch (C, W): its filter is the other's transpose.
    height = np.asarray(layer.convolutions["height"].kernel)
    layer.convolutions["width"].kernel.assign(height.transpose(1, 0, 2, 3))
    layer.norms["width"].set_weights(layer.norms["height"].get_weights())
    flipped = np.asarray(layer(x.transpose(0, 2, 1, 3)))
    np.testing.assert_allclose(flipped, np.asarray(layer(x)).transpose(0, 2, 1, 3), atol=1e-6)


@pytest.mark.parametrize("channels", [2, 64])
@pytest.mark.parametrize(("turned", "trainable"), [(False, 300), (True, 303)])
def test_parameters_do_not_depend_on_the_channels(channels, turned, trainable):
    layer = TripletAttention(turned=turned)
    layer.build((None, 12, 12, channels))
    assert sum(np.prod(w.shape) for w in layer.trainable_weights) == trainable
    assert sum(np.prod(w.shape) for w in layer.non_trainable_weights) == 6


def test_maps_that_are_not_square():
    assert TripletAttention()(maps(1, 4, 7, 3)).shape == (1, 4, 7, 3)
    with pytest.raises(UserError, match=r"square maps, got 4×7"):
        TripletAttention(turned=True)(maps(1, 4, 7, 3))
    with pytest.raises(UserError, match=r"square maps, got 4×7"):
        TripletAttention(turned=True)(keras.Input((4, 7, 3)))


def test_training_moves_all_statistics_and_inference_none():
    x = maps(8, 6, 5, 4)
    layer = TripletAttention()
    layer(x, training=False)
    before = [np.asarray(w).copy() for w in layer.non_trainable_weights]
    layer(x, training=False)
    assert all(np.array_equal(np.asarray(w), b) for w, b in zip(layer.non_trainable_weights, before, strict=True))
    layer(x, training=True)
    assert not any(np.array_equal(np.asarray(w), b) for w, b in zip(layer.non_trainable_weights, before, strict=True))
    assert set(layer.norms) == set(BRANCHES)


def test_config_and_file(tmp_path):
    layer = TripletAttention(
        turned=True, kernel_size=3, momentum=0.5, epsilon=1e-2, kernel_regularizer="l2", name="t", dtype="float32"
    )
    again = TripletAttention.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.turned, again.kernel_size, again.momentum, again.epsilon) == (True, 3, 0.5, 1e-2)
    inputs = keras.Input((6, 6, 4))
    model = keras.Model(inputs, stirred(layer, maps(1, 6, 6, 4))(inputs))
    assert len(model.losses) == 3
    model.save(tmp_path / "m.keras")
    x = maps(2, 6, 6, 4, seed=5)
    np.testing.assert_array_equal(np.asarray(keras.saving.load_model(tmp_path / "m.keras")(x)), np.asarray(model(x)))


def test_unknown_height_and_width():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, TripletAttention()(inputs))
    assert model.output_shape == (None, None, None, 3)
    assert model(maps(2, 5, 8, 3)).shape == (2, 5, 8, 3)
