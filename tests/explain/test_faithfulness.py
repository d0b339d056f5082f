"""Deletion and insertion on a network whose answer is known: the brightness of one quarter of the face."""

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.explain.faithfulness import Faithfulness, center_maps, random_maps
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.labels import LabelSet


def corner_judge():
    """Logits 0 and the mean of the top left quarter over 20: the probability of class 1 is its sigmoid."""
    images = keras.Input((8, 8, 1))
    quarter = keras.layers.Cropping2D(((0, 4), (0, 4)))(images)
    logits = keras.layers.Dense(2, use_bias=False)
    network = keras.Model(images, logits(keras.layers.GlobalAveragePooling2D()(quarter)))
    logits.set_weights([np.array([[0, 0.05]], np.float32)])
    network.metadata = models.ModelMetadata(LabelSet("brightness", ("dark", "bright")), 8)
    return ExpressionClassifier(network)


@pytest.fixture
def face():
    """A face of 160 in the corner that counts and 0 elsewhere: its mean is 40."""
    pixels = np.zeros((1, 8, 8, 1), np.float32)
    pixels[0, :4, :4] = 160
    return pixels


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def heat_of(corner):
    heat = np.zeros((1, 8, 8), np.float32)
    heat[0, :4, :4] = corner
    return heat + 0.5


def test_a_map_of_what_counts_loses_the_class_in_the_first_quarter(face):
    curves = Faithfulness(corner_judge(), steps=4).measure(face, heat_of(0.5), np.array([1], np.int32), rng())
    full, mean = sigmoid(160 / 20), sigmoid(40 / 20)
    np.testing.assert_allclose(curves.deletion[0], [full, mean, mean, mean, mean], rtol=1e-5)
    np.testing.assert_allclose(curves.insertion[0, 1:], [full] * 4, rtol=1e-5)
    assert mean < curves.insertion[0, 0] < full  # blurred
    deletion, insertion = curves.areas()
    np.testing.assert_allclose(deletion, [(full / 2 + 3 * mean + mean / 2) / 4], rtol=1e-5)
    assert insertion > 0.99


def test_a_map_of_all_else_loses_it_in_the_last_quarter(face):
    curves = Faithfulness(corner_judge(), steps=4).measure(face, heat_of(-0.5), np.array([1], np.int32), rng())
    full, mean = sigmoid(160 / 20), sigmoid(40 / 20)
    np.testing.assert_allclose(curves.deletion[0], [full, full, full, full, mean], rtol=1e-5)


def test_pixels_of_equal_heat_go_in_random_order(face):
    many = np.repeat(face, 50, axis=0)
    curves = Faithfulness(corner_judge(), steps=2).measure(many, np.zeros((50, 8, 8)), np.ones(50, np.int32), rng())
    # Half of the corner, on average, is 40 and half 160; by rows it would be all of it.
    share = (20 * np.log(curves.deletion[:, 1] / (1 - curves.deletion[:, 1])) - 40) / 120
    assert abs(share.mean() - 0.5) < 0.05 and share.std() > 0.02


def test_many_faces_equal_single_ones(face):
    faces = rng().uniform(0, 255, (5, 8, 8, 1)).astype("float32")
    heat, classes = rng().random((5, 8, 8)), np.array([0, 1, 1, 0, 1], np.int32)
    judge = Faithfulness(corner_judge(), batch_size=2)
    whole = judge.measure(faces, heat, classes, rng())
    for i in range(5):
        one = judge.measure(faces[i : i + 1], heat[i : i + 1], classes[i : i + 1], rng())
        np.testing.assert_allclose(one.deletion[0], whole.deletion[i], rtol=1e-5)
        np.testing.assert_allclose(one.insertion[0], whole.insertion[i], rtol=1e-5)
    with pytest.raises(UserError, match="steps=0"):
        Faithfulness(corner_judge(), steps=0)


def test_controls_are_heat_maps_that_know_no_face():
    drawn = random_maps((6, 3, 3), (12, 12), rng())
    assert drawn.shape == (6, 12, 12) and drawn.min() >= 0
    np.testing.assert_allclose(drawn.max(axis=(1, 2)), 1)
    assert np.abs(np.diff(drawn, axis=2)).max() < 0.5, "smooth, as enlarged maps are"
    middle = center_maps(2, (9, 5))
    assert middle.shape == (2, 9, 5) and middle[0, 4, 2] == middle.max() == 1 and (middle[0] == middle[1]).all()


def rng():
    return np.random.default_rng(0)
