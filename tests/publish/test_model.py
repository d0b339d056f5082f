"""From a run's folder to a calibrated network, its numbers and its card."""

import json
import shutil

import numpy as np
import pytest

from fer_tf import datasets, evaluation, models
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.labels import FERPLUS
from fer_tf.metrics import calibration
from fer_tf.metrics.distribution import softmax
from fer_tf.publish import model
from fer_tf.training import run
from fer_tf.training.config import RunConfig

FACES = "synthetic(faces=160, seed=2)"
CONFIG = RunConfig(
    name="small", dataset=FACES, model="vgg(filters=(4, 8), depth=1, head='gap')", crop=40, epochs=2, batch_size=16,
    optimizer="adam", learning_rate=0.01,
)  # fmt: skip
NOTES = model.Notes("python experiments/small.py", "a machine", "another machine")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run.execute(CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def shipped(finished, tmp_path_factory):
    out = tmp_path_factory.mktemp("cards")
    paths = model.publish_model(finished, "small-faces", out=out, notes=NOTES)
    assert [p.name for p in paths] == ["small-faces.keras", "small-faces.json", "small-faces.md"]
    return paths[0], json.loads(paths[1].read_text()), paths[2].read_text()


def test_the_network_keeps_its_weights_and_gets_the_temperature_of_validation(finished, shipped):
    before, after = models.load_model(finished / run.MODEL), models.load_model(shipped[0])
    for ours, theirs in zip(after.weights, before.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    validation = datasets.get(FACES).select("validation")
    wanted = calibration.fit_temperature(evaluation.logits(after, validation.images), validation.targets)
    assert after.metadata.temperature == pytest.approx(wanted) != 1
    assert after.metadata.label_set == before.metadata.label_set and after.metadata.face_size == 48


def test_the_record_has_the_scores_of_the_calibrated_network(shipped):
    path, record, _ = shipped
    network, tables = models.load_model(path), datasets.get(FACES)
    for split in ("validation", "test"):
        faces = tables.select(split)
        probabilities = softmax(evaluation.logits(network, faces.images) / network.metadata.temperature)
        right = probabilities.argmax(1) == faces.labels
        assert record[split]["accuracy"] == pytest.approx(right.mean()) and record[split]["faces"] == len(faces)
        likelihood = -np.log(probabilities[np.arange(len(faces)), faces.labels]).mean()
        assert record[split]["nll"] == pytest.approx(likelihood, rel=1e-6)
        after = record["calibration"][split]["after"]
        assert after["nll"] == pytest.approx(likelihood, rel=1e-6)
        assert after["overconfidence"] == pytest.approx(probabilities.max(1).mean() - right.mean(), abs=1e-9)
    assert record["calibration"]["validation"]["after"]["nll"] <= record["calibration"]["validation"]["before"]["nll"]
    confusion = np.array(record["test"]["confusion"])
    called = confusion.sum(0)
    for i, c in enumerate(record["test"]["classes"]):
        expected = confusion[i, i] / called[i] if called[i] else None
        assert record["test"]["precision"][c] == (pytest.approx(expected) if expected is not None else None)
    strengths = record["prior"]["test"]
    assert [row["strength"] for row in strengths] == [0, 0.25, 0.5, 0.75, 1]
    assert strengths[0]["accuracy"] == record["test"]["accuracy"]
    assert sum(record["prior"]["shares"].values()) == pytest.approx(1)


def test_the_record_says_what_the_data_and_the_network_were(finished, shipped):
    path, record, _ = shipped
    table = datasets.get(FACES)
    assert record["data"]["digest"] == {s: table.select(s).digest() for s in ("train", "validation", "test")}
    assert [(c["of"], c["in"]) for c in record["data"]["copies"]] == [
        ("validation", "train"), ("test", "train"), ("test", "validation"),
    ]  # fmt: skip
    assert all(c["ids"] == c["exact"] == 0 for c in record["data"]["copies"])
    assert record["file"]["bytes"] == path.stat().st_size
    network = models.load_model(path)
    assert record["network"]["parameters"] == sum(int(np.prod(w.shape)) for w in network.trainable_weights)
    assert record["network"]["milliseconds"] > 0 and record["network"]["input"] == [40, 40, 1]
    assert record["training"]["best_epoch"] == json.loads((finished / run.METRICS).read_text())["best_epoch"]
    assert RunConfig.from_json(record["training"]["config"]) == CONFIG


def test_the_card_shows_it(shipped):
    _, record, card = shipped
    for heading in ("# small-faces", "## Do not use", "## Data and licenses", "## Known failure modes", "## Reproduce"):
        assert f"{heading}\n" in card
    assert f"**{100 * record['test']['accuracy']:.2f} %**" in card and record["data"]["digest"]["test"] in card
    assert "a machine" in card and "python experiments/small.py" in card
    for line in card.split("\n"):
        assert not line.startswith("|") or line.endswith("|")
    tables = [block.split("\n") for block in card.split("\n\n") if block.startswith("|")]
    assert len(tables) == 7 and all(len({row.count("|") for row in rows}) == 1 for rows in tables)


def test_the_card_of_a_class_says_how_little_is_found(shipped):
    _, record, card = shipped
    confusion = np.array(record["test"]["confusion"])
    for name, row, i in zip(record["test"]["classes"], confusion, range(7), strict=True):
        if row.sum() and row[i] / row.sum() < 0.5:
            assert f"- {name}: {100 * row[i] / row.sum():.1f} ± " in card
            return
    pytest.fail("the tiny network finds every class: make it worse")


def test_no_folder_of_anybody_is_told(finished, shipped, tmp_path):
    config = json.loads((finished / "config.json").read_text())
    config |= {"objective": "classification", "start": str(finished / "model.keras")}
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "config.json").write_text(json.dumps(config))
    paths = model.publish_model(folder, "begun", out=tmp_path / "out")
    text = paths[1].read_text() + paths[2].read_text()
    assert "started from the weights of `model.keras`" in text and str(finished.parent) not in text
    cut = model._without_folders("distillation(teachers=('/a/b c/t.keras', '/x.keras'), weight=1/2)")
    assert cut == "distillation(teachers=('t.keras', 'x.keras'), weight=1/2)"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("Small Faces", {}, "'Small Faces' is not a valid name"),
        ("small", {"run": "nowhere"}, "nowhere is not a finished run"),
        (
            "small",
            {"dataset": "synthetic(faces=60, label_set='ferplus')"},
            "The network has the classes angry, .* but synthetic",
        ),
        ("small", {"dataset": "fer2013"}, "dataset 'fer2013' needs data"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(name, change, message, finished, tmp_path):
    with pytest.raises(UserError, match=message):
        model.publish_model(**{"run": finished, "name": name, "out": tmp_path / "out", **change})
    assert not (tmp_path / "out").exists()


def test_a_dataset_with_votes_is_scored_against_the_annotators_too(tmp_path):
    faces = "synthetic_ferplus(faces=160, mode='cross_entropy')"
    taught = "distillation(teachers=('a/t.keras',))"
    folder = tmp_path / "run"
    config = RunConfig(name="votes", dataset=faces, model=CONFIG.model, crop=40, objective=taught)
    atomic.write_json(folder / run.CONFIG, config.to_json())
    scores = {"accuracy": 0.5, "macro_f1": 0.4}
    metrics = {"seconds": 90.0, "best_epoch": 1, "val_accuracy": 0.5, "images_per_second": 10.0, "test": scores}
    atomic.write_json(folder / run.METRICS, metrics)
    facts = models.ModelMetadata(FERPLUS, 48, "features", config.model, config.dataset)
    models.save_model(models.get(config.model, 8, (40, 40, 1)), folder / run.MODEL, facts)
    path, numbers, card = model.publish_model(folder, "votes", out=tmp_path / "out")
    record = json.loads(numbers.read_text())
    faces = datasets.get("synthetic_ferplus(faces=160, evaluation='cross_entropy')").select("test")
    network = models.load_model(path)
    logits = evaluation.logits(network, faces.images) / network.metadata.temperature
    assert record["distribution"] == evaluation.distribution_scores(logits, faces)
    assert record["distribution"]["faces"] == len(faces) > record["test"]["faces"]
    text = card.read_text()
    assert "| test | " in text and "entropy correlation ↑" in text
    assert "distilled from other networks: `distillation(" in text and "Training took 2 minutes" in text
