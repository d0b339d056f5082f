"""The job on a real Ray cluster of this machine with two workers: one record a photograph, whoever dies."""

import json
import os
import signal
import sys
import threading
import time
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.shards import ShardOptions, prepare, verify
from fer_tf.shards.cluster import RayData, Worker
from fer_tf.shards.plan import Task

OPTIONS = ShardOptions(size=8, faces="whole", shard_images=5)


@pytest.fixture
def photographs(tmp_path):
    root, rng = tmp_path / "faces", np.random.default_rng(0)
    root.mkdir()
    for i in range(58):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(root / f"{i:02d}.png")
    (root / "bad.png").write_text("<html>")
    return root


def with_a_stuck_photograph():
    """Return a kind of task whose photograph 32.png holds up the first worker; by value, so that workers know it."""

    class Stuck(Task):
        def path_of(self, name):
            import os
            import time

            begun = self.dst / ".begun"
            if name == "32.png" and not begun.exists():
                begun.write_text(str(os.getpid()))
                time.sleep(300)  # until it is killed; another worker finds the file and goes on
            return super(type(self), self).path_of(name)

    return Stuck


class Killing(RayData):
    """An executor that kills the worker which is stuck in the middle of a shard."""

    halves: tuple = ()

    def __call__(self, task, blocks):
        helper = threading.Thread(target=self._kill, args=[task.dst], daemon=True)
        helper.start()
        yield from super().__call__(with_a_stuck_photograph()(task.src, task.dst, task.options), blocks)
        helper.join()

    def _kill(self, folder):
        while not (folder / ".begun").is_file() or not (folder / ".begun").read_text():
            time.sleep(0.02)
        worker = int((folder / ".begun").read_text())
        self.halves = tuple(folder.glob(f".part-{worker}-*"))
        os.kill(worker, signal.SIGKILL)


def shards(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if not p.name.startswith(".")}


@pytest.mark.slow
@pytest.mark.skipif(
    # Looked for and not imported: Ray reads settings at its import that are made just before. They stay in the
    # environment, since another cluster of this process needs them.
    find_spec("ray") is None or find_spec("pyarrow") is None,
    reason="the extra 'cluster' is not installed",
)
def test_a_killed_worker_s_shard_is_written_by_another(photographs, tmp_path):
    executor = Killing(workers=2, cpus=os.cpu_count() / 2)
    done = prepare(photographs, tmp_path / "out", OPTIONS, executor=executor)
    assert [half.name.split("-", 2)[2] for half in executor.halves] == ["shard-00006.tfrecord"]
    assert (done.images, done.shards, done.statuses["whole"], done.statuses["unreadable"]) == (59, 12, 58, 1)
    assert verify(tmp_path / "out") == done
    prepare(photographs, tmp_path / "local", OPTIONS)
    assert shards(tmp_path / "out") == shards(tmp_path / "local")
    # All is there: no cluster is needed to find that out.
    assert prepare(photographs, tmp_path / "out", OPTIONS, executor=RayData("127.0.0.1:1")) == done


def test_workers_are_as_many_as_hosts_have_room_for(monkeypatch):
    hosts = [(True, {"CPU": 5.0}), (True, {"CPU": 2.0, "GPU": 1.0}), (True, {}), (False, {"CPU": 64.0})]
    nodes = [{"Alive": alive, "Resources": resources} for alive, resources in hosts]
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
    assert [RayData(cpus=cpus)._workers() for cpus in (0.5, 1, 2, 3)] == [14, 7, 3, 1]
    assert RayData(workers=2)._workers() == 2
    with pytest.raises(UserError, match=r"No host of the cluster has 6 CPU for a worker"):
        RayData(cpus=6)._workers()


def answer(task, **changes):
    """Give a row to a worker as Ray Data does, in this process."""
    values = {"number": 0, "images": 5, "start": 0, "key": "k", **changes}
    (text,) = Worker(task, {})({name: np.array([value]) for name, value in values.items()})["answer"]
    return json.loads(text)


def test_a_worker_tells_what_is_wrong(photographs, tmp_path):
    task = Task(photographs, tmp_path / "out", OPTIONS)
    task.dst.mkdir()
    found = answer(task)
    assert found["user"] and "Give a folder that all hosts share" in found["error"]
    (task.dst / ".lock").touch()
    found = answer(task)
    assert not found["user"] and "No such file" in found["error"] and "sources.jsonl" in found["error"]
    (task.dst / "sources.jsonl").write_text('["00.png","bad.png"]\n')
    wrote = answer(task)["summary"]
    assert (wrote["name"], wrote["images"], wrote["faces"], wrote["key"]) == ("shard-00000", 2, 1, "k")
    before = (task.dst / "shard-00000.tfrecord").stat().st_mtime_ns
    assert answer(task)["summary"] == wrote
    assert (task.dst / "shard-00000.tfrecord").stat().st_mtime_ns == before
