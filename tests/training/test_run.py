"""A run: chosen on validation, recorded, recognized when finished, continued exactly when interrupted."""

import itertools
import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import callbacks, run
from fer_tf.training.callbacks import RunFailed
from fer_tf.training.config import RunConfig
from fer_tf.training.parts import load_tables

CONFIG = RunConfig(
    name="tiny", model="vgg(filters=(4, 8), depth=1, head=(8,))", crop=12, batch_size=16, epochs=4, seed=3,
    dropout=0.3, augment=("flip()",), learning_rate=0.05,
)  # fmt: skip


def faces(split, n, seed):
    """Bright left or bright right: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 120, (n, 16, 16, 1))
    images[labels == 0, 3:8, 2:7] += 100
    images[labels == 1, 9:14, 9:14] += 100
    return FaceTable(
        images=images.astype(np.uint8), targets=one_hot(labels, 2), label_set=LabelSet("sides", ("upper", "lower")),
        split=np.full(n, split), ids=np.array([f"{split}{i}" for i in range(n)]),
    )  # fmt: skip


TABLES = {"train": faces("train", 48, 0), "validation": faces("validation", 20, 1), "test": faces("test", 20, 2)}


def execute(config, folder, tables=TABLES, **keywords):
    return run.execute(config, folder, lambda _: tables, **keywords)


def outcome(folder):
    """Everything of a run that must not depend on interruptions."""
    network = models.load_model(folder / run.MODEL)
    history = pd.read_csv(folder / callbacks.HISTORY).drop(columns=["seconds", "images_per_second"])
    with np.load(folder / run.PREDICTIONS) as file:
        return [np.asarray(v) for v in network.weights], history, file["logits"]


def assert_ended_alike(one, other):
    (weights, history, logits), wanted = outcome(one), outcome(other)
    for ours, theirs in zip(weights, wanted[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pd.testing.assert_frame_equal(history, wanted[1], check_exact=True)
    np.testing.assert_array_equal(logits, wanted[2])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, execute(CONFIG, folder)


def test_the_folder_explains_itself(finished):
    folder, metrics = finished
    names = {p.name for p in folder.iterdir()}
    assert names == {"config.json", "environment.json", "history.csv", "metrics.json", "model.keras", "test_logits.npz"}
    assert RunConfig.from_json(json.loads((folder / "config.json").read_text())) == CONFIG
    assert json.loads((folder / "environment.json").read_text())["backend"] == "tensorflow"
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_epoch_is_chosen_on_validation_and_the_model_is_that_epochs(finished):
    folder, metrics = finished
    history = pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert metrics["best_epoch"] == 1 + history["val_accuracy"].argmax()
    assert metrics["val_accuracy"] == history["val_accuracy"].max()
    validation = TABLES["validation"]
    logits = run.evaluation.logits(models.load_model(folder / "model.keras"), validation.images, crop=12)
    assert (logits.argmax(1) == validation.labels).mean() == pytest.approx(metrics["val_accuracy"])


def test_the_last_epoch_is_kept_where_the_configuration_says_so(tmp_path):
    # Validation under the other name of each face: the more is learned, the worse it goes.
    validation = replace(TABLES["validation"], targets=TABLES["validation"].targets[:, ::-1])
    metrics = execute(replace(CONFIG, keep="last"), tmp_path, {**TABLES, "validation": validation})
    history = pd.read_csv(tmp_path / "history.csv")["val_accuracy"]
    assert metrics["best_epoch"] == CONFIG.epochs and metrics["val_accuracy"] == history.iloc[-1] < history.max()
    logits = run.evaluation.logits(models.load_model(tmp_path / "model.keras"), validation.images, crop=12)
    assert (logits.argmax(1) == validation.labels).mean() == pytest.approx(metrics["val_accuracy"])


def test_it_learns_and_scores_test(finished):
    folder, metrics = finished
    with np.load(folder / "test_logits.npz") as file:
        right = (file["logits"].argmax(1) == TABLES["test"].labels).mean()
        assert list(file["ids"]) == list(TABLES["test"].ids)
    assert metrics["test"]["accuracy"] == pytest.approx(right)
    assert metrics["val_accuracy"] > 0.75


def test_the_saved_network_has_no_optimizer_and_gives_logits(finished):
    network = models.load_model(finished[0] / "model.keras")
    assert not network.compiled and network.output_shape == (None, 2)


def test_the_saved_network_says_how_to_use_it(finished):
    facts = models.metadata_of(models.load_model(finished[0] / run.MODEL))
    assert facts.label_set == LabelSet("sides", ("upper", "lower"))
    assert (facts.face_size, facts.gradcam_layer, facts.temperature) == (16, "features", 1.0)
    assert (facts.model, facts.dataset) == (CONFIG.model, CONFIG.dataset)


def test_a_finished_run_is_not_run_again(finished):
    assert "seconds" in finished[1]  # which another training would not take to the microsecond
    assert execute(CONFIG, finished[0]) == finished[1]


@pytest.mark.parametrize(
    "change",
    [
        {},
        pytest.param(
            {"schedule": "plateau(factor=0.5, patience=0)", "optimizer": "adam", "learning_rate": 0.003},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"averaging": "ema(decay=0.9)", "l2": 1e-3, "augment": ("affine(rotation=10)", "mixup()")},
            marks=pytest.mark.slow,
        ),
        {"precision": "bfloat16"},
        pytest.param({"sharpness": 0.05, "schedule": "one_cycle"}, marks=pytest.mark.slow),
        pytest.param(
            {"optimizer": "schedule_free_adamw", "learning_rate": 0.01, "jit_compile": True}, marks=pytest.mark.slow
        ),
    ],
    ids=["plain", "plateau", "ema", "bfloat16", "sam", "schedule-free-jit"],
)
def test_a_continued_run_ends_as_an_uninterrupted_one(change, tmp_path, interrupted):
    config = replace(CONFIG, **change)
    execute(config, tmp_path / "whole")
    interrupted(partial(execute, config, tmp_path / "parts"), tmp_path / "parts", epochs=2)
    assert not (tmp_path / "parts" / "metrics.json").exists()
    execute(config, tmp_path / "parts")
    assert_ended_alike(tmp_path / "whole", tmp_path / "parts")


def test_after_a_kill_the_model_is_of_the_epoch_that_the_checkpoint_names(tmp_path, interrupted):
    """The epoch that was lost may have had the better network: on another machine it need not come again."""
    config = replace(CONFIG, keep="last")
    interrupted(partial(execute, config, tmp_path), tmp_path)
    assert {p.name for p in tmp_path.glob("*.keras")} == {"model-1.keras", "model-2.keras"}
    first, lost = (models.load_model(tmp_path / f"model-{i}.keras").get_weights() for i in (1, 2))
    assert execute(replace(config, epochs=1), tmp_path)["best_epoch"] == 1
    kept = models.load_model(tmp_path / "model.keras").get_weights()
    for ours, theirs in zip(first, kept, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any((ours != theirs).any() for ours, theirs in zip(lost, kept, strict=True))


def test_a_kill_after_the_last_write_leaves_nothing_behind(finished, tmp_path):
    for path in finished[0].iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / run.CHECKPOINT).write_bytes(b"left")
    assert execute(CONFIG, tmp_path) == finished[1]
    assert not (tmp_path / run.CHECKPOINT).exists()


def test_history_has_the_rate_of_each_epoch(tmp_path):
    config = replace(CONFIG, schedule="step(every=1)", learning_rate=0.08, epochs=3)
    execute(config, tmp_path)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "history.csv")["learning_rate"], [0.08, 0.04, 0.02], rtol=1e-6)


@pytest.mark.parametrize(("mode", "rates"), [("min", [1e-4, 1e-4, 1e-4]), ("max", [1e-4, 1e-4, 5e-5])])
def test_plateau_watches_the_loss_or_accuracy(tmp_path, mode, rates):
    # Small steps make the loss a little better, and change no answer.
    schedule = f"plateau(factor=0.5, patience=0, threshold=0.0, mode={mode!r})"
    execute(replace(CONFIG, schedule=schedule, learning_rate=1e-4, epochs=3), tmp_path)
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["val_loss"].is_monotonic_decreasing and history["val_accuracy"].nunique() == 1
    np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-6)


def test_precision_is_recorded_and_never_mixed(tmp_path, interrupted):
    config = replace(CONFIG, precision="bfloat16", epochs=2)
    interrupted(partial(execute, config, tmp_path / "moved"), tmp_path / "moved")
    assert run.read_json(tmp_path / "moved" / run.ENVIRONMENT)["precision"] == "bfloat16"
    config = replace(config, precision="float32")  # which "auto" is where a processor is slow in the other
    execute(config, tmp_path / "moved")
    assert run.read_json(tmp_path / "moved" / run.ENVIRONMENT)["precision"] == "float32"
    execute(config, tmp_path / "whole")
    assert_ended_alike(tmp_path / "moved", tmp_path / "whole")


def test_runs_from_before_precision_was_a_setting_are_finished(finished, tmp_path):
    for path in finished[0].iterdir():
        shutil.copy(path, tmp_path)
    recorded = run.read_json(tmp_path / run.ENVIRONMENT)
    del recorded["precision"]
    (tmp_path / run.ENVIRONMENT).write_text(json.dumps(recorded))
    assert execute(CONFIG, tmp_path) == finished[1]


@pytest.mark.slow
def test_a_broken_checkpoint_means_a_new_start(tmp_path, interrupted):
    interrupted(partial(execute, CONFIG, tmp_path), tmp_path)
    checkpoint = tmp_path / run.CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert execute(CONFIG, tmp_path)["best_epoch"] >= 1


def half(data):
    return data[: len(data) // 2]


def flipped(data):
    """Change a byte in the middle: the zip archive's directory, at its end, stays whole."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 255]) + data[len(data) // 2 + 1 :]


