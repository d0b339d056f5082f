"""Crop jobs that were interrupted, are run again, or meet another job's faces."""

import importlib.util
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.faces import crops
from fer_tf.faces.crops import crop

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

SMALL, run, rows, tree = drawn.SMALL, drawn.run, drawn.rows, drawn.tree


@pytest.fixture
def src(tmp_path):
    return drawn.thirty(tmp_path / "src")


@pytest.mark.parametrize("form", crops.FORMATS)
def test_an_interrupted_job_ends_with_the_same_bytes(src, tmp_path, form):
    options, dst = replace(SMALL, format=form, faces="all"), tmp_path / "dst"
    run(src, tmp_path / "whole", options, shard_faces=7)
    # Of the four batches of 8 the third one is interrupted, and then the fourth; the one before each is not yet noted.
    for photograph in (19, 14):
        with pytest.raises(KeyboardInterrupt):
            crop(src, dst, options, detector=drawn.RedSquares(), cut=drawn.interrupt_at(photograph), shard_faces=7)
    assert not (dst / "faces.csv").exists()
    detector = drawn.RedSquares()
    run(src, dst, options, detector, shard_faces=7)
    assert tree(dst) == tree(tmp_path / "whole")
    assert detector.seen == 15  # of the last two batches, in which one picture cannot be read


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import drawn
from fer_tf.faces.crops import CropOptions, crop
def cut(*arguments):
    try:
        return interrupted(*arguments)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGKILL)
interrupted = drawn.interrupt_at(14)  # in the last batch, when the first one is noted
crop({src!r}, {dst!r}, CropOptions(size=32, format={form!r}), detector=drawn.RedSquares(), cut=cut, shard_faces=7)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "tfrecord"])
def test_a_killed_job_goes_on(src, tmp_path, form):
    dst = tmp_path / "dst"
    code = KILLED.format(tests=str(Path(__file__).parent), src=str(src), dst=str(dst), form=form)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    (dst / ".part-1-x.png").write_bytes(b"left behind")
    with (dst / ".crop-journal.jsonl").open("ab") as file:
        file.write(b'{"shards":0,"entries":[{"source":"a/')  # a line cut short
    detector, options = drawn.RedSquares(), replace(SMALL, format=form)
    run(src, dst, options, detector, shard_faces=7)
    run(src, tmp_path / "whole", options, shard_faces=7)
    assert 0 < detector.seen < 31
    assert tree(dst) == tree(tmp_path / "whole")


def test_a_finished_job_reads_nothing_again(src, tmp_path):
    options = replace(SMALL, detector="hog(upsample=9)")  # which cannot be made
    first = run(src, tmp_path / "dst", options)
    before = tree(tmp_path / "dst")
    assert crop(src, tmp_path / "dst", options) == first
    assert tree(tmp_path / "dst") == before


def test_a_limit_may_be_raised(src, tmp_path):
    assert run(src, tmp_path / "dst", limit=4).faces == 4
    assert run(src, tmp_path / "dst", limit=9).faces == 9
    run(src, tmp_path / "dst")
    faces = rows(tmp_path / "dst" / "faces.csv")
    run(src, tmp_path / "whole")
    assert faces == rows(tmp_path / "whole" / "faces.csv")


@pytest.mark.parametrize("form", ["png", "tfrecord"])
def test_new_and_mended_sources_are_taken_up(src, tmp_path, form):
    options, dst = replace(SMALL, format=form), tmp_path / "dst"
    run(src, dst, options, shard_faces=7)
    drawn.save(src / "a" / "000.jpg", drawn.photograph((30, 30, 40)))
    (src / "c" / "html.jpg").unlink()
    drawn.save(src / "c" / "html.jpg", drawn.photograph((30, 30, 40)))
    (src / "b" / "empty.png").unlink()
    detector = drawn.RedSquares()
    done = run(src, dst, options, detector, shard_faces=7)
    assert (done.faces, done.skipped, detector.seen) == (32, 0, 2)
    assert [r["source"] for r in rows(done.files[0])][:2] == ["a/00.jpg", "a/000.jpg"]
    if form == "tfrecord":
        assert len(datasets.get("records", dst)) == 32


def test_other_options_and_changed_sources_are_refused(src, tmp_path):
    dst = tmp_path / "dst"
    run(src, dst)
    with pytest.raises(UserError, match=r"dst holds faces with margin=0.0, now it is 0.2. Give --overwrite"):
        run(src, dst, replace(SMALL, margin=0.2))
    with pytest.raises(UserError, match=r"holds faces with source='.*src', now it is '.*src/a'"):
        run(src / "a", dst)
    drawn.save(src / "a" / "00.jpg", drawn.photograph((5, 5, 50)))
    (src / "a" / "03.jpg").unlink()
    with pytest.raises(UserError, match=r"2 sources with faces in .*dst have changed or are gone, the first is 'a/00"):
        run(src, dst)
    (dst / "b" / "mine.txt").write_text("keep")
    done = run(src, dst, replace(SMALL, faces="all"), overwrite=True)
    assert done.faces == 29
    assert not (dst / "a" / "03.png").exists()
    assert (dst / "b" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("wrong", ["retinaface(thresh=0.7)", "retinaface(threshold=5)"])
def test_a_mistake_in_the_detector_leaves_the_output_folder_alone(src, tmp_path, wrong):
    run(src, tmp_path / "dst")
    before = tree(tmp_path / "dst")
    options = replace(SMALL, detector=wrong)
    for dst, overwrite in ((tmp_path / "dst", True), (tmp_path / "new", True), (tmp_path / "new", False)):
        with pytest.raises(UserError, match="thresh"):
            crop(src, dst, options, overwrite=overwrite)
    assert tree(tmp_path / "dst") == before
    assert not (tmp_path / "new").exists()


def test_overwriting_removes_shards(src, tmp_path):
    run(src, tmp_path / "dst", replace(SMALL, format="tfrecord"), shard_faces=7)
    assert len(list((tmp_path / "dst").glob("*.tfrecord"))) == 4
    run(src, tmp_path / "dst", overwrite=True)
    assert not list((tmp_path / "dst").glob("*.tfrecord"))
    assert sorted(json.loads((tmp_path / "dst" / "crop.json").read_text()))[0] == "align"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_killed_job_left_half_written_goes(src, tmp_path, overwrite):
    dst = tmp_path / "dst"
    run(src, dst)
    for name in (".part-1-x.png", "a/.part-1-x.png"):
        (dst / name).write_bytes(b"left behind")
    run(src, dst, overwrite=overwrite)
    assert not list(dst.rglob(".part-*"))


def test_a_disk_that_refuses_ends_the_job_and_what_was_written_counts(src, tmp_path):
    dst = tmp_path / "dst"

    class Blocking(drawn.RedSquares):
        def detect(self, photographs):
            (dst / "c" / "29.png").mkdir(parents=True, exist_ok=True)
            return super().detect(photographs)

    with pytest.raises(OSError, match=r"29\.png"):
        run(src, dst, detector=Blocking())
    (dst / "c" / "29.png").rmdir()
    detector = drawn.RedSquares()
    assert run(src, dst, detector=detector).faces == 30
    assert detector.seen < 31


def test_two_jobs_keep_out_of_one_folder(src, tmp_path):
    from fer_tf.io import atomic

    with atomic.folder_lock(tmp_path / "dst"), pytest.raises(UserError, match=r"Another process is at work in .*dst"):
        run(src, tmp_path / "dst")
    assert [p.name for p in (tmp_path / "dst").iterdir()] == [".lock"]
