import keras
import numpy as np
import pytest

from fer_tf.layers import GhostModule


def maps(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def stirred(layer, x, seed=1):
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for w in layer.weights:
        positive = w.name in ("gamma", "moving_variance")
        w.assign(rng.uniform(0.5, 1.5, w.shape) if positive else rng.normal(0, 0.5, w.shape))
    return layer


def normalized(norm, x):
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.weights)
    return gamma * (x - mean) / np.sqrt(variance + norm.epsilon) + beta


def convolved(kernel, x, depthwise=False):
    """Convolve (H, W, C) with an odd kernel, zeros around, by a loop over the window."""
    side = kernel.shape[0]
    height, width, _ = x.shape
    padded = np.pad(x, [(side // 2, side // 2)] * 2 + [(0, 0)])
    windows = ((i, j, padded[i : i + height, j : j + width]) for i in range(side) for j in range(side))
    return sum(w * kernel[i, j, :, 0] if depthwise else w @ kernel[i, j] for i, j, w in windows)


def expected(layer, x):
    kernel, cheap_kernel = (np.asarray(c.kernel, np.float64) for c in (layer.primary, layer.cheap))
    own = normalized(layer.primary_norm, convolved(kernel, x))
    if layer.relu or layer.combine == "add":
        own = own.clip(0)
    cheap = normalized(layer.cheap_norm, convolved(cheap_kernel, own, depthwise=True))
    if layer.relu:
        cheap = cheap.clip(0)
    return own + cheap if layer.combine == "add" else np.concatenate([own, cheap], axis=-1)[..., : layer.filters]


@pytest.mark.parametrize("combine", ["concatenate", "add"])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("filters", "kernel_size"), [(6, 1), (5, 1), (6, 3)])
def test_equals_the_module_written_in_numpy(filters, kernel_size, combine, relu):
    x = maps(2, 4, 7, 3)
    layer = stirred(GhostModule(filters, kernel_size, combine, relu), x)
    out = np.asarray(layer(x))
    assert out.shape == (2, 4, 7, filters)
    for image, result in zip(x.astype(np.float64), out, strict=True):
        np.testing.assert_allclose(result, expected(layer, image), atol=1e-4)
    assert (out.min() >= 0) == relu


@pytest.mark.parametrize(
    ("combine", "kernel_size", "trainable"),
    [("concatenate", 1, 8 * 3 + 6 + 9 * 3 + 6), ("add", 3, 9 * 8 * 5 + 10 + 9 * 5 + 10)],
)
def test_parameters(combine, kernel_size, trainable):
    layer = GhostModule(5, kernel_size, combine)
    layer.build((None, 4, 4, 8))
    assert sum(np.prod(w.shape) for w in layer.trainable_weights) == trainable
    assert layer.compute_output_shape((None, 4, 6, 8)) == (None, 4, 6, 5)


def test_config_and_file(tmp_path):
    layer = GhostModule(
        5, 3, "add", False, momentum=0.7, epsilon=1e-2, kernel_initializer="he_normal", kernel_regularizer="l2"
    )
    again = GhostModule.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.filters, again.kernel_size, again.combine, again.relu) == (5, 3, "add", False)
    inputs = keras.Input((6, 5, 4))
    model = keras.Model(inputs, stirred(layer, maps(1, 6, 5, 4))(inputs))
    assert len(model.losses) == 2
    model.save(tmp_path / "m.keras")
    x = maps(2, 6, 5, 4, seed=5)
    np.testing.assert_array_equal(np.asarray(keras.saving.load_model(tmp_path / "m.keras")(x)), np.asarray(model(x)))


def test_unknown_combination():
    with pytest.raises(ValueError, match="concatenate, add"):
        GhostModule(4, combine="multiply")
