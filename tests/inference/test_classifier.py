"""Faces of any size and color to calibrated distributions, equal to what evaluation scores."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fer_tf
from fer_tf import datasets, evaluation, models
from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier, luma
from fer_tf.labels import LabelSet

SIDES = LabelSet("sides", ("left", "right"))


def halves(channels=1, side=4, face=6, temperature=1.0):
    """A network whose logits are the mean brightness of the left and of the right half, in units of 10 levels."""
    inputs = keras.Input((side, side, channels))
    left = keras.layers.Rescaling(0.1)(keras.layers.GlobalAveragePooling2D()(inputs[:, :, : side // 2]))
    right = keras.layers.Rescaling(0.1)(keras.layers.GlobalAveragePooling2D()(inputs[:, :, side // 2 :]))
    mean = keras.layers.Lambda(lambda x: keras.ops.mean(x, axis=-1, keepdims=True))
    network = keras.Model(inputs, keras.layers.Concatenate()([mean(left), mean(right)]))
    network.metadata = models.ModelMetadata(SIDES, face, temperature=temperature)
    return network


@pytest.fixture(scope="module")
def shipped():
    return ExpressionClassifier()


@pytest.fixture
def face():
    """A 6×6 face whose central 4×4 has halves of 20 and 30, inside a rim of 255."""
    pixels = np.full((6, 6), 255, np.uint8)
    pixels[1:5, 1:3], pixels[1:5, 3:5] = 20, 30
    return pixels


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_central_square_is_seen_and_nothing_else(face):
    found = ExpressionClassifier(halves()).predict(face[None])
    np.testing.assert_allclose(found, [[1 - sigmoid(1), sigmoid(1)]], rtol=1e-6)


def test_the_temperature_divides_the_logits(face):
    found = ExpressionClassifier(halves(temperature=2.0)).predict(face[None])
    np.testing.assert_allclose(found[0, 1], sigmoid(0.5), rtol=1e-6)


def test_with_flip_the_logits_of_the_mirror_are_averaged(face):
    np.testing.assert_allclose(ExpressionClassifier(halves(), flip=True).predict(face[None]), [[0.5, 0.5]], rtol=1e-6)


def test_color_becomes_gray_by_luma_and_gray_becomes_three_channels(face):
    red = np.zeros((1, 6, 6, 3), np.uint8)
    red[:, :, 3:, 0] = 100  # luma 0.299 · 100 = 29.9, a whole level: 30
    np.testing.assert_allclose(ExpressionClassifier(halves()).predict(red)[0, 1], sigmoid(3.0), rtol=1e-6)
    np.testing.assert_allclose(
        ExpressionClassifier(halves(channels=3)).predict(face[None])[0, 1], sigmoid(1), rtol=1e-6
    )


def test_gray_levels_are_the_same_bits_in_arrays_and_in_a_graph():
    colors = np.random.default_rng(0).integers(0, 256, (50, 48, 48, 3)).astype(np.float32)
    graph = tf.function(luma, autograph=False)(tf.constant(colors)).numpy()
    np.testing.assert_array_equal(luma(colors), graph)
    np.testing.assert_array_equal(luma(np.float32([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]))[..., 0], [[76, 150, 29]])
    pillow = np.asarray(Image.fromarray(colors[0].astype(np.uint8)).convert("L"))
    assert np.abs(luma(colors[0])[..., 0] - pillow).max() <= 1


def test_faces_that_fit_are_seen_as_those_that_are_scaled(shipped):
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3)).astype(np.uint8)
    for colors in (faces, faces[..., :1]):
        expected = shipped.prepare(tf.constant(colors)).numpy()
        np.testing.assert_array_equal(shipped._fitting(colors), expected)
    three = ExpressionClassifier(halves(channels=3))
    gray = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1)
    np.testing.assert_array_equal(three._fitting(gray), three.prepare(tf.constant(gray)).numpy())


def test_other_sizes_are_scaled_with_antialiasing(shipped):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (48, 48)).astype(np.uint8)
    large = np.asarray(Image.fromarray(small).resize((480, 480), Image.Resampling.NEAREST))
    np.testing.assert_allclose(shipped.predict([large]), shipped.predict([small]), atol=0.06)


def test_the_shipped_network_gives_what_evaluation_scores(shipped):
    images = np.random.default_rng(1).integers(0, 256, (70, 48, 48, 1)).astype(np.uint8)
    logits = evaluation.logits(shipped.network, images) / shipped.metadata.temperature
    odds = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(shipped.predict(images), odds / odds.sum(1, keepdims=True), atol=2e-6)
    assert shipped.label_set.classes[3].startswith("happ") or "happiness" in shipped.label_set.classes


def test_lists_of_several_sizes_keep_their_order(face):
    reader = ExpressionClassifier(halves())
    flipped, color = face[:, ::-1], np.repeat(face[:, :, None], 3, axis=2)
    twice = np.repeat(np.repeat(face, 2, axis=0), 2, axis=1)
    found = reader.predict([face, color, flipped, twice, face])
    np.testing.assert_allclose(found[[0, 1, 4], 1], sigmoid(1), rtol=1e-5)
    np.testing.assert_allclose(found[2, 1], sigmoid(-1), rtol=1e-5)
    assert 0.5 < found[3, 1] < 1
    assert reader.predict([]).shape == (0, 2)


def test_one_trace_serves_all_numbers_and_sizes():
    reader = ExpressionClassifier(halves())
    for n, side in ((1, 6), (3, 6), (65, 9), (2, 300)):
        assert reader.predict(np.zeros((n, side, side), np.uint8)).shape == (n, 2)
    assert reader._of_gray.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        (np.zeros(2, np.uint8), r"got \(2,\)"),
        (np.zeros((8, 8, 4), np.uint8), r"got \(8, 8, 4\): leave the transparency out"),
        (np.full((2, 4, 4, 1), 0.7), "got fractions up to 0.7. Multiply them by 255"),
        ([np.full((4, 4), 9.0), np.full((4, 4, 3), 1.0)], "got fractions up to 1. Multiply them by 255"),
        ([np.full((4, 4), 9.0), np.full((4, 4, 3), np.nan)], "NaN is no pixel"),
        (np.zeros((1, 4, 4, 4), np.uint8), r"got \(1, 4, 4, 4\)"),
        (np.zeros((1, 0, 4, 1), np.uint8), r"got \(1, 0, 4, 1\)"),
        (np.full((1, 4, 4, 1), 256.0), "from 256.0 to 256.0"),
        (np.full((1, 4, 4, 1), -1), "from -1 to -1"),
        (np.full((1, 4, 4, 1), np.nan), "from nan to nan"),
        (np.full((1, 4, 4, 1), "x"), "got <U1"),
    ],
)
def test_other_arrays_are_refused(faces, message):
    with pytest.raises(UserError, match=message):
        ExpressionClassifier(halves()).predict(faces)


def test_models_come_by_name_by_path_or_as_they_are(tmp_path):
    with pytest.raises(UserError, match=r"No model 'nonsense'\. Expected one of default, .*\.keras"):
        ExpressionClassifier("nonsense")
    network = halves()
    del network.metadata
    with pytest.raises(UserError, match="does not say which classes"):
        ExpressionClassifier(network)
    assert fer_tf.load_model().count_params() == ExpressionClassifier("default").network.count_params()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fer_tf.nonsense


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
def test_a_networks_file_gives_through_litert_what_tensorflow_gives(flip):
    of_file, held = ExpressionClassifier("default", flip), ExpressionClassifier(fer_tf.load_model("default"), flip)
    assert of_file._litert is not None and held._litert is None
    faces = np.random.default_rng(0).integers(0, 256, (70, 50, 60, 3)).astype(np.uint8)
    expected = held.predict(faces)
    np.testing.assert_allclose(of_file.predict(faces), expected, atol=2e-6)
    np.testing.assert_allclose(of_file.predict([faces[0, ..., 0], faces[3]])[1], expected[3], atol=2e-6)


@pytest.mark.slow
def test_fast_weights_of_8_bits_say_nearly_the_same(shipped):
    faces = datasets.get("synthetic(faces=210)").images
    exact, fast = shipped.predict(faces), ExpressionClassifier("default", fast=True).predict(faces)
    off = np.abs(fast - exact)
    assert 0 < off.max() < 0.1 and np.median(off.max(axis=1)) < 0.01
    assert (fast.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.97
    # A row does not depend on the others of its batch.
    np.testing.assert_allclose(ExpressionClassifier("default", fast=True).predict(faces[7:8]), fast[7:8], atol=1e-6)
    sure = fer_tf.predict(faces[:5], fast=True)
    np.testing.assert_array_equal(sure.probabilities, fast[:5])


@pytest.fixture
def without_litert(tmp_path):
    """A file of a network with an operation that LiteRT lacks."""
    inputs = keras.Input((2, 2, 1))
    root = keras.layers.Flatten()(keras.ops.linalg.cholesky(keras.ops.eye(2) + 0 * inputs[..., 0]))
    network = keras.Model(inputs, keras.layers.Dense(2)(root))
    models.save_model(network, tmp_path / "root.keras", models.ModelMetadata(SIDES, 2))
    return tmp_path / "root.keras"


def test_fast_is_refused_where_it_cannot_be(face, without_litert):
    with pytest.raises(UserError, match=r"fast=True is for shipped names and \.keras files"):
        ExpressionClassifier(halves(), fast=True)
    with pytest.raises(UserError, match=r"fast=True: LiteRT does not take this network.* Leave it out"):
        ExpressionClassifier(without_litert, fast=True).predict(face[None])


@pytest.mark.slow
def test_a_conversion_is_kept_until_the_file_is_another(face, tmp_path, cache_folder):
    path = tmp_path / "network.keras"
    shutil.copy(models.weights_path("default"), path)
    first = ExpressionClassifier(path).predict(face[None])
    (kept,) = cache_folder.iterdir()
    made = kept.stat().st_ino
    np.testing.assert_array_equal(ExpressionClassifier("default").predict(face[None]), first)
    assert list(cache_folder.iterdir()) == [kept] and kept.stat().st_ino == made
    ExpressionClassifier(path, flip=True).predict(face[None])
    ExpressionClassifier(path, fast=True).predict(face[None])
    assert len(list(cache_folder.iterdir())) == 3
    shutil.copy(models.weights_path("fer2013"), path)
    assert ExpressionClassifier(path).predict(face[None]).shape[1] == 7 and len(list(cache_folder.iterdir())) == 4


def test_a_network_in_the_callers_hands_may_be_trained_on(face):
    network = fer_tf.load_model("default")
    reader = ExpressionClassifier(network)
    before = reader.predict(face[None])
    for variable in network.trainable_variables:
        variable.assign(variable * 0)
    assert before.std() > 0 and reader.predict(face[None]).std() == 0


def test_a_network_that_litert_does_not_take_stays_with_tensorflow(face, without_litert):
    held = ExpressionClassifier(fer_tf.load_model(without_litert))
    found = ExpressionClassifier(without_litert)
    np.testing.assert_allclose(found.predict(face[None]), held.predict(face[None]), atol=2e-6)
