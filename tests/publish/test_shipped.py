"""What ships: it loads, it is small, and its cards tell the truth."""

import hashlib
import json

import keras
import numpy as np
import pytest

import fer_tf
from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.models.saving import SHIPPED
from fer_tf.publish import card, model

FILES = sorted(SHIPPED.glob("*.keras"))
CARDS = sorted(SHIPPED.glob("*.json"))
MEGABYTE = 1e6


def test_something_ships_and_default_is_there():
    assert FILES and models.weights_path("default") in FILES
    assert set(models.shipped_names().values()) == set(FILES)
    assert all(models.weights_path(path.stem).is_file() for path in FILES)
    with pytest.raises(UserError, match=r"No model 'nothing'\. Expected one of .*default"):
        models.weights_path("nothing")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_shipped_network_loads_says_what_it_is_and_is_small(path):
    network = fer_tf.load_model(path)
    facts = models.metadata_of(network)
    assert network.output_shape == (None, len(facts.label_set))
    assert facts.views > 1 or facts.gradcam_layer in {layer.name for layer in network.layers}
    assert max(network.input_shape[1:3]) <= facts.face_size
    assert path.stat().st_size < 10 * MEGABYTE
    assert np.isfinite(keras.ops.convert_to_numpy(network(np.zeros((1, *network.input_shape[1:]), "float32")))).all()


def test_all_of_them_are_small_together():
    assert sum(path.stat().st_size for path in FILES) < 40 * MEGABYTE


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_a_card_belongs_to_its_file_and_its_page_is_made_of_it(path):
    record = json.loads(path.read_text())
    content = path.with_suffix(".keras").read_bytes()
    assert record["file"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert path.with_suffix(".md").read_text() == card.render(record)
    assert not any(c["ids"] for c in record["data"]["copies"])


NUMBERS = ("accuracy", "macro_f1", "balanced_accuracy", "ece")


@pytest.mark.real
@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.stem)
def test_the_shipped_file_has_the_scores_of_its_card(path, real_data):
    record = json.loads(path.read_text())
    network = fer_tf.load_model(path.stem)
    dataset = record["data"]["dataset"]
    tables = model.load_faces(dataset, str(real_data), network.metadata.face_size)
    assert {s: len(t) for s, t in tables.items()} == record["data"]["faces"]
    assert tables["test"].digest() == record["data"]["digest"]["test"]
    opinions = model.load_distributions(dataset, str(real_data), network.metadata.face_size)
    found = model.measured_scores(network, tables, opinions, network.metadata.temperature)
    for part in ("validation", "test", "test_flip", "test_without_copies"):
        for name in NUMBERS:
            assert found[part][name] == pytest.approx(record[part][name], abs=0.001), (part, name)
        for c, recall in record[part]["recall"].items():
            assert found[part]["recall"][c] == pytest.approx(recall, abs=0.001), (part, c)
    for name, value in record.get("distribution", {}).items():
        assert found["distribution"][name] == pytest.approx(value, abs=0.001), name
