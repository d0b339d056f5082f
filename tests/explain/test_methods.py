"""Every method by hand on a network of two channels, and NumPy's own way to the same map on a random one."""

import keras
import numpy as np
import pytest

from fer_tf import explain
from fer_tf.errors import UserError

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
FACE = X[None, :, :, None]
# Channels are x and -3x; the first class's logit has weights 0.1 times these, the second's the opposite.
WEIGHTS = 0.1 * np.array([[[1, -1], [0, -1]], [[0, -1], [1, -1]]], np.float32)


def two_channels():
    images = keras.Input((2, 2, 1))
    maps = keras.layers.Conv2D(2, 1, use_bias=False, name="maps")
    logits = keras.layers.Dense(2, use_bias=False, name="logits")
    network = keras.Model(images, logits(keras.layers.Flatten()(maps(images))))
    maps.set_weights([np.array([1.0, -3.0], np.float32).reshape(1, 1, 1, 2)])
    logits.set_weights([np.stack([WEIGHTS.ravel(), -WEIGHTS.ravel()], axis=1)])
    return network


def raw(method, classes):
    return explain.get(method, two_channels(), "maps").explain(FACE, classes).raw[0]


def test_gradcam_weighs_channels_by_their_mean_gradient():
    # 0.05 of the first channel, -0.1 of the second.
    np.testing.assert_allclose(raw("gradcam", 0), 0.35 * X, rtol=1e-6)
    np.testing.assert_allclose(raw("gradcam", 1), -0.35 * X, rtol=1e-6)


def test_gradcam_plus_plus_weighs_channels_by_their_positive_gradients():
    # α is ½ at the first channel's two gradients of 0.1, and no gradient of the second is positive.
    np.testing.assert_allclose(raw("gradcam++", 0), 0.1 * X, rtol=1e-6)
    # Of the other class those of the second are, all 0.1: α is ¼.
    np.testing.assert_allclose(raw("gradcam++", 1), 0.1 * -3 * X, rtol=1e-6)


def test_layercam_weighs_each_activation_by_its_own_positive_gradient():
    np.testing.assert_allclose(raw("layercam", 0), [[0.1, 0], [0, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(raw("layercam", 1), -0.3 * X, rtol=1e-6)


def test_eigencam_projects_on_the_strongest_direction():
    np.testing.assert_allclose(raw("eigencam", None), np.sqrt(10) * X, rtol=1e-5)


def test_scorecam_weighs_channels_by_the_logits_of_what_they_show():
    # Channel x shows (x-1)/3 of the pixels, channel -3x shows (4-x)/3; a logit is 0.1·(x₀₀ + x₁₁ + 3Σx).
    first, second = X * (X - 1) / 3, X * (4 - X) / 3
    logits = [0.1 * (x[0, 0] + x[1, 1] + 3 * x.sum()) for x in (first, second)]
    for number, sign in enumerate((1, -1)):
        shares = np.exp(sign * np.array(logits))
        shares /= shares.sum()
        np.testing.assert_allclose(raw("scorecam", number), (shares[0] - 3 * shares[1]) * X, rtol=1e-5)


def test_scorecam_fills_its_last_batch():
    faces = np.random.default_rng(0).uniform(0, 255, (5, 2, 2, 1)).astype("float32")
    whole = explain.ScoreCAM(two_channels(), "maps").explain(faces).raw
    parts = explain.ScoreCAM(two_channels(), "maps", masked_batch_size=3).explain(faces).raw
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


@pytest.mark.parametrize(("side", "channels"), [(3, 20), (6, 4)], ids=["wide", "tall"])
def test_eigencam_equals_the_singular_value_decomposition(side, channels):
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((side, side, 1)), keras.layers.Conv2D(channels, 3, name="maps"),
                                keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])  # fmt: skip
    faces = np.random.default_rng(0).uniform(0, 4, (4, side, side, 1)).astype("float32")
    network.build()
    activations = network.layers[0](faces).numpy()
    found = explain.EigenCAM(network, "maps").explain(faces).raw
    for map_, o in zip(found, activations.reshape(4, -1, channels).astype(float), strict=True):
        _, _, v = np.linalg.svd(o, full_matrices=False)
        projected = (o @ v[0]).reshape(map_.shape)
        np.testing.assert_allclose(map_, projected * np.sign(projected.sum()), atol=1e-4)


def test_every_method_gives_heat_from_0_to_1():
    for method in explain.METHODS:
        heat = explain.heatmaps(two_channels(), FACE, method, layer="maps")
        assert heat.shape == (1, 2, 2) and heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() == 1, method


def test_get_takes_names_and_explainers():
    explainer = explain.get("gradcam++", two_channels(), "maps")
    assert type(explainer) is explain.GradCAMPlusPlus and explain.get(explainer) is explainer
    assert {explain.METHODS[name].load().title for name in explain.METHODS} == {
        "Grad-CAM", "Grad-CAM++", "LayerCAM", "Score-CAM", "Eigen-CAM",
    }  # fmt: skip
    with pytest.raises(UserError, match="'gradcam' needs a network"):
        explain.get("gradcam")
