import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.labels import FER2013, LabelSet
from fer_tf.models.facts import MEMBER, Facts, facts_of, read_facts, write_facts

FACTS = Facts(FER2013, 48, "features", "vgg(width=0.05)", "fer2013", 1.25)


@pytest.fixture(scope="module")
def network():
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(inputs)), name="tiny")


def test_a_saved_network_comes_back_with_its_facts(network, tmp_path):
    models.save(network, tmp_path / "n.keras", FACTS)
    loaded = models.load(tmp_path / "n.keras")
    assert facts_of(loaded) == FACTS == read_facts(tmp_path / "n.keras")
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(loaded(x), network(x))
    assert [p.name for p in tmp_path.iterdir()] == ["n.keras"]


def test_plain_keras_opens_the_file(network, tmp_path):
    models.save(network, tmp_path / "n.keras", FACTS)
    assert keras.saving.load_model(tmp_path / "n.keras").count_params() == network.count_params()


def test_a_network_without_facts_loads_and_says_what_is_missing(network, tmp_path):
    network.save(tmp_path / "plain.keras")
    loaded = models.load(tmp_path / "plain.keras")
    assert loaded.facts is None
    with pytest.raises(UserError, match=r"Network 'tiny' does not say which classes.*fer_tf\.models\.Facts"):
        facts_of(loaded)
    with pytest.raises(UserError, match="does not say which classes"):
        facts_of(network)


def test_facts_are_written_once_and_equal_facts_are_equal_bytes(network, tmp_path):
    for name in ("a", "b"):
        with zipfile.ZipFile(tmp_path / name, "w"):
            pass
        write_facts(tmp_path / name, FACTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="facts already"):
        write_facts(tmp_path / "a", FACTS)


def test_unknown_keys_of_a_later_version_are_left_out(tmp_path):
    values = {**FACTS.to_json(), "later": 1}
    assert Facts.from_json(json.loads(json.dumps(values))) == FACTS
    assert Facts.from_json({"label_set": {"name": "x", "classes": ["a", "b"]}, "face_size": 9}) == Facts(
        LabelSet("x", ("a", "b")), 9
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"label_set": {"name": "x"}, "face_size": 3}'])
def test_broken_facts_are_one_line(tmp_path, text):
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        archive.writestr(MEMBER, text)
    with pytest.raises(UserError, match=r"n\.keras: fer_tf\.json in it cannot be read"):
        models.load(tmp_path / "n.keras")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "n.keras").write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"n\.keras is no \.keras file"):
        models.load(tmp_path / "n.keras")
    with pytest.raises(UserError, match="No model file at"):
        models.load(tmp_path / "gone.keras")


def test_facts_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FACTS.temperature = 2.0
