import dataclasses
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import DataError, UserError
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
    with pytest.raises(UserError, match=r"Network 'tiny' does not say which classes.*fer_tf\.models\.set_metadata"):
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


def test_the_save_of_keras_keeps_the_metadata(network, tmp_path):
    models.save_model(network, tmp_path / "n.keras", METADATA)
    models.load_model(tmp_path / "n.keras").save(tmp_path / "again.keras")
    assert read_metadata(tmp_path / "again.keras") == METADATA
    loaded = models.load_model(tmp_path / "again.keras")
    assert metadata_of(loaded) == METADATA
    other = dataclasses.replace(METADATA, temperature=2.0)
    models.set_metadata(loaded, other)
    loaded.save(tmp_path / "n.keras")
    assert read_metadata(tmp_path / "n.keras") == other
    script = (
        "import sys, keras; sys.modules['fer_tf'] = None; print(keras.saving.load_model(sys.argv[1]).count_params())"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "n.keras"], capture_output=True, text=True)
    assert done.stdout.strip() == str(network.count_params()), done.stderr


def test_metadata_set_by_hand_is_kept_once_it_was_used(tmp_path):
    loaded = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(7)])
    loaded.metadata = METADATA
    assert metadata_of(loaded) == METADATA
    loaded.save(tmp_path / "n.keras")
    assert models.load_model(tmp_path / "n.keras").metadata == METADATA


def ending(*layers, inputs=None):
    x = inputs = keras.Input((4, 4, 1)) if inputs is None else inputs
    for layer in (keras.layers.Flatten(), *layers):
        x = layer(x)
    return keras.Model(inputs, x, name="ends")


def nested():
    inner = keras.Sequential([keras.Input((16,)), keras.layers.Dense(7, "softmax")])
    return ending(inner)


def averaged():
    inputs = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.average([keras.layers.Dense(7, "sigmoid")(flat) for _ in range(2)]))


def in_a_dict():
    inputs = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, {"logits": keras.layers.Dense(7, "softmax")(flat), "x": keras.layers.Dense(2)(flat)})


PROBABILITIES = {
    "dense": lambda: ending(keras.layers.Dense(7, "softmax")),
    "layer": lambda: ending(keras.layers.Dense(7), keras.layers.Softmax()),
    "activation": lambda: ending(keras.layers.Dense(7), keras.layers.Activation("sigmoid"), keras.layers.Dropout(0.5)),
    "operation": lambda: ending(keras.layers.Dense(7), keras.ops.softmax, keras.layers.Reshape((7,))),
    "nested": nested,
    "averaged": averaged,
    "dict": in_a_dict,
}


@pytest.mark.parametrize("kind", PROBABILITIES)
def test_a_network_that_gives_probabilities_is_refused(kind, tmp_path):
    network = PROBABILITIES[kind]()
    for attach in (models.set_metadata, lambda n, m: models.save_model(n, tmp_path / "n.keras", m)):
        with pytest.raises(UserError, match=r"ends in (softmax|sigmoid): its outputs would be taken for logits"):
            attach(network, METADATA)
    network.metadata = METADATA
    with pytest.raises(UserError, match="ends in"):
        metadata_of(network)
    network.save(tmp_path / "n.keras")
    with zipfile.ZipFile(tmp_path / "n.keras", "a") as archive:
        archive.writestr(MEMBER, json.dumps(METADATA.to_json()))
    with pytest.raises(DataError, match=r"n\.keras cannot be loaded: Network .* ends in"):
        models.load_model(tmp_path / "n.keras")


@pytest.mark.parametrize("last", ["linear", "relu", "log_softmax"])
def test_other_endings_are_logits(last):
    network = ending(keras.layers.Dense(7, "softmax"), keras.layers.Dense(7, last))
    models.set_metadata(network, METADATA)
    assert metadata_of(network) == METADATA


