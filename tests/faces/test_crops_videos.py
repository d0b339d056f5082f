"""Crop jobs whose sources are videos."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.faces.crops import crop
from fer_tf.io import video

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

SMALL, run, rows, tree = drawn.SMALL, drawn.run, drawn.rows, drawn.tree


def write_video(path, positions):
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 2_000_000
        for left in positions:
            picture = drawn.photograph(*([(left, 32, 48)] if left else []))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_videos_give_their_frames(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    write_video(src / "talk.mp4", [16, 24, 32, 40, 48, 56, 0, 72])
    write_video(src / "happy" / "clip.avi", [16, 24])
    drawn.save(src / "happy" / "x.png", drawn.photograph((20, 20, 40)))
    done = run(src, dst, replace(SMALL, every=2, format="jpg"))
    faces = [(r["source"], r["video_frame"], r["file"], round(float(r["x0"]))) for r in rows(done.files[0])]
    assert faces == [
        ("happy/clip.avi", "0", "happy/clip_000000.jpg", 16),
        ("happy/x.png", "", "happy/x.jpg", 20),
        ("talk.mp4", "0", "talk/000000.jpg", 16),
        ("talk.mp4", "2", "talk/000002.jpg", 32),
        ("talk.mp4", "4", "talk/000004.jpg", 48),
    ]
    assert rows(done.files[1]) == [{"source": "talk.mp4", "video_frame": "6", "reason": "no face found."}]
    assert run(src / "talk.mp4", tmp_path / "one").faces == 7
    assert len(datasets.get("folder", dst)) == 5


def test_a_video_goes_on_where_it_was_interrupted(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    write_video(src / "talk.mp4", range(10, 50))
    with pytest.raises(KeyboardInterrupt):
        crop(src, dst, SMALL, detector=drawn.RedSquares(), cut=drawn.interrupt_after(30))
    detector = drawn.RedSquares()
    run(src, dst, detector=detector)
    run(src, tmp_path / "whole")
    assert 0 < detector.seen < 40
    assert tree(dst) == tree(tmp_path / "whole")


def test_a_damaged_video_gives_what_can_be_read(tmp_path):
    src = tmp_path / "src"
    write_video(src / "talk.mp4", range(10, 40))
    data = (src / "talk.mp4").read_bytes()
    (src / "talk.mp4").write_bytes(data[: len(data) * 2 // 3])
    done = run(src, tmp_path / "dst")
    assert 5 < done.faces < 30
    (row,) = rows(done.files[1])
    assert (row["source"], row["video_frame"]) == ("talk.mp4", "")
    assert row["reason"].startswith("damaged video (")


def test_without_the_extra_videos_are_skipped_and_taken_up_with_it(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    write_video(src / "talk.mp4", [16, 24])
    drawn.save(src / "x.png", drawn.photograph((20, 20, 40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        done = run(src, dst)
        assert (done.faces, done.skipped) == (1, 1)
        (row,) = rows(done.files[1])
        assert row["source"] == "talk.mp4" and "pip install 'fer-tf[video]'" in row["reason"]
    assert (run(src, dst).faces, run(src, dst).skipped) == (3, 0)


def test_a_video_alone_is_refused_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "talk.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"pip install 'fer-tf\[video\]'"):
        run(tmp_path / "talk.mp4", tmp_path / "dst")
    assert not (tmp_path / "dst").exists()


def test_typescript_is_no_video():
    assert not video.is_video("index.ts")
