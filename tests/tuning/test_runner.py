"""A sweep survives the failure of its runs, and kills at any moment."""

import fcntl
import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training import run
from fer_tf.training.config import RunConfig
from fer_tf.tuning import runner

CONFIG = RunConfig(
    name="tiny", dataset="synthetic(faces=120, size=48, seed=1)", model="vgg(filters=(4, 8), depth=1, head=(8,))",
    crop=24, batch_size=16, epochs=2, augment=("light",), learning_rate=0.02, dropout=0.2,
)  # fmt: skip
DONE = {
    "best_epoch": 1,
    "val_accuracy": 0,
    "seconds": 1,
    "images_per_second": 1,
    "test": {"accuracy": 0, "macro_f1": 0},
}
TIMES = ["seconds", "images_per_second"]


@pytest.mark.slow
def test_one_row_a_run_and_the_failed_with_their_reason(tmp_path, capsys):
    configs = [
        replace(CONFIG, name="wild", learning_rate=1e30),
        replace(CONFIG, name="lost", dataset="fer2013", data=str(tmp_path / "nowhere")),
        replace(CONFIG, name="good"),
    ]
    ended = runner.run_all(configs, tmp_path)
    table = pd.read_csv(tmp_path / "results.csv").set_index("run")
    assert list(table["status"]) == ["failed", "failed", "done"]
    assert "epoch 1" in table.loc["wild", "reason"] and "nowhere" in table.loc["lost", "reason"]
    assert table.loc["good", "test_accuracy"] == ended[2].metrics["test"]["accuracy"]
    assert 1 <= table.loc["good", "best_epoch"] <= 2
    assert "failed: wild" in capsys.readouterr().err


def test_the_columns_that_users_read():
    wanted = "run model optimizer schedule seed epochs best_epoch val_accuracy test_accuracy test_macro_f1 seconds"
    assert list(runner.COLUMNS[:12]) == [*wanted.split(), "images_per_second"]


def test_what_nobody_foresaw_ends_one_run_only(tmp_path, monkeypatch):
    def burst(config, *_):
        raise ZeroDivisionError("in the\nmiddle") if config.name == "bad" else KeyboardInterrupt

    monkeypatch.setattr(runner, "execute", burst)
    with pytest.raises(KeyboardInterrupt):
        runner.run_all([replace(CONFIG, name="bad"), CONFIG], tmp_path)
    assert pd.read_csv(tmp_path / "results.csv")["reason"].tolist() == ["ZeroDivisionError: in the middle"]
    assert "burst" in next(tmp_path.glob("runs/bad-*/traceback.txt")).read_text()


def test_a_selection_keeps_the_finished_others_in_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "execute", lambda config, *_: METRICS_OF[config.name])
    METRICS_OF = {n: {**DONE, "val_accuracy": v} for n, v in (("a", 0.1), ("b", 0.2), ("c", 0.3))}
    configs = [replace(CONFIG, name=n, seed=i) for i, n in enumerate("abc")]
    folder = tmp_path / "runs" / configs[2].folder()
    atomic.write_json(folder / "metrics.json", METRICS_OF["c"])
    ended = runner.run_all(configs, tmp_path, selected={"a"})
    assert [r.config.name for r in ended] == ["a", "c"]
    assert pd.read_csv(tmp_path / "results.csv")["val_accuracy"].tolist() == [0.1, 0.3]


def test_two_processes_do_not_share_a_folder(tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another process is at work"):
            runner.run_all([CONFIG], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is no folder"):
        runner.run_all([CONFIG], tmp_path / "file")


@pytest.mark.slow
def test_a_full_disk_fails_the_run_and_a_restart_mends_it(tmp_path):
    """A file-size limit stands for the full disk: the system refuses the write in the same place."""
    config = replace(CONFIG, epochs=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    load = runner.TableCache()
    load(config)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        ended = runner.run_all([config, replace(config, name="b", seed=1)], tmp_path, load)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert all(r.metrics is None and "File too large" in r.reason for r in ended)
    assert list(pd.read_csv(tmp_path / "results.csv")["status"]) == ["failed", "failed"]
    assert runner.run_all([config], tmp_path, load)[0].metrics["best_epoch"] == 1


def test_the_same_run_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="same name and settings"):
        runner.run_all([CONFIG, CONFIG], tmp_path)


def test_runs_of_one_dataset_share_its_table(monkeypatch):
    reads = []
    monkeypatch.setattr(runner, "load_tables", lambda config: reads.append(config.name))
    load = runner.TableCache()
    for config in (CONFIG, replace(CONFIG, seed=5), replace(CONFIG, limit=3, name="limited")):
        load(config)
    assert reads == ["tiny", "limited"]


SWEEP = """
import sys
from dataclasses import replace
from fer_tf.tuning import runner
from fer_tf.training.config import RunConfig
base = RunConfig.from_json({config})
runner.run_all([base, replace(base, name="adam", optimizer="adam", learning_rate=0.002)], sys.argv[1])
"""


def start(folder):
    code = SWEEP.format(config=replace(CONFIG, epochs=5).to_json())
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stderr=subprocess.DEVNULL, env=os.environ.copy())


@pytest.mark.slow
def test_killed_at_random_points_it_ends_as_if_never_killed(tmp_path):
    assert start(tmp_path / "whole").wait() == 0
    draws, kills = random.Random(4), 0
    runs = tmp_path / "killed" / "runs"
    while kills < 4:
        sweep = start(tmp_path / "killed")
        seen = len(list(runs.glob("*/*")))
        while sweep.poll() is None and len(list(runs.glob("*/*"))) == seen:
            time.sleep(0.01)  # until it has got as far as writing; then somewhere in the work
        time.sleep(draws.uniform(0.0, 1.5))
        if sweep.poll() is not None:
            break
        sweep.send_signal(signal.SIGKILL)
        assert sweep.wait() == -signal.SIGKILL
        kills += 1
    assert kills >= 2
    assert start(tmp_path / "killed").wait() == 0
    whole, killed = (pd.read_csv(tmp_path / name / "results.csv").drop(columns=TIMES) for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(whole, killed, check_exact=True)
    for folder in whole["folder"]:
        ours, theirs = (models.load_model(tmp_path / n / "runs" / folder / run.MODEL) for n in ("whole", "killed"))
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        assert {p.name for p in (runs / folder).iterdir()} == {
            p.name for p in (tmp_path / "whole/runs" / folder).iterdir()
        }


def test_scores_are_computed_once_for_a_network_and_its_faces(tmp_path):
    asked, result = [], runner.Result(CONFIG, tmp_path, {})

    def score(network):
        asked.append(network)
        return {"weight": float(np.asarray(network.weights[-1])[0])}

    def found(value):
        network = models.get("vgg(filters=(2,), depth=1, head='gap')", 7, (8, 8, 1))
        network.weights[-1].assign(np.full(7, value))
        network.save(tmp_path / run.MODEL)
        return runner.scored_once(result, "scores.json", "a", score)

    assert found(1.0)["weight"] == 1
    path = tmp_path / "scores.json"
    before, count = path.read_text(), len(asked)
    assert runner.scored_once(result, "scores.json", "a", score)["weight"] == 1 and len(asked) == count
    assert runner.scored_once(result, "scores.json", "b", score)["weight"] == 1 and len(asked) == count + 1
    assert path.read_text() != before
    path.write_text("broken")
    assert runner.scored_once(result, "scores.json", "b", score)["weight"] == 1 and len(asked) == count + 2
    assert found(2.0)["weight"] == 2