def other_words(data):
    return data.replace(b"val_accuracy", b"no_accuracy")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("model.keras", half), ("model.keras", flipped), ("model.keras", None), ("test_logits.npz", flipped),
        ("test_logits.npz", None), ("history.csv", other_words), ("metrics.json", half), ("metrics.json", other_words),
        ("metrics.json", lambda data: b"[]"), ("metrics.json", lambda data: b'{"test": 3}'),
    ],
)  # fmt: skip
def test_a_run_with_a_damaged_file_is_done_again(finished, tmp_path, file, damage, caplog):
    for path in finished[0].iterdir():
        shutil.copy(path, tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink()
    if damage:
        (tmp_path / file).write_bytes(damage(content))
    metrics = execute(CONFIG, tmp_path)
    assert_ended_alike(tmp_path, finished[0])
    assert metrics["test"] == finished[1]["test"] and metrics["seconds"] != finished[1]["seconds"]
    assert not damage or file in caplog.text


def test_a_damaged_configuration_of_a_finished_run_is_written_again(finished, tmp_path):
    for path in finished[0].iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / run.CONFIG).write_text("{")
    assert execute(CONFIG, tmp_path) == finished[1]
    assert (tmp_path / run.CONFIG).read_text() == (finished[0] / run.CONFIG).read_text()


