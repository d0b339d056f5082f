"""Audits of networks: one that knows nothing, one that knows its faces by heart, and shadows of the latter."""

import json
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from fer_tf import cli, datasets, models
from fer_tf.errors import UserError
from fer_tf.labels import LABEL_SETS
from fer_tf.privacy import ATTACKS, AuditedModel, audit_predictions, load_audited_model, networks, read_predictions
from fer_tf.privacy.audit import generalization_gap, needs
from fer_tf.training.config import RunConfig

DATASET = "synthetic(faces=400)"
OUTPUTS = [name for name in ATTACKS if not needs(name, "member") and not needs(name, "shadow_member")]


def dense(side, hidden=64, classes=7):
    """Make a network of two dense layers, which learns faces by heart in seconds."""
    images = keras.Input((side, side, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 64, offset=-2)(images))
    return keras.Model(images, keras.layers.Dense(classes)(keras.layers.Dense(hidden, activation="relu")(x)))


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory):
    """Return the file of a network that was trained on the drawn faces until it knew them all."""
    keras.utils.set_random_seed(0)
    table, network = datasets.get(DATASET).select("train"), dense(48)
    network.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    network.fit(table.images.astype(np.float32), table.targets, batch_size=32, epochs=40, verbose=0)
    path = tmp_path_factory.mktemp("overfitted") / "net.keras"
    models.save_model(network, path, models.ModelMetadata(table.label_set, 48, dataset=DATASET))
    return path


def test_an_untrained_network_gives_nothing_away():
    keras.utils.set_random_seed(1)
    network, rng = dense(8), np.random.default_rng(1)
    network.metadata = models.ModelMetadata(LABEL_SETS["fer2013"], 8)
    images = rng.integers(0, 256, (20_000, 8, 8, 1), np.uint8)
    rows, labels = np.arange(20_000), rng.integers(0, 7, 20_000)
    told = networks.predict_faces(network, networks.AuditedFaces(images, labels, rows < 10_000, rows.astype(str)))
    for attack in audit_predictions(told, [*OUTPUTS, "logistic"], resamples=0):
        assert attack.overall["auc"]["value"] == pytest.approx(0.5, abs=0.02), attack.name
        assert attack.overall["balanced_accuracy"]["value"] == pytest.approx(0.5, abs=0.02), attack.name
        if attack.name != "correctness":  # has two scores, and no threshold that accuses 1 %
            assert attack.overall["tpr_at_1_percent"]["value"] == pytest.approx(0.01, abs=0.005), attack.name


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["privacy", *(str(a) for a in arguments)])
    return ended.value.code


@pytest.mark.slow
def test_a_network_that_knows_its_faces_by_heart_is_found_out(overfitted, tmp_path, capsys):
    assert command(overfitted, "--out", tmp_path, "--resamples", 50) == 0
    record = json.loads((tmp_path / "audit.json").read_text())
    assert record["accuracy"]["members"] == 1 and record["accuracy"]["gap"] > 0.3
    assert record["faces"]["members"] == record["faces"]["non_members"] > 40
    assert record["by_class"]["members"] == record["by_class"]["non_members"]
    for name in ("loss", "confidence", "modified_entropy", "forest"):
        assert record["attacks"][name]["auc"]["low"] > 0.6, name
    assert record["dataset"] == DATASET
    shown = capsys.readouterr().out
    assert "loss threshold" in shown and f"wrote {tmp_path / 'report.html'}" in shown
    # Its own answers, read back, are the same audit.
    assert command("--predictions", tmp_path / "predictions.npz", "--out", tmp_path / "b", "--attacks", "loss") == 0
    again = json.loads((tmp_path / "b" / "audit.json").read_text())
    assert again["attacks"]["loss"]["auc"]["value"] == record["attacks"]["loss"]["auc"]["value"]
    assert generalization_gap(read_predictions(tmp_path / "predictions.npz")) == record["accuracy"]


def test_members_are_scored_as_they_are_with_the_labels_they_were_taught(tmp_path):
    models.save_model(dense(48, 1), tmp_path / "model.keras", models.ModelMetadata(LABEL_SETS["fer2013"], 48))
    config = RunConfig(name="noisy", dataset=DATASET, label_noise=0.3, limit=50, augment=("strong",), seed=2)
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    found = load_audited_model(str(tmp_path / "model.keras"))
    tables = networks.load_tables_of(found)
    clean = datasets.get(DATASET)
    for table in (tables.members, tables.test):
        rows = np.isin(clean.ids, table.ids)
        assert len(table) == 50 and (clean.labels[rows] != table.labels).sum() == 15
        assert np.array_equal(clean.images[rows], table.images)
    faces = networks.draw_faces(tables.members, tables.test, 20)
    for side, table in ((True, tables.members), (False, tables.test)):
        rows = [table.ids.tolist().index(name) for name in faces.ids[faces.member == side]]
        assert np.array_equal(table.images[rows], faces.images[faces.member == side])
        assert np.array_equal(table.labels[rows], faces.labels[faces.member == side])


