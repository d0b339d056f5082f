"""Batches computed by other processes are those of the source, and nothing of them stays."""

import importlib
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf.datasets import load_synthetic
from fer_tf.errors import DataError
from fer_tf.input_pipeline import BatchSource, open_reader
from fer_tf.input_pipeline.batches import ProcessSource, computed_by
from fer_tf.io.cache import StreamedFaces

CALLS = ("study", "randaugment()", "mixup()")


def source(calls=CALLS, **keywords):
    return BatchSource(load_synthetic(faces=60, seed=1).select("train"), 8, calls, crop=40, **keywords)


def assert_same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


def test_the_bytes_and_facts_are_those_of_the_source():
    own = source(repeats=2)
    places = [(epoch, step) for epoch in (0, 3) for step in range(own.steps)]
    with computed_by(2, own) as there, ThreadPoolExecutor(4) as pool:
        assert (there.steps, there.repeats, there.image_shape, there.workers) == (own.steps, 2, (40, 40, 1), 2)
        for place, found in zip(places, pool.map(lambda place: there.batch(*place), places), strict=True):
            assert_same(found, own.batch(*place))
    with computed_by(0, own) as here:
        assert here is own


def test_readers_take_it_and_columns_come_along():
    own = source(("flip()", "affine(rotation=20)"), columns=("index", "landmarks"))
    with computed_by(2, own) as there:
        stream = list(open_reader(there, 1, 1).as_numpy_iterator())
        assert len(stream) == own.steps
        for step, (images, labels) in enumerate(stream):
            wanted_images, wanted = own.batch(1, step)
            np.testing.assert_array_equal(images, wanted_images)
            assert list(labels) == ["targets", "index", "landmarks"]
            for name, values in wanted.items():
                np.testing.assert_array_equal(labels[name], values)


def test_faces_on_disk_are_read_where_they_are_needed(tmp_path):
    table = load_synthetic(faces=60).select("train")
    (tmp_path / "pixels").write_bytes(table.images.tobytes())
    places = np.arange(len(table)) * 48 * 48
    on_disk = StreamedFaces(
        (tmp_path / "pixels",), ("",), np.zeros(len(table), np.int32), places.astype(np.int64), (48, 48, 1)
    )
    own = BatchSource(table.with_images(on_disk), 8, CALLS, crop=40)
    assert own.table.images is on_disk
    with computed_by(1, own) as there:
        assert_same(there.batch(2, 1), BatchSource(table, 8, CALLS, crop=40).batch(2, 1))


def test_what_the_source_raises_is_raised_and_the_next_batch_comes(tmp_path):
    table = load_synthetic(faces=60).select("train")
    paths = [str(tmp_path / f"{i}.png") for i in range(len(table))]
    for path, face in zip(paths, table.images, strict=True):
        Image.fromarray(face[..., 0]).save(path)
    pictures = replace(table, images=None, paths=np.array(paths), landmarks=None, boxes=None)
    own = BatchSource(pictures, 8, image_shape=(48, 48, 1), shuffle=False)
    Path(paths[9]).write_bytes(b"no picture")
    with computed_by(1, own) as there:
        with pytest.raises(DataError, match=r"9\.png"):
            there.batch(0, 1)
        with pytest.raises(IndexError, match="Step 99"):
            there.batch(0, 99)
        assert_same(there.batch(0, 0), own.batch(0, 0))


def test_a_dead_process_is_told():
    before = multiprocessing.active_children()
    with computed_by(1, source()) as there:
        there.batch(0, 0)
        (process,) = set(multiprocessing.active_children()) - set(before)
        process.kill()
        process.join()
        with pytest.raises(RuntimeError, match=r"died \(exit code -9\)"):
            there.batch(0, 1)


def test_an_error_that_cannot_be_sent_is_told(tmp_path, monkeypatch):
    (tmp_path / "stubborn.py").write_text(
        "class Stubborn(Exception):\n    def __reduce__(self):\n        raise TypeError('no')\n"
        "def op(images, targets, rng):\n    if len(images) > 1:\n        raise Stubborn('why')\n"
        "    return images, targets\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    own = BatchSource(load_synthetic(faces=60), 8, [importlib.import_module("stubborn").op])
    with computed_by(1, own) as there, pytest.raises(RuntimeError, match=r"Stubborn\('why'\)"):
        there.batch(0, 0)


def test_a_source_that_cannot_be_sent_is_told_at_once():
    own = source()
    own.extra = lambda: None
    with pytest.raises(Exception, match="Can't pickle"):
        ProcessSource(own, 1)


@pytest.mark.slow
def test_processes_end_with_the_block_and_with_the_process_that_asked(tmp_path):
    # Waits for all that hold the other end of standard error, which the processes do.
    for ending, code in (("there.close()", 0), ("os.kill(os.getpid(), 9)", -9)):
        script = tmp_path / "script.py"
        script.write_text(
            "import os\nfrom fer_tf.datasets import load_synthetic\nfrom fer_tf.input_pipeline import BatchSource\n"
            "from fer_tf.input_pipeline.batches import ProcessSource\n"
            "if __name__ == '__main__':\n"
            "    there = ProcessSource(BatchSource(load_synthetic(faces=60).select('train'), 8), 2)\n"
            f"    there.batch(0, 0)\n    {ending}\n"
        )
        ended = subprocess.run([sys.executable, script], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert ended.returncode == code, ended.stderr
