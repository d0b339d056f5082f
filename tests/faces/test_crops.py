import csv
import importlib.util
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf import datasets
from fer_tf.datasets.pictures import read_photograph
from fer_tf.errors import UserError
from fer_tf.faces import crops, photographs
from fer_tf.faces.crops import CropOptions, choose, crop
from fer_tf.faces.detectors import Detections

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

SMALL = CropOptions(size=32)


def run(src, dst, options=SMALL, detector=None, **keywords):
    return crop(src, dst, options, detector=detector or drawn.RedSquares(), cut=drawn.cut, **keywords)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tree(folder):
    """Return everything in a folder but the lock, as bytes by name."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


@pytest.fixture
def src(tmp_path):
    """Thirty photographs in three classes, a damaged one, and one without a face."""
    root = tmp_path / "src"
    for i in range(30):
        drawn.save(root / "abc"[i % 3] / f"{i:02d}.jpg", drawn.photograph((20 + i, 30, 40), seed=i), quality=95)
    drawn.save(root / "b" / "empty.png", drawn.photograph())
    (root / "c" / "html.jpg").write_text("<html>")
    return root


def test_the_tree_is_kept_and_tables_tell_where_faces_came_from(src, tmp_path):
    done = run(src, tmp_path / "dst", replace(SMALL, align=False))
    assert (done.faces, done.pictures, done.skipped) == (30, 30, 2)
    assert done.files == (tmp_path / "dst" / "faces.csv", tmp_path / "dst" / "skipped.csv")
    faces = rows(done.files[0])
    assert [r["source"] for r in faces] == sorted(f"{'abc'[i % 3]}/{i:02d}.jpg" for i in range(30))
    first = faces[0]
    assert (first["source"], first["file"], first["face"]) == ("a/00.jpg", "a/00.png", "0")
    assert float(first["score"]) == pytest.approx(0.99)
    np.testing.assert_allclose([float(first[k]) for k in ("x0", "y0", "x1", "y1")], [20, 30, 60, 70], atol=1)
    np.testing.assert_allclose([float(first[f"right_eye_{k}"]) for k in "xy"], [32, 46], atol=1)
    np.testing.assert_allclose([float(first[f"left_mouth_corner_{k}"]) for k in "xy"], [46, 62], atol=1)
    frame = [float(first[f"frame_{k}"]) for k in ("x", "y", "side", "angle")]
    np.testing.assert_allclose(frame, [40, 50, 40, 0], atol=1)
    face = read_photograph(tmp_path / "dst" / "a" / "00.png")
    assert face.shape == (32, 32, 3)
    assert face[4:12, 4:28, 0].min() > 230 > 220 > face[20:28, 4:28, 0].max()
    assert rows(done.files[1]) == [
        {"source": "b/empty.png", "video_frame": "", "reason": "no face found."},
        {"source": "c/html.jpg", "video_frame": "", "reason": rows(done.files[1])[1]["reason"]},
    ]
    assert rows(done.files[1])[1]["reason"].startswith("no picture. Expected one of PNG")


def test_class_folders_are_read_as_a_dataset(src, tmp_path):
    run(src, tmp_path / "dst")
    table = datasets.load("folder(size=32, channels=3)", tmp_path / "dst")
    assert table.label_set.classes == ("a", "b", "c")
    assert table.class_counts().tolist() == [10, 10, 10]
    np.testing.assert_array_equal(table.images[0], read_photograph(tmp_path / "dst" / "a" / "00.png"))


def test_jpg_takes_its_quality(src, tmp_path):
    sizes = []
    for quality in (20, 95):
        run(src, tmp_path / str(quality), replace(SMALL, format="jpg", quality=quality))
        sizes.append((tmp_path / str(quality) / "a" / "00.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


def test_alignment_uses_landmarks_where_there_are_any(src, tmp_path):
    from fer_tf.faces.frames import aligned_frames

    aligned, without = tmp_path / "aligned", tmp_path / "without"
    run(src, aligned, replace(SMALL, margin=0.25))
    run(src, without, replace(SMALL, margin=0.25), drawn.RedSquares(landmarks=False))
    row = rows(aligned / "faces.csv")[0]
    points = [float(v) for k, v in row.items() if k.endswith(("_x", "_y")) and not k.startswith("frame")]
    expected = np.asarray(aligned_frames(np.float32(points).reshape(1, 5, 2), 0.25))[0]
    np.testing.assert_allclose([float(row[f"frame_{k}"]) for k in ("x", "y", "side", "angle")], expected, atol=0.01)
    row = rows(without / "faces.csv")[0]
    assert row["nose_x"] == ""
    assert float(row["frame_side"]) == pytest.approx(1.25 * (float(row["x1"]) - float(row["x0"])), abs=1.5)


def test_largest_all_and_central(tmp_path):
    picture = drawn.photograph((5, 5, 20), (62, 50, 24), (110, 60, 45))
    drawn.save(tmp_path / "src" / "x.png", picture)
    found = {}
    for which in crops.WHICH:
        run(tmp_path / "src", tmp_path / which, replace(SMALL, faces=which))
        found[which] = [(r["file"], r["face"], float(r["x0"])) for r in rows(tmp_path / which / "faces.csv")]
    assert found["largest"] == [("x.png", "0", 110)]
    assert found["central"] == [("x.png", "0", 62)]
    assert found["all"] == [("x.png", "0", 5), ("x_1.png", "1", 62), ("x_2.png", "2", 110)]
    assert sorted(p.name for p in (tmp_path / "all").glob("*.png")) == ["x.png", "x_1.png", "x_2.png"]


def test_on_ties_the_better_face_is_chosen():
    boxes = np.float32([[0, 0, 10, 10], [90, 0, 100, 10]])
    found = Detections(np.float32([0.9, 0.8]), boxes, np.zeros((2, 5, 2), np.float32))
    for which in ("largest", "central"):
        assert choose(found, which, (10, 100, 3)).scores.tolist() == [np.float32(0.9)]
    none = found.take([])
    assert len(choose(none, "largest", (10, 100, 3))) == 0


def test_a_picture_without_a_face_may_be_taken_whole(src, tmp_path):
    drawn.save(src / "b" / "wide.png", drawn.photograph(width=100, height=60))
    done = run(src, tmp_path / "dst", replace(SMALL, fallback="whole", margin=0.5))
    assert (done.faces, done.skipped) == (32, 1)
    row = next(r for r in rows(done.files[0]) if r["source"] == "b/wide.png")
    assert row["score"] == row["nose_x"] == ""
    # The whole picture fits: the square is as long as its longer side, without a margin.
    assert [float(row[f"frame_{k}"]) for k in ("x", "y", "side", "angle")] == [50, 30, 100, 0]
    assert (tmp_path / "dst" / "b" / "wide.png").is_file()


def test_sources_of_one_name_do_not_overwrite_each_other(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    for i, name in enumerate(["a.jpg", "a.png", "A.webp", "a_1.png"]):
        drawn.save(src / name, drawn.photograph((10, 10, 40), (90, 40, 50), seed=i))
    run(src, dst, replace(SMALL, faces="all"))
    files = [r["file"] for r in rows(dst / "faces.csv")]
    assert len({f.casefold() for f in files}) == len(files) == 8
    assert set(files) == {p.name for p in dst.glob("*.png")}


def test_a_turned_photograph_gives_the_same_face(tmp_path):
    src, upright = tmp_path / "src", drawn.photograph((30, 20, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn.save(src / "upright.png", upright)
    drawn.save(src / "turned.png", np.ascontiguousarray(np.rot90(upright)), exif=exif)
    run(src, tmp_path / "dst")
    np.testing.assert_array_equal(*(read_photograph(tmp_path / "dst" / f"{n}.png") for n in ("upright", "turned")))


def interrupt_after(calls):
    """Return a way to cut that is interrupted like by Ctrl-C."""

    def cut(*arguments):
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise KeyboardInterrupt
        return drawn.cut(*arguments)

    return cut


@pytest.mark.parametrize("form", crops.FORMATS)
def test_an_interrupted_job_ends_with_the_same_bytes(src, tmp_path, form):
    options, dst = replace(SMALL, format=form, faces="all"), tmp_path / "dst"
    run(src, tmp_path / "whole", options, shard_faces=7)
    detectors = [drawn.RedSquares() for _ in range(3)]
    for calls, detector in zip((19, 19), detectors, strict=False):
        with pytest.raises(KeyboardInterrupt):
            crop(src, dst, options, detector=detector, cut=interrupt_after(calls), shard_faces=7)
    assert not (dst / "faces.csv").exists()
    run(src, dst, options, detectors[2], shard_faces=7)
    assert tree(dst) == tree(tmp_path / "whole")
    assert detectors[2].seen <= 16  # two of the four batches were not done again


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import drawn
from fer_tf.faces.crops import CropOptions, crop
calls = 0
def cut(*arguments):
    global calls
    calls += 1
    if calls > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return drawn.cut(*arguments)
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


def test_a_finished_job_reads_nothing_again(src, tmp_path, monkeypatch):
    first = run(src, tmp_path / "dst")
    before = tree(tmp_path / "dst")
    monkeypatch.setattr(photographs, "read", lambda path: pytest.fail("read again"))
    assert crop(src, tmp_path / "dst", SMALL) == first  # not even a detector is made
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
        assert len(datasets.load("records", dst)) == 32


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


def test_a_mistake_in_the_detector_does_not_cost_the_old_faces(src, tmp_path):
    run(src, tmp_path / "dst")
    before = tree(tmp_path / "dst")
    with pytest.raises(UserError, match="threshold=5"):
        crop(src, tmp_path / "dst", replace(SMALL, detector="retinaface(threshold=5)"), overwrite=True)
    assert tree(tmp_path / "dst") == before


def test_overwriting_removes_shards(src, tmp_path):
    run(src, tmp_path / "dst", replace(SMALL, format="tfrecord"), shard_faces=7)
    assert len(list((tmp_path / "dst").glob("*.tfrecord"))) == 4
    run(src, tmp_path / "dst", overwrite=True)
    assert not list((tmp_path / "dst").glob("*.tfrecord"))
    assert sorted(json.loads((tmp_path / "dst" / "crop.json").read_text()))[0] == "align"


def test_folders_that_cannot_be_used_are_refused(src, tmp_path):
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        run(tmp_path / "nowhere", tmp_path / "dst")
    for inside in (src, src / "faces"):
        with pytest.raises(UserError, match=r"is inside .*src: its faces would be cropped again"):
            run(src, inside)
    (tmp_path / "link").symlink_to(src)
    with pytest.raises(UserError, match="is inside"):
        run(src, tmp_path / "link" / "faces")
    assert not (src / "faces").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"mine is not empty and holds no crop\.json"):
            run(src, tmp_path / "mine", overwrite=overwrite)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is no folder"):
        run(src, tmp_path / "file")
    run(src, tmp_path / "dst")
    with pytest.raises(UserError, match=r"is inside .*dst, which holds cropped faces"):
        run(tmp_path / "dst" / "a", tmp_path / "dst", overwrite=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0}, {"size": 5000}, {"size": 2.5}, {"faces": "biggest"}, {"format": "gif"}, {"quality": 101},
        {"fallback": "none"}, {"every": 0}, {"margin": -1.0}, {"margin": float("nan")}, {"detector": "haar"},
    ],
)  # fmt: skip
def test_options_are_checked(wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong.values()))) if "margin" not in wrong else "margin"):
        CropOptions(**wrong)


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
    assert len(datasets.load("folder", dst)) == 5


def test_a_video_goes_on_where_it_was_interrupted(tmp_path):
    src, dst = tmp_path / "src", tmp_path / "dst"
    write_video(src / "talk.mp4", range(10, 50))
    with pytest.raises(KeyboardInterrupt):
        crop(src, dst, SMALL, detector=drawn.RedSquares(), cut=interrupt_after(30))
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


def test_memory_is_bounded_by_pixels_not_by_pictures(tmp_path, monkeypatch):
    from fer_tf.faces import reading

    for i in range(40):
        drawn.save(tmp_path / f"{i:02d}.png", drawn.photograph(width=100, height=100))
    started = []
    real = photographs.read
    monkeypatch.setattr(photographs, "read", lambda path: started.append(path) or real(path))
    monkeypatch.setattr(reading, "AHEAD_PIXELS", 50_000)
    monkeypatch.setattr(reading, "BATCH_PIXELS", 30_000)
    batches = reading.batches(photographs.find(tmp_path), 1, {})
    assert len(next(batches)) == 3
    assert len(started) <= 3 + 5 + 1
    assert [len(b) for b in batches] == [3] * 12 + [1]
    assert len(started) == 40


def test_a_full_disk_ends_the_job_and_what_was_written_counts(src, tmp_path, monkeypatch):
    from fer_tf.faces import face_files

    real, written = face_files.encoded, []

    def encoded(*arguments):
        written.append(1)
        if len(written) > 20:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(face_files, "encoded", encoded)
    with pytest.raises(OSError, match="No space left"):
        run(src, tmp_path / "dst")
    monkeypatch.setattr(face_files, "encoded", real)
    detector = drawn.RedSquares()
    assert run(src, tmp_path / "dst", detector=detector).faces == 30
    assert detector.seen < 31


def test_two_jobs_keep_out_of_one_folder(src, tmp_path):
    from fer_tf import atomic

    with atomic.alone_in(tmp_path / "dst"), pytest.raises(UserError, match=r"Another process is at work in .*dst"):
        run(src, tmp_path / "dst")
    assert [p.name for p in (tmp_path / "dst").iterdir()] == [".lock"]
