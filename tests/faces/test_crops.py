import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.faces import crops
from fer_tf.faces.crops import CropOptions, choose
from fer_tf.faces.detectors import Detections
from fer_tf.io import folders, video
from fer_tf.io.pictures import read_photograph

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

SMALL, run, rows = drawn.SMALL, drawn.run, drawn.rows


@pytest.fixture
def src(tmp_path):
    return drawn.thirty(tmp_path / "src")


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
    table = datasets.get("folder(size=32, channels=3)", tmp_path / "dst")
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
    from fer_tf.faces.detectors import aligned_frames

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


def test_folders_that_cannot_be_used_are_refused(src, tmp_path):
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        run(tmp_path / "nowhere", tmp_path / "dst")
    for inside in (src, src / "faces"):
        with pytest.raises(UserError, match=r"is inside .*src: its faces would be read again"):
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
    with pytest.raises(UserError, match=r"is inside .*dst, which holds faces"):
        run(tmp_path / "dst" / "a", tmp_path / "dst", overwrite=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0}, {"size": 5000}, {"size": 2.5}, {"faces": "biggest"}, {"format": "gif"}, {"quality": 101},
        {"fallback": "none"}, {"every": 0}, {"margin": -1.0}, {"margin": float("nan")}, {"detector": "haar"},
    ],
)  # fmt: skip
def test_options_are_checked(wrong):
    (name, value), *_ = wrong.items()
    told = "Unknown detector 'haar'. Available: " if name == "detector" else f"{name}={value!r} is "
    with pytest.raises(UserError, match=f"^{told}"):
        CropOptions(**wrong)


def test_memory_is_bounded_by_pixels_not_by_pictures(tmp_path):
    for i in range(12):
        Image.new("L", (2400, 2400)).save(tmp_path / f"{i:02d}.png")
    started = []
    sources = ((path, started.append(name) or name) for path, name in folders.find_pictures(tmp_path))
    batches = video.read_batches(sources)
    # Three have more than 16 million pixels: so many are a batch, and so many are read ahead.
    assert len(next(batches)) == 3
    assert len(started) <= 3 + 3
    assert [len(b) for b in batches] == [3, 3, 3]
    assert len(started) == 12
