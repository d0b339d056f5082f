"""Several runs at once: the folders of one after the other, whatever happens to their processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_tf import models
from fer_tf.training import run
from fer_tf.training.config import RunConfig
from fer_tf.tuning import Processes, runner

CONFIG = RunConfig(
    name="a", dataset="synthetic(faces=120, size=48, seed=1)", model="vgg(filters=(4, 8), depth=1, head=(8,))",
    crop=24, batch_size=16, epochs=2, augment=("light",), learning_rate=0.02, dropout=0.2,
)  # fmt: skip
LONG = replace(CONFIG, epochs=2000)
SWEEP = """
import signal
import sys
from fer_tf.tuning import Processes, runner
from fer_tf.training.config import RunConfig
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
    configs = [RunConfig.from_json(values) for values in {configs}]
    runner.run_all(configs, sys.argv[1], executor=Processes(2))
"""


@pytest.mark.slow
def test_folders_and_results_are_those_of_one_after_the_other(tmp_path):
    configs = [CONFIG, replace(CONFIG, name="b", seed=1), replace(CONFIG, name="wild", learning_rate=1e30)]
    runner.run_all(configs, tmp_path / "one", executor=runner.Local())
    runner.run_all(configs, tmp_path / "two", executor=Processes(2))
    times = ["seconds", "images_per_second"]
    one, two = (pd.read_csv(tmp_path / n / "results.csv").drop(columns=times) for n in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-6)
    assert list(two["status"]) == ["done", "done", "failed"]
    for folder in one["folder"]:
        names = [{p.name for p in (tmp_path / n / "runs" / folder).iterdir()} for n in ("one", "two")]
        assert names[0] == names[1]
    for folder in one["folder"][:2]:
        ours, theirs = (models.load_model(tmp_path / n / "runs" / folder / run.MODEL) for n in ("one", "two"))
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5)


def start(folder, tmp_path, configs):
    """A study of its own, as a script, with a process group that a terminal would interrupt as one."""
    script = tmp_path / "study.py"
    script.write_text(SWEEP.format(configs=[c.to_json() for c in configs]))
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def workers(study):
    """Ids of the processes that do its runs."""
    children = Path(f"/proc/{study.pid}/task/{study.pid}/children").read_text().split()
    return [int(c) for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]


def is_alive(process):
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition):
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_process_is_replaced_and_in_the_end_reported(tmp_path):
    study = start(tmp_path / "out", tmp_path, [LONG])
    checkpoints = tmp_path / "out" / "runs" / LONG.folder() / "checkpoint.npz"
    for _ in range(3):
        before = checkpoints.stat().st_mtime_ns if checkpoints.exists() else 0
        wait_until(lambda: checkpoints.exists() and checkpoints.stat().st_mtime_ns > before and workers(study))  # noqa: B023
        epochs = len(pd.read_csv(checkpoints.with_name("history.csv")))
        os.kill(workers(study)[0], signal.SIGKILL)
    error = study.communicate(timeout=240)[1]
    assert study.returncode == 0 and error.count("again: a: its process died with exit code -9") == 2
    reason = pd.read_csv(tmp_path / "out" / "results.csv").loc[0, "reason"]
    assert reason == "its process died 3 times, at last with exit code -9" and epochs >= 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_no_run_outlives_the_study(kind, tmp_path):
    study = start(tmp_path / "out", tmp_path, [LONG, replace(LONG, name="b")])
    wait_until(lambda: len(list((tmp_path / "out").glob("runs/*/checkpoint.npz"))) == 2)
    running = workers(study)
    assert len(running) == 2
    # A terminal interrupts all processes of the study, a kill ends one.
    os.killpg(study.pid, kind) if kind == signal.SIGINT else study.kill()
    study.communicate(timeout=240)
    wait_until(lambda: not any(map(is_alive, running)))
    assert study.returncode != 0