def test_an_interrupted_run_whose_best_network_is_damaged_starts_over(tmp_path, interrupted):
    config = replace(CONFIG, epochs=2)
    interrupted(partial(execute, config, tmp_path), tmp_path)
    path = tmp_path / "model-1.keras"
    path.write_bytes(half(path.read_bytes()))
    execute(config, tmp_path)
    assert list(pd.read_csv(tmp_path / "history.csv")["epoch"]) == [1, 2]
    models.load_model(tmp_path / run.MODEL)


@pytest.mark.parametrize("progress", ["{}", "[]", '{"later": 1}', '{"epoch": 9, "best_epoch": 9}', None])
def test_a_checkpoint_without_its_progress_is_none(tmp_path, progress):
    np.savez(tmp_path / "c.npz", **({} if progress is None else {"progress": progress}))
    assert callbacks.restore_state(tmp_path / "c.npz", None, None) is None


@pytest.mark.slow
def test_other_data_in_the_same_folder_starts_over(tmp_path):
    first = execute(replace(CONFIG, epochs=1), tmp_path)
    other = {**TABLES, "test": faces("test", 30, 9)}
    assert first["test"]["faces"] == 20
    assert execute(replace(CONFIG, epochs=1), tmp_path, other)["test"]["faces"] == 30


def test_a_diverged_run_is_recorded_and_not_tried_again(tmp_path):
    config = replace(CONFIG, learning_rate=1e30, dropout=0.0)
    with pytest.raises(RunFailed, match=r"(loss is (nan|inf)|not finite)"):
        execute(config, tmp_path)
    assert "epoch 1" in json.loads((tmp_path / "failure.json").read_text())["reason"]
    assert not (tmp_path / "checkpoint.npz").exists()
    (tmp_path / "failure.json").write_text('{"reason": "as was written down"}')
    with pytest.raises(RunFailed, match="as was written down"):
        execute(config, tmp_path)


def test_processes_that_augment_change_nothing(finished, tmp_path):
    run.execute(CONFIG, tmp_path, lambda _: TABLES, processes=2)
    assert_ended_alike(tmp_path, finished[0])


def test_limit_takes_all_classes_of_a_sorted_table_and_size_enlarges(tmp_path, picture):
    for split, label, i in itertools.product(("train", "validation", "test"), ("lower", "upper"), range(8)):
        picture(tmp_path / split / label / f"{i}.png", side=16)
    config = replace(CONFIG, dataset="folder(size=16)", data=str(tmp_path), limit=6, image_size=32)
    tables = load_tables(config)
    assert [len(t) for t in tables.values()] == [6, 6, 6] and tables["test"].image_shape == (32, 32, 1)
    assert all((t.class_counts() >= 2).all() for t in tables.values())


def test_a_split_that_is_missing_is_named():
    with pytest.raises(UserError, match="no 'validation' rows"):
        load_tables(replace(CONFIG, dataset="synthetic(faces=2)"))


def test_a_run_begins_where_another_ended(finished, tmp_path):
    start = str(finished[0] / run.MODEL)
    config = replace(CONFIG, start=start, epochs=1, learning_rate=1e-9, dropout=0.0, augment=())
    metrics = execute(config, tmp_path / "on")
    assert metrics["val_accuracy"] == pytest.approx(finished[1]["val_accuracy"], abs=0.11)
    ours, theirs = (
        models.load_model(p).get_layer("logits").get_weights()[0] for p in (tmp_path / "on" / run.MODEL, start)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    with pytest.raises(UserError, match=r"No model file at .*nowhere\.keras"):
        execute(replace(config, start="nowhere.keras"), tmp_path / "off")