def test_members_are_chosen_and_labeled_by_the_rule_of_the_test_faces():
    voted = "synthetic_ferplus(faces=300, mode='cross_entropy', temperature=0.5)"
    network = dense(48, 1, classes=8)
    network.metadata = models.ModelMetadata(LABEL_SETS["ferplus"], 48)
    config = RunConfig(name="a", dataset=voted, limit=100)
    tables = networks.load_tables_of(AuditedModel("a", network, config, True))
    assert set(tables.members.ids) < set(tables.train.ids) and len(tables.train) == 100
    majority = datasets.get("synthetic_ferplus(faces=300)")
    rows = np.isin(majority.ids, tables.members.ids)
    assert rows.sum() == len(tables.members) and np.array_equal(majority.targets[rows], tables.members.targets)
    # A test of distributions keeps what training keeps.
    wide = replace(config, dataset=voted.replace("temperature=0.5", "evaluation='cross_entropy'"))
    assert networks.same_rules(wide) == wide


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"dataset": "synthetic(faces=20)"}, {}),
        ({"dataset": "ferplus(mode='majority')"}, {}),
        ({"dataset": "ferplus(labels='fer2013')", "limit": 9}, {"dataset": "ferplus(mode='majority')", "limit": None}),
        ({"dataset": "ferplus(mode='cross_entropy')", "label_noise": 0.1}, {}),
        ({"dataset": "lfwfer(part='plain', evaluation='masked')"}, {"dataset": "lfwfer(part='plain')"}),
        (
            {"cover": "cover(train='masked', evaluation='both')"},
            {"cover": "cover(train='masked', evaluation='masked')"},
        ),
    ],
)
def test_one_rule_for_both_sides(given, expected):
    config = RunConfig(name="a", **given)
    assert networks.same_rules(config) == replace(config, **expected)


def test_shipped_networks_say_how_they_were_trained():
    found = load_audited_model("default", "synthetic(faces=20)")
    assert found.trained and found.config.epochs > 1 and found.config.data is None
    assert not found.config.networks


RECIPE = RunConfig(
    name="recipe", dataset=DATASET, model="vgg(filters=(4, 8), depth=1, head=(8,))", crop=None, batch_size=32, epochs=1,
    optimizer="adam", learning_rate=0.01,
)  # fmt: skip


@pytest.mark.slow
def test_shadow_models_are_trained_once(overfitted, tmp_path, capsys):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(RECIPE.to_json()))
    arguments = (overfitted, "--out", tmp_path / "out", "--shadows", 2, "--resamples", 0, "--shadow-run", recipe)
    assert command(*arguments) == 0
    record = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert record["shadow_models"] == 2 and {"shadow", "lira", "lira_online"} < set(record["attacks"])
    assert record["attacks"]["lira"]["auc"]["value"] > 0.6
    runs = sorted((tmp_path / "out" / "shadows").glob("*/metrics.json"))
    written = [path.stat().st_mtime_ns for path in runs]
    told = read_predictions(tmp_path / "out" / "predictions.npz")
    assert len(runs) == 2 and np.array_equal(told.shadows.member[0], ~told.shadows.member[1])
    # What a shadow was tested on are the faces that it was not trained on.
    seen = np.load(runs[0].with_name("test_logits.npz"))["ids"]
    assert set(told.ids[~told.shadows.member[0]]) <= set(seen)
    assert command(*arguments) == 0
    assert [path.stat().st_mtime_ns for path in runs] == written
    assert json.loads((tmp_path / "out" / "audit.json").read_text()) == record


def test_shadow_runs_differ_in_seed_only():
    runs = networks.shadow_configs(RECIPE, 3, epochs=7)
    assert [c.seed for c in runs] == [1, 2, 3] and {c.epochs for c in runs} == {7}
    assert len({c.folder() for c in runs}) == 3 and {c.model for c in runs} == {RECIPE.model}
    with pytest.raises(UserError, match="this recipe needs other networks"):
        networks.shadow_configs(RunConfig(name="a", start="a.keras"), 2)
    with pytest.raises(UserError, match="this recipe needs landmarks"):
        networks.shadow_configs(RunConfig(name="a", objective="landmarks", model="landmark_scn"), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a MODEL, or --predictions FILE"),
        (["default", "--predictions", "a.npz"], "one of the two"),
        (["no.keras"], "No model 'no.keras'"),
        (["default"], "needs data"),
        (["default", "--dataset", "cifar"], "Unknown dataset 'cifar'"),
        (["default", "--attacks", "guess"], "Unknown attack 'guess'"),
        (["default", "--attacks", "lira"], "'lira' needs shadow models"),
        (["default", "--shadows", "3"], "--shadows 3: expected an even number"),
        (["default", "--faces", "1"], "--faces 1: expected 2 or more"),
        (["--predictions", "a.npz", "--shadows", "2"], "--shadows needs a network"),
        (["--predictions", "a.npz"], "No file of predictions at"),
        (["default", "--out", "/dev/null"], "/dev/null is no folder"),
    ],
)
def test_a_users_mistake_is_one_line_and_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*arguments) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert len(shown) == 1 and message in shown[0]


def test_help_has_examples_and_the_file_format(capsys):
    assert command("--help") == 0
    shown = capsys.readouterr().out
    assert "fer-tf privacy default --data DIR" in shown and "shadow_logits float (S, N, C)" in shown


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert command("default", "--dataset", "synthetic") == 2
    assert "pip install 'fer-tf[privacy]'" in capsys.readouterr().err
