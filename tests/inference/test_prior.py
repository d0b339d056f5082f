"""Answers for other frequencies of the classes, by hand: the network's logits are known."""

import keras
import numpy as np
import pytest

import fer_tf
from fer_tf import cli, models
from fer_tf.errors import UserError
from fer_tf.inference import ExpressionClassifier
from fer_tf.labels import LabelSet

MOODS = LabelSet("moods", ("calm", "glad", "grim"))
SHARES = (0.5, 0.25, 0.25)


@pytest.fixture(scope="module")
def network():
    """Three equal logits, whatever the face: every answer is the prior's doing."""
    inputs = keras.Input((8, 8, 1))
    logits = keras.layers.Dense(3, kernel_initializer="zeros", name="logits")(keras.layers.Flatten()(inputs))
    network = keras.Model(inputs, logits)
    models.set_metadata(network, models.ModelMetadata(MOODS, 8, prior=SHARES))
    return network


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "equal.keras"
    models.save_model(network, path, network.metadata)
    return path


@pytest.mark.parametrize(
    ("prior", "strength", "expected"),
    [
        ("training", 1.0, [1 / 3, 1 / 3, 1 / 3]),
        ("uniform", 1.0, [0.2, 0.4, 0.4]),  # in proportion to 1 / share
        ("uniform", 0.0, [1 / 3, 1 / 3, 1 / 3]),
        ({"calm": 0.25, "glad": 0.5, "grim": 0.25}, 1.0, [0.5 / 3.5, 2 / 3.5, 1 / 3.5]),
    ],
)
def test_answers_follow_the_prior_in_memory_and_from_a_file(network, saved, prior, strength, expected):
    faces = np.zeros((2, 8, 8), np.uint8)
    for model in (network, saved):  # TensorFlow and LiteRT
        found = fer_tf.predict(faces, model=model, prior=prior, strength=strength).probabilities
        np.testing.assert_allclose(found, [expected] * 2, atol=1e-6)


def test_the_training_shares_survive_the_file(saved):
    assert models.read_metadata(saved).prior == SHARES


@pytest.mark.parametrize(
    ("prior", "strength", "message"),
    [
        ("rare", 1.0, "'training', 'uniform', or a dict"),
        ({"calm": 0.5, "glad": 0.5}, 1.0, "Expected calm, glad, grim"),
        ("uniform", 3.0, "strength is 3.0. Expected 0"),
    ],
)
def test_mistakes(network, prior, strength, message):
    with pytest.raises(UserError, match=message):
        ExpressionClassifier(network, prior=prior, strength=strength)


def test_a_network_that_does_not_know_its_training_says_so(network):
    other = keras.models.clone_model(network)
    models.set_metadata(other, models.ModelMetadata(MOODS, 8))
    with pytest.raises(UserError, match="does not say how frequent the classes were"):
        ExpressionClassifier(other, prior="uniform")
    assert ExpressionClassifier(other).predict(np.zeros((1, 8, 8), np.uint8)).shape == (1, 3)


def test_shares_of_metadata_must_fit_the_classes():
    with pytest.raises(UserError, match="prior must be 3 shares that sum to 1"):
        models.ModelMetadata(MOODS, 8, prior=(0.5, 0.5))


def test_the_command_takes_it(saved, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "face.png")
    command = ["predict", str(tmp_path / "face.png"), "--no-crop", "--model", str(saved), "--csv"]
    with pytest.raises(SystemExit) as end:
        cli.main([*command, str(tmp_path / "a.csv"), "--prior", "calm=0.25,glad=0.5,grim=0.25"])
    assert not end.value.code
    assert ",glad," in (tmp_path / "a.csv").read_text()
    with pytest.raises(SystemExit) as end:
        cli.main([*command, str(tmp_path / "b.csv"), "--prior", "calm=a"])
    assert end.value.code == 2 and "--prior 'calm=a' cannot be read" in capsys.readouterr().err
