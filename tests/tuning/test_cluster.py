"""A real Ray cluster of this machine with two workers: every run ends exactly once, whoever dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training.config import RunConfig
from fer_tf.tuning import Halving, parallel_runs, runner

# Looked for and not imported: Ray reads settings at its import that are made just before.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'cluster' (Ray, 240 MB) is not installed"),
]

CONFIG = RunConfig(
    name="tiny", dataset="synthetic(faces=90, size=48, seed=1)", model="vgg(filters=(4,), depth=1, head=(8,))",
    crop=24, batch_size=16, epochs=1, learning_rate=0.02,
)  # fmt: skip


def without_keras():
    """Return a function that stands in for training; by value, so that workers need no test module."""

    def execute(config, folder, load, description, stop):
        import os
        import time

        from fer_tf.io import atomic

        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "begun.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if config.name == "raises":
            raise ZeroDivisionError("in a worker")
        if config.name.startswith("long") and len((folder / "begun.txt").read_text().split()) < 2:
            time.sleep(300)  # until it is killed; another worker finds the file and goes on
        if config.name == "deadly":
            os.kill(os.getpid(), 9)
        time.sleep(2 if config.name == "slow" else 0.2)
        metrics = {
            "best_epoch": 1, "val_accuracy": config.seed / 100, "seconds": 1.0, "images_per_second": 1.0,
            "test": {"accuracy": 0.5, "macro_f1": 0.5}, "threads": os.environ["TF_NUM_INTRAOP_THREADS"],
        }  # fmt: skip
        atomic.write_json(folder / "metrics.json", metrics)
        with (folder / "ended.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return metrics

    return execute


@pytest.fixture(scope="module")
def ray():
    """Give an executor on a cluster of two workers; the tests share it, for it takes seconds to start."""
    parallel_runs.connect(None)
    import ray

    try:
        assert parallel_runs.Ray().room() == os.cpu_count()
        # Two at once, however many cores there are.
        executor = parallel_runs.Ray(cpus=os.cpu_count() / 2, retries=1, execute=without_keras())
        assert executor.room() == 2
        yield executor
    finally:
        # Its settings and its token stay in the environment: another cluster of this process needs them.
        ray.shutdown()


def begun(folder):
    path = folder / "begun.txt"
    return [int(pid) for pid in path.read_text().split()] if path.is_file() else []


def test_it_listens_on_loopback_only(ray):
    family = {"tcp": "0100007F", "tcp6": "0000000000000000FFFF00000100007F"}
    ours = inodes_of(ray_processes())
    sockets = [line.split() for kind in family for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    listening = [s[1].split(":")[0] for s in sockets if s[3] == "0A" and s[9] in ours]
    assert len(listening) >= 4 and set(listening) <= {*family.values(), "00000000000000000000000001000000"}


def ray_processes():
    """Return the processes that this one has started, theirs too."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {os.getpid()}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def inodes_of(processes):
    links = [link for p in processes for link in Path(f"/proc/{p}/fd").glob("*") if link.is_symlink()]
    return {str(link.readlink())[8:-1] for link in links if str(link.readlink()).startswith("socket:")}


def test_a_folder_that_the_host_does_not_share_is_named(ray, tmp_path):
    job = runner.Job(CONFIG, runner.run_folder(CONFIG, tmp_path / "elsewhere"), "")
    (result,) = ray([job])
    assert "Give a folder that all hosts share as --out" in result.reason and not job.folder.exists()


class Disturbing:
    """An executor under which something befalls a run's worker, once and as soon as it has begun.

    ``disturb`` is called with the worker's process, and with an event that is set when the others' runs have ended.
    """

    def __init__(self, ray, folder, others, disturb):
        self.ray, self.folder, self.others, self.disturb = ray, folder, others, disturb
        self.ends, self.over = [], threading.Event()

    def __call__(self, jobs):
        helper = threading.Thread(target=self._wait, daemon=True)
        helper.start()
        for result in self.ray(jobs):
            yield result
            self.ends.append(result.folder)
            if len(self.ends) == self.others:
                self.over.set()
        helper.join(60)

    def _wait(self):
        while not begun(self.folder):
            time.sleep(0.02)
        self.disturb(begun(self.folder)[0], self.over)


