"""Every objective trains through ``execute``: its history, its network, and a run that was interrupted."""

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from fer_tf import evaluation, models
from fer_tf.errors import UserError
from fer_tf.training import run
from fer_tf.training.config import RunConfig
from fer_tf.training.objectives import OBJECTIVES
from fer_tf.training.parts import load_tables

# In bfloat16, where losses could lose most; the objectives' own tests are in float32.
CONFIG = RunConfig(
    name="tiny", dataset="synthetic(faces=90)", crop=32, batch_size=16, epochs=2, seed=1, augment=("flip()",),
    optimizer="adam", learning_rate=0.003, precision="bfloat16",
)  # fmt: skip
TRUNK = "width=0.04, depth=1, stem='strided'"
# Objective, model, and the parts that the history has.
RUNS = {
    "classification": ("classification(class_weights='balanced')", "vgg(width=0.02)", ()),
    "scn": ("scn(relabel_from=1, relabel_margin=0.0)", f"scn({TRUNK})", ("weighted_ce", "rank", "relabeled")),
    "dan": ("dan", f"dan({TRUNK}, heads=2)", ("class_loss", "affinity", "partition")),
    "ran": ("ran", f"ran({TRUNK}, region_size=16)", ("class_loss", "rank_biased")),
    "landmarks": ("landmarks", f"landmark_scn({TRUNK})", ("weighted_ce", "rank", "relabeled", "landmark")),
    "multitask": (
        "multitask",
        "efficientnet_b0(width=0.1, depth=1, valence_arousal=True)",
        ("weighted_ce", "ccc_valence", "ccc_arousal"),
    ),
}


NAMES = [pytest.param(name, marks=() if name == "scn" else pytest.mark.slow) for name in RUNS]


@functools.cache
def drawn():
    return load_tables(CONFIG)


def tables(config):
    """The drawn faces, with numbers that stand for valence and arousal, some of them missing."""
    values = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    values[::7] = np.nan
    return {split: replace(faces, valence_arousal=values[: len(faces)]) for split, faces in drawn().items()}


def config_of(name, **changes):
    objective, model, _ = RUNS[name]
    return replace(CONFIG, objective=objective, model=model, **changes)


def test_every_objective_is_run_here():
    assert set(RUNS) | {"distillation"} == set(OBJECTIVES)  # that one needs a teacher: test_distillation.py


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give the folder and the metrics of an objective's run, which is run once."""

    @functools.cache
    def of(name):
        folder = tmp_path_factory.mktemp(name)
        return folder, run.execute(config_of(name), folder, tables)

    return of


@pytest.mark.parametrize("name", NAMES)
def test_history_has_the_parts_and_the_compiled_metrics(name, finished):
    folder, _ = finished(name)
    history = pd.read_csv(folder / "history.csv")
    parts = RUNS[name][2]
    assert list(history.columns) == [
        "epoch", "learning_rate", "loss", "accuracy", *parts, "val_loss", "val_accuracy", "seconds",
        "images_per_second",
    ]  # fmt: skip
    assert np.isfinite(history.to_numpy()).all() and len(history) == 2
    silent = {"relabeled"} if name == "landmarks" else set()  # it relabels only when it is told to
    assert (history["accuracy"] > 0).any() and all((history[p] != 0).any() == (p not in silent) for p in parts)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_alone_is_saved_and_gives_the_recorded_logits(name, finished):
    folder, metrics = finished(name)
    network = models.load_model(folder / "model.keras")
    faces = tables(CONFIG)["test"]
    with np.load(folder / "test_logits.npz") as file:
        np.testing.assert_array_equal(evaluation.logits(network, faces.images, crop=32), file["logits"])
    assert not any(isinstance(layer, keras.Model) for layer in network.layers)
    assert metrics["parameters"] == sum(int(np.prod(v.shape)) for v in network.trainable_variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scn", "dan"])
def test_a_continued_run_ends_as_an_uninterrupted_one(name, finished, tmp_path, interrupted):
    whole, _ = finished(name)
    interrupted(functools.partial(run.execute, config_of(name), tmp_path, tables), tmp_path)
    run.execute(config_of(name), tmp_path, tables)
    clock = ["seconds", "images_per_second"]
    histories = [pd.read_csv(f / "history.csv").drop(columns=clock) for f in (whole, tmp_path)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    networks = [models.load_model(f / "model.keras") for f in (whole, tmp_path)]
    for ours, theirs in zip(*(n.weights for n in networks), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    if name == "scn":
        tables_of_both = [(f / "relabeled.csv").read_text() for f in (whole, tmp_path)]
        assert tables_of_both[0] == tables_of_both[1] and tables_of_both[0].count("\n") > 5


def test_relabeled_says_which_face_changed_when(finished):
    folder, _ = finished("scn")
    rows, train = pd.read_csv(folder / "relabeled.csv"), tables(CONFIG)["train"]
    known = dict(zip(train.ids, np.array(train.label_set.classes)[train.labels], strict=True))
    assert {2} <= set(rows["epoch"]) <= {1, 2} and (rows["old_class"] == rows["id"].map(known)).all()
    share = pd.read_csv(folder / "history.csv")["relabeled"]
    assert share[1] > 0 and len(rows) <= len(train)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "scn"}, "needs a network with layer 'alpha', such as scn"),
        ({"objective": "scn", "model": "scn", "augment": ("mixup()",)}, "'mixup[(][)]' mixes faces, but 'index'"),
        ({"objective": "scnn"}, "Unknown objective 'scnn'. Available: classification"),
        ({"objective": "scn(betas=1)"}, "objective 'scn' takes no 'betas'"),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_before_the_first_batch(change, message, tmp_path):
    with pytest.raises(UserError, match=message):
        run.execute(replace(CONFIG, **change), tmp_path, tables)


def test_runs_from_before_there_were_objectives_keep_their_folder():
    values = {k: v for k, v in CONFIG.to_json().items() if k != "objective"}
    assert RunConfig.from_json(values) == CONFIG and "objective" in CONFIG.to_json()
    assert replace(CONFIG, objective="classification(class_weights='balanced')").digest() != CONFIG.digest()


@pytest.mark.slow
def test_the_same_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed")
    here = Path(__file__)
    files = [str(here.parent / name) for name in ("test_scn.py", "test_multitask.py", here.name)]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *files]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, env=environment, cwd=here.parents[3], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
