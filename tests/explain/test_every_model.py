"""Every row of MODELS is explained, and as tf-keras-vis explains it."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

from fer_tf import explain, models, registry
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.models import logits_of

FAST = {"vgg13", "resnet10"}
ROWS = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in models.MODELS]
# Its first layers have no gradient, on which tf-keras-vis fails; below it is compared with finite differences.
CUT = "vgg13"
REFERENCES = {"gradcam": Gradcam, "gradcam++": GradcamPlusPlus}


def narrow(row):
    """A narrow copy of the row's small configuration; deep ones get one block a stage."""
    name, keywords = registry.parse(models.small_configuration(row.name))
    takes = inspect.signature(row.load()).parameters
    sizes = {
        k: v for k, v in {"width": 0.08, "depth": 1}.items() if k in takes and not (k == "depth" and "vgg" in name)
    }
    keras.utils.set_random_seed(3)
    return models.get(registry.render(name, {**keywords, **sizes}), num_classes=5, input_shape=(48, 48, 1))


def pixels(count, shape=(48, 48, 1)):
    """Faces of even squares."""
    squares = np.random.default_rng(0).integers(0, 256, (count, 6, 6, shape[2])).astype("float32")
    return squares.repeat(8, axis=1).repeat(8, axis=2)[:, : shape[0], : shape[1]]


def reference(method, network, layer, faces, classes):
    """Return the other package's maps (N, h, w) before they are enlarged, below 0 cut off."""
    other = REFERENCES[method](keras.Model(network.inputs, logits_of(network.output)))
    maps = other(lambda logits: tf.gather(logits, classes, batch_dims=1), faces, penultimate_layer=layer,
                 seek_penultimate_conv_layer=False, expand_cam=False, normalize_cam=False)  # fmt: skip
    return np.asarray(maps)


def assert_same(found, maps, method):
    found = np.maximum(found, 0)
    if method == "gradcam++":  # There the score is exp(logit), whose factor no heat map shows.
        found, maps = (m / np.maximum(m.max(axis=(1, 2), keepdims=True), 1e-30) for m in (found, maps))
    np.testing.assert_allclose(found, maps, atol=1e-4 * min(1, maps.max()))


@pytest.mark.parametrize("name", ROWS)
def test_every_model_has_every_heat_map(name):
    row = models.MODELS[name]
    network, faces = narrow(row), pixels(3)
    for method in explain.METHODS:
        explainer = explain.get(method, network)
        found = explainer.explain(faces)
        assert found.heat.shape == (3, 48, 48) and found.logits.shape == (3, 5)
        assert np.isfinite(found.raw).all() and found.raw.any(), method
        assert found.heat.min() >= 0 and found.heat.max() <= 1
        if method in REFERENCES and name != CUT:
            maps = reference(method, network, explainer.layer, faces, found.classes)
            assert_same(found.raw, maps, method)


def in_float64(layer):
    return type(layer).from_config({**layer.get_config(), "dtype": "float64"})


def differences(network, layer, face, number, step=1e-6):
    """Return the activations (h, w, D) of one face, and their gradients of a logit by central differences."""
    maps = network.get_layer(layer).output
    activations = keras.Model(network.input, maps)(face[None]).numpy().astype(float)
    head = keras.Model(maps, logits_of(network.output))
    doubles = keras.Input(maps.shape[1:], dtype="float64")
    exact = keras.models.clone_model(head, input_tensors=doubles, clone_function=in_float64)
    exact.set_weights(head.get_weights())
    moves = step * np.eye(activations.size).reshape(-1, *activations.shape[1:])
    up, down = (exact(activations + sign * moves).numpy()[:, number] for sign in (1, -1))
    return activations[0], ((up - down) / (2 * step)).reshape(activations.shape[1:])


def test_maps_behind_layers_without_gradient_are_those_of_finite_differences():
    network, faces = narrow(models.MODELS[CUT]), pixels(2)
    layer = "block4_conv3"  # before the ReLU, whose zeros tie in the pooling after it
    for face in faces:
        a, g = differences(network, layer, face, 2)
        plain = np.maximum((g.mean(axis=(0, 1)) * a).sum(axis=-1), 0)
        alpha = g**2 / np.where(g == 0, 1, 2 * g**2 + g**3 * a.sum(axis=(0, 1)))
        weights = (alpha / alpha.sum(axis=(0, 1)) * np.maximum(g, 0)).sum(axis=(0, 1))
        for method, map_ in (("gradcam", plain), ("gradcam++", np.maximum((weights * a).sum(axis=-1), 0))):
            found = explain.get(method, network, layer).explain(face[None], 2).raw
            assert_same(found, map_[None], method)


@pytest.mark.parametrize("method", REFERENCES)
def test_the_shipped_network_s_maps_are_those_of_tf_keras_vis(method):
    classifier = ExpressionClassifier()
    faces = classifier.prepare(pixels(8)).numpy()
    found = explain.get(method, classifier.network).explain(faces)
    maps = reference(method, classifier.network, classifier.metadata.gradcam_layer, faces, found.classes)
    assert maps.max() > 0
    assert_same(found.raw, maps, method)
