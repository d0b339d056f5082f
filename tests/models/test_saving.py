import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.labels import FER2013, LabelSet
from fer_tf.models import ModelMetadata, metadata_of, read_metadata

MEMBER = "fer_tf.json"
METADATA = ModelMetadata(FER2013, 48, "features", "vgg(width=0.05)", "fer2013", 1.25)


@pytest.fixture(scope="module")
def network():
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(inputs)), name="tiny")


def test_a_saved_network_comes_back_with_its_metadata(network, tmp_path):
    models.save_model(network, tmp_path / "n.keras", METADATA)
    loaded = models.load_model(tmp_path / "n.keras")
    assert metadata_of(loaded) == METADATA == read_metadata(tmp_path / "n.keras")
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(loaded(x), network(x))
    assert [p.name for p in tmp_path.iterdir()] == ["n.keras"]


def test_plain_keras_opens_the_file(network, tmp_path):
    models.save_model(network, tmp_path / "n.keras", METADATA)
    assert keras.saving.load_model(tmp_path / "n.keras").count_params() == network.count_params()


def test_a_network_without_metadata_loads_and_says_what_is_missing(network, tmp_path):
    network.save(tmp_path / "plain.keras")
    loaded = models.load_model(tmp_path / "plain.keras")
    assert loaded.metadata is None
    with pytest.raises(UserError, match=r"Network 'tiny' does not say which classes.*fer_tf\.models\.ModelMetadata"):
        metadata_of(loaded)
    with pytest.raises(UserError, match="does not say which classes"):
        metadata_of(network)


def test_equal_metadata_is_equal_bytes(network, tmp_path):
    members = []
    for name in ("a.keras", "b.keras"):
        models.save_model(network, tmp_path / name, METADATA)
        with zipfile.ZipFile(tmp_path / name) as archive:
            members.append((archive.read(MEMBER), archive.getinfo(MEMBER).date_time))
    assert members[0] == members[1]


def test_unknown_keys_of_a_later_version_are_left_out(tmp_path):
    values = {**METADATA.to_json(), "later": 1}
    assert ModelMetadata.from_json(json.loads(json.dumps(values))) == METADATA
    assert ModelMetadata.from_json(
        {"label_set": {"name": "x", "classes": ["a", "b"]}, "face_size": 9}
    ) == ModelMetadata(LabelSet("x", ("a", "b")), 9)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"label_set": {"name": "x"}, "face_size": 3}'])
def test_broken_metadata_is_one_line(tmp_path, text):
    with zipfile.ZipFile(tmp_path / "n.keras", "w") as archive:
        archive.writestr(MEMBER, text)
    with pytest.raises(UserError, match=r"n\.keras: fer_tf\.json in it cannot be read"):
        models.load_model(tmp_path / "n.keras")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "n.keras").write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"n\.keras is not a \.keras file"):
        models.load_model(tmp_path / "n.keras")
    with pytest.raises(UserError, match=r"No model .*gone\.keras"):
        models.load_model(tmp_path / "gone.keras")


def test_metadata_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METADATA.temperature = 2.0