def test_a_killed_worker_s_run_goes_to_another_and_every_run_ends_once(ray, tmp_path, capsys):
    configs = [replace(CONFIG, name="long"), *(replace(CONFIG, name=f"r{i}", seed=i) for i in range(1, 6))]
    folders = [runner.run_folder(c, tmp_path) for c in configs]
    killed = []

    def kill(worker, over):
        os.kill(worker, signal.SIGKILL)
        killed.append(worker)

    results = runner.run_all(configs, tmp_path, executor=Disturbing(ray, folders[0], 5, kill))
    assert [r.config.name for r in results] == ["long", "r1", "r2", "r3", "r4", "r5"]
    assert begun(folders[0])[:1] == killed and len(begun(folders[0])) == 2
    assert [len(begun(f)) for f in folders[1:]] == [1] * 5
    assert all(len((f / "ended.txt").read_text().split()) == 1 for f in folders)
    assert {r.metrics["threads"] for r in results} == {str(max(1, os.cpu_count() // 2))}
    table = pd.read_csv(tmp_path / "results.csv")
    assert list(table["run"]) == [c.name for c in configs] and set(table["status"]) == {"done"}
    assert list(table["val_accuracy"]) == [0, 0.01, 0.02, 0.03, 0.04, 0.05]
    assert "again: long: lost its worker" in capsys.readouterr().err


def test_the_others_go_past_a_node_that_stands_still(ray, tmp_path):
    """A worker that gets no time of its processor is waited for; its run is neither lost nor begun again."""
    configs = [replace(CONFIG, name="slow"), *(replace(CONFIG, name=f"r{i}", seed=i) for i in range(1, 6))]
    folders = [runner.run_folder(c, tmp_path) for c in configs]

    def halt(worker, over):
        os.kill(worker, signal.SIGSTOP)
        over.wait()
        os.kill(worker, signal.SIGCONT)

    disturbing = Disturbing(ray, folders[0], 5, halt)
    results = runner.run_all(configs, tmp_path, executor=disturbing)
    assert disturbing.ends[-1] == folders[0] and sorted(disturbing.ends[:-1]) == sorted(folders[1:])
    assert [r.status for r in results] == ["done"] * 6 and [len(begun(f)) for f in folders] == [1] * 6


def test_a_run_waits_for_a_process_that_is_still_in_its_folder(ray, tmp_path):
    """What a driver that died has left behind may live for some seconds."""
    folder = runner.run_folder(CONFIG, tmp_path)
    lock = tmp_path / ".locks" / folder.name
    code = "import sys, time; from pathlib import Path; from fer_tf.io import atomic\n"
    code += "with atomic.folder_lock(Path(sys.argv[1])): print(flush=True); time.sleep(3)"
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    other.stdout.readline()
    start = time.monotonic()
    (result,) = runner.run_all([CONFIG], tmp_path, executor=ray)
    other.communicate()
    assert result.status == "done" and time.monotonic() - start > 2


def test_too_much_is_asked_for(ray):
    with pytest.raises(UserError, match="No host of the cluster has 10000 CPU for a run"):
        next(parallel_runs.Ray(cpus=10_000)([]))


def test_a_genuine_run_and_one_that_is_stopped_early(ray, tmp_path):
    """On the cluster as in this process: the same files, and the same values where it runs by the same code."""
    ray = replace(ray, execute=None, stop=Halving(1))
    (there,) = runner.run_all([CONFIG], tmp_path / "there", executor=ray)
    (here,) = runner.run_all([CONFIG], tmp_path / "here")
    assert there.metrics["val_accuracy"] == pytest.approx(here.metrics["val_accuracy"], abs=0.1)
    assert there.metrics.keys() == here.metrics.keys()
    assert {p.name for p in there.folder.iterdir()} == {p.name for p in here.folder.iterdir()}
    better = tmp_path / "there" / "runs" / "better"
    digest = json.loads((there.folder / "environment.json").read_text())["validation_digest"]
    atomic.write_json(better / "config.json", {"epochs": 2})
    atomic.write_json(better / "environment.json", {"validation_digest": digest})
    atomic.write_text(better / "history.csv", "epoch,val_accuracy\n1,2.0\n")
    (stopped,) = runner.run_all([replace(CONFIG, epochs=2)], tmp_path / "there", executor=ray)
    assert stopped.status == "stopped" and "1 of 1 other" in stopped.reason
    assert list(pd.read_csv(tmp_path / "there" / "results.csv")["status"]) == ["stopped"]


def test_a_run_that_kills_its_workers_fails_and_the_others_end(ray, tmp_path):
    ray = replace(ray, retries=0)
    names = ("deadly", "raises", "good")
    configs = [replace(CONFIG, name=n, seed=i) for i, n in enumerate(names)]
    results = runner.run_all(configs, tmp_path, executor=ray)
    assert [r.status for r in results] == ["failed", "failed", "done"]
    assert (
        "lost its worker in attempt 1 of 1: " in results[0].reason
        and results[1].reason == "ZeroDivisionError: in a worker"
    )
    assert len(begun(results[0].folder)) == 1 and "Traceback" in (results[1].folder / "traceback.txt").read_text()