def test_metadata_of_another_network_is_refused(network, tmp_path):
    three = ending(keras.layers.Dense(3))
    with pytest.raises(UserError, match="'ends' has 3 outputs, but 7 classes are named: angry, disgust"):
        models.set_metadata(three, METADATA)
    with pytest.raises(UserError, match=r"'tiny' takes faces of 4×4 pixels.*face_size of at least that, got 3"):
        models.set_metadata(network, dataclasses.replace(METADATA, face_size=3))
    three.save(tmp_path / "n.keras")
    with zipfile.ZipFile(tmp_path / "n.keras", "a") as archive:
        archive.writestr(MEMBER, json.dumps(METADATA.to_json()))
    with pytest.raises(DataError, match=r"n\.keras cannot be loaded: .* has 3 outputs, but 7 classes are named"):
        models.load_model(tmp_path / "n.keras")
    with pytest.raises(UserError, match="ModelMetadata, got 'fer2013'"):
        models.set_metadata(network, "fer2013")


@pytest.mark.parametrize(
    ("key", "value"),
    [("face_size", 0), ("face_size", 4.5), ("temperature", float("nan")), ("temperature", -1), ("views", "2"),
     ("label_set", ("a", "b")), ("label_set", LabelSet("one", ("a",))), ("gradcam_layer", 3)],
)  # fmt: skip
def test_metadata_is_checked(key, value):
    with pytest.raises(UserError, match=key):
        dataclasses.replace(METADATA, **{key: value})


def repacked(path, change):
    """Write the file's entries anew, as ``change`` gives them."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(entries).items():
            archive.writestr(name, content)


@pytest.mark.parametrize("entry", ["config.json", "model.weights.h5"])
def test_a_file_without_an_entry_is_one_line(network, tmp_path, entry):
    models.save_model(network, tmp_path / "n.keras", METADATA)
    repacked(tmp_path / "n.keras", lambda entries: {k: v for k, v in entries.items() if k != entry})
    with pytest.raises(DataError, match=rf"n\.keras is not a \.keras file: {entry} is missing in it"):
        models.load_model(tmp_path / "n.keras")


def configuration(thing):
    return json.dumps(keras.saving.serialize_keras_object(thing)).encode()


EMPTY = configuration(keras.Model())


@pytest.mark.parametrize(
    "config",
    [b"", b"{}", b"[]", b"null", b"3", b"\xff", EMPTY, configuration(keras.layers.Dense(7))],
)
def test_a_broken_configuration_is_one_line(network, tmp_path, config):
    models.save_model(network, tmp_path / "n.keras", METADATA)
    repacked(tmp_path / "n.keras", lambda entries: {**entries, "config.json": config})
    with pytest.raises(DataError, match=r"n\.keras"):
        models.load_model(tmp_path / "n.keras")
    if config == EMPTY:  # without metadata, that is a network like any other
        return
    repacked(tmp_path / "n.keras", lambda entries: {k: v for k, v in entries.items() if k != MEMBER})
    with pytest.raises(DataError, match=r"n\.keras"):
        models.load_model(tmp_path / "n.keras")


@pytest.mark.parametrize("entry", ["config.json", "model.weights.h5", MEMBER])
def test_a_wrong_checksum_is_one_line(network, tmp_path, entry):
    path = tmp_path / "n.keras"
    models.save_model(network, path, METADATA)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(entry)
    data = bytearray(path.read_bytes())
    data[info.header_offset + 30 + len(entry) + info.file_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"n\.keras .*{entry}"):
        models.load_model(path)


def test_entries_that_take_far_more_than_the_file_are_not_read(network, tmp_path):
    path = tmp_path / "n.keras"
    for entry in (MEMBER, "config.json", "more"):
        network.save(path)
        size = 2**29 if entry == "more" else 2**25
        archive = zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1)
        with archive, archive.open(entry, "w") as file:
            for _ in range(size // 2**20):
                file.write(bytes(2**20))
        with pytest.raises(DataError, match=r"n\.keras.*takes? more than"):
            models.load_model(path)


def test_metadata_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        METADATA.temperature = 2.0
