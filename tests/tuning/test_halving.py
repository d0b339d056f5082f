"""Successive halving: by hand on written histories, and on a real run."""

import json

import pytest

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training.callbacks import CHECKPOINT
from fer_tf.training.config import RunConfig
from fer_tf.training.run import STOPPED
from fer_tf.tuning import Halving, runner

CONFIG = RunConfig(
    name="tiny", dataset="synthetic(faces=120, size=48, seed=1)", model="vgg(filters=(4, 8), depth=1, head=(8,))",
    crop=24, batch_size=16, epochs=2, augment=("light",), learning_rate=0.02,
)  # fmt: skip


def history(*accuracies):
    return [{"epoch": i, "val_accuracy": a} for i, a in enumerate(accuracies, start=1)]


def beside(runs, name, *accuracies, epochs=9, validation="v"):
    """Write what another run has left after some epochs; return its folder."""
    folder = runs / name
    atomic.write_json(folder / "config.json", {"epochs": epochs})
    atomic.write_json(folder / "environment.json", {"validation_digest": validation})
    lines = [f"{i},{a}" for i, a in enumerate(accuracies, start=1)]
    atomic.write_text(folder / "history.csv", "\n".join(["epoch,val_accuracy", *lines]) + "\n")
    return folder


def config(epochs=9):
    return RunConfig(name="own", epochs=epochs)


def test_the_first_and_every_best_so_far_go_on(tmp_path):
    own, rule = beside(tmp_path, "own"), Halving(1)
    assert rule(config(), own, history(0.1)) == ""
    beside(tmp_path, "a", 0.2)
    assert rule(config(), own, history(0.2)) == ""  # a tie
    reason = rule(config(), own, history(0.1999))
    assert reason == "stopped after epoch 1: 1 of 1 other runs were above 19.99 % there"


def test_one_third_goes_on(tmp_path):
    own, rule = beside(tmp_path, "own"), Halving(1)
    for i, accuracy in enumerate((0.1, 0.2, 0.3, 0.4, 0.5)):
        beside(tmp_path, str(i), accuracy)
    # Six runs with its own: two go on, so one may be better.
    assert rule(config(), own, history(0.45)) == ""
    assert "2 of 5" in rule(config(), own, history(0.35))
    assert Halving(1, factor=2)(config(), own, history(0.35)) == ""


def test_runs_are_compared_at_rungs_by_their_best_so_far(tmp_path):
    own, rule = beside(tmp_path, "own"), Halving(1)
    beside(tmp_path, "peaked", 0.9, 0.5, 0.5)
    beside(tmp_path, "younger", 1.0, 1.0)
    late = (0.1, 0.8, 0.8)
    assert [bool(rule(config(), own, history(*late[:n]))) for n in (1, 2, 3)] == [True, False, True]
    assert "1 of 1" in rule(config(), own, history(*late))
    assert rule(config(), own, history(0.1, 0.95, 0.2)) == ""
    # Nothing is left to save after the last epoch.
    assert rule(config(3), beside(tmp_path, "own", epochs=3), history(*late)) == ""


def test_only_runs_as_long_and_judged_by_the_same_faces_are_compared(tmp_path):
    own, rule = beside(tmp_path, "own"), Halving(1)
    beside(tmp_path, "shorter", 0.9, epochs=4)
    beside(tmp_path, "other faces", 0.9, validation="w")
    beside(tmp_path, "older", 0.9).joinpath("environment.json").write_text("{}")
    (tmp_path / "started").mkdir()
    (tmp_path / "file").write_text("")
    assert rule(config(), own, history(0.1)) == ""


def test_rungs():
    assert [e for e in range(1, 30) if Halving(1).compares(e)] == [1, 3, 9, 27]
    assert [e for e in range(1, 30) if Halving(5, 2).compares(e)] == [5, 10, 20]
    with pytest.raises(UserError, match="Expected from at least 1"):
        Halving(0)


@pytest.mark.slow
def test_a_stopped_run_stays_so_until_no_rule_is_given(tmp_path):
    job = runner.Job(CONFIG, runner.run_folder(CONFIG, tmp_path), "")
    load = runner.TableCache()
    beside(tmp_path / "runs", "better", 2.0, epochs=2,
           validation=load(CONFIG)["validation"].digest())  # fmt: skip
    stopped = runner.result_of(job, load, Halving(1))
    assert (stopped.status, stopped.metrics) == ("stopped", None) and "after epoch 1" in stopped.reason
    assert json.loads((job.folder / STOPPED).read_text())["reason"] == stopped.reason
    assert not (job.folder / CHECKPOINT).exists()
    written = (job.folder / "history.csv").stat().st_mtime_ns
    assert runner.result_of(job, load, Halving(1)) == stopped
    assert (job.folder / "history.csv").stat().st_mtime_ns == written
    assert runner.result_of(job, load).status == "done" and not (job.folder / STOPPED).exists()


@pytest.mark.slow
def test_a_run_killed_at_a_rung_is_asked_when_it_goes_on(tmp_path):
    """The kill comes between the checkpoint and the decision."""
    folder, load, asked = tmp_path / "runs" / "r", runner.TableCache(), []

    def killed(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.execute(CONFIG, folder, load, "", killed)
    with pytest.raises(runner.RunStopped, match="enough"):
        runner.execute(CONFIG, folder, load, "", lambda c, f, rows: asked.append(len(rows)) or "enough")
    assert asked == [1]
