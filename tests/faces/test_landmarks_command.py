import csv
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf import cli as command
from fer_tf import datasets
from fer_tf.datasets.landmarks import COLUMNS, point_columns, read_landmarks, with_landmarks
from fer_tf.errors import UserError
from fer_tf.faces import folder_jobs
from fer_tf.faces.dlib_faces import PointFinder
from fer_tf.faces.folder_jobs import LandmarkOptions, write_landmarks

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

FIVE = LandmarkOptions(points=5)
# Where RedSquares puts the five points, as shares of the square.
SHARES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def find(src, out, options=FIVE, detector=None):
    return write_landmarks(src, out, options, finder=PointFinder(detector or drawn.RedSquares(), 5))


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def src(tmp_path):
    """Twelve pictures of one square each, one of two, one of none, and a damaged one."""
    root = tmp_path / "src"
    for i in range(12):
        drawn.save(root / "ab"[i % 2] / f"{i:02d}.png", drawn.photograph((20 + i, 30, 40), seed=i))
    drawn.save(root / "two faces é.png", drawn.photograph((10, 20, 30), (80, 30, 60)))
    drawn.save(root / "empty.png", drawn.photograph())
    (root / "html.png").write_text("<html>")
    return root


def test_the_table_has_a_row_a_picture_with_the_facts_of_its_largest_face(src, tmp_path):
    out = tmp_path / "deep" / "l.csv"
    done = find(src, out)
    assert (done.faces, done.without, done.unread) == (13, 1, 1)
    found = rows(out)
    assert list(found[0]) == [*COLUMNS, *point_columns(5)]
    assert [r["source"] for r in found] == sorted(p.relative_to(src).as_posix() for p in src.rglob("*.png"))
    named = {r["source"]: r for r in found}
    face = named["a/04.png"]
    facts = {"face": "0", "found": "1", "reason": "", "score": "0.9900", "width": "160", "height": "120"}
    assert {name: face[name] for name in facts} == facts
    assert [float(face[c]) for c in COLUMNS[7:]] == [24, 30, 64, 70]
    points = [float(face[c]) for c in point_columns(5)]
    np.testing.assert_allclose(np.reshape(points, (5, 2)), [24, 30] + SHARES * 40, atol=0.005)
    assert [float(named["two faces é.png"][c]) for c in COLUMNS[7:]] == [80, 30, 140, 90]


def test_missing_faces_are_rows_without_points(src, tmp_path):
    find(src, tmp_path / "l.csv")
    named = {r["source"]: r for r in rows(tmp_path / "l.csv")}
    none, damaged = named["empty.png"], named["html.png"]
    assert (none["found"], none["reason"], none["width"], none["height"]) == ("0", "no face found.", "160", "120")
    assert damaged["found"] == "0" and damaged["reason"].startswith("no picture") and damaged["width"] == ""
    assert {r[c] for r in (none, damaged) for c in [*COLUMNS[7:], *point_columns(5), "score"]} == {""}


def test_all_faces_are_numbered_and_the_reader_takes_the_first(src, tmp_path):
    done = find(src, tmp_path / "l.csv", LandmarkOptions(points=5, faces="all"))
    both = [r for r in rows(tmp_path / "l.csv") if r["source"].startswith("two")]
    assert done.faces == 14 and [(r["face"], r["box_x0"]) for r in both] == [("0", "10.00"), ("1", "80.00")]
    found = read_landmarks(tmp_path / "l.csv")
    assert len(found.ids) == 15 and np.isfinite(found.points).all(axis=(1, 2)).sum() == 13


def test_points_that_do_not_fit_are_missing_with_their_box(src, tmp_path):
    done = find(src / "a", tmp_path / "l.csv", detector=drawn.RedSquares(landmarks=False))
    found = rows(tmp_path / "l.csv")
    assert (done.faces, done.without, done.unread) == (0, 6, 0)
    assert {(r["found"], r["reason"], r["x0"], r["box_y0"]) for r in found} == {
        ("0", folder_jobs.NO_POINTS, "", "30.00")
    }


def test_the_table_goes_back_to_the_faces_of_a_folder_dataset(src, tmp_path):
    (src / "two faces é.png").unlink(), (src / "empty.png").unlink(), (src / "html.png").unlink()
    find(src, tmp_path / "l.csv")
    table = with_landmarks(datasets.get("folder(size=60)", src), tmp_path / "l.csv")
    assert sorted(table.ids)[0] == "a/00.png"
    row = table.ids.tolist().index("a/04.png")
    np.testing.assert_allclose(table.landmarks[row], ([24, 30] + SHARES * 40) * (60 / 160, 60 / 120), atol=0.01)


class _Dies(drawn.RedSquares):
    """Is interrupted at its second batch."""

    def detect(self, photographs):
        if self.seen >= 8:
            raise KeyboardInterrupt
        return super().detect(photographs)


@pytest.mark.parametrize("faces", ["largest", "all"])
def test_an_interrupted_job_goes_on_and_writes_the_same_table(src, tmp_path, faces):
    options, out = LandmarkOptions(points=5, faces=faces), tmp_path / "l.csv"
    drawn.save(src / "c" / "1.png", drawn.photograph((20, 20, 20))), drawn.save(src / "c" / "2.png", drawn.photograph())
    whole = find(src, tmp_path / "whole.csv", options)
    with pytest.raises(KeyboardInterrupt):
        find(src, out, options, _Dies())
    assert not out.exists()
    detector = drawn.RedSquares()
    assert find(src, out, options, detector) == whole
    # Of 16 that can be read, the first batch's eight are done.
    assert detector.seen == 8
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.csv", "src", "whole.csv"]


@pytest.mark.parametrize("cut", [1, 40, 200, 4000])
def test_a_row_cut_short_is_written_again(src, tmp_path, cut):
    out = tmp_path / "l.csv"
    with pytest.raises(KeyboardInterrupt):
        find(src, out, FIVE, _Dies())
    (part,) = tmp_path.glob(".l-*.jsonl")
    part.write_bytes(part.read_bytes()[:-cut])
    whole = find(src, tmp_path / "whole.csv")
    assert find(src, out) == whole and out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_jobs_rows_are_not_taken(src, tmp_path):
    out = tmp_path / "l.csv"
    with pytest.raises(KeyboardInterrupt):
        find(src, out, FIVE, _Dies())
    detector = drawn.RedSquares()
    find(src, out, LandmarkOptions(points=5, faces="all"), detector)
    assert detector.seen == 14


def test_two_processes_do_not_write_one_table(src, tmp_path):
    class Second(drawn.RedSquares):
        def detect(self, photographs):
            find(src, tmp_path / "l.csv")

    with pytest.raises(UserError, match="Another process is at work"):
        find(src, tmp_path / "l.csv", detector=Second())


def test_names_that_are_no_utf8_are_escaped_and_known_again(src, tmp_path):
    strange = src / "a" / b"\xff.png".decode("utf-8", "surrogateescape")
    try:
        (src / "a" / "00.png").rename(strange)
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(KeyboardInterrupt):
        find(src, tmp_path / "l.csv", FIVE, _Dies())
    find(src, tmp_path / "l.csv")
    assert [r["source"] for r in rows(tmp_path / "l.csv")].count("a/\\udcff.png") == 1


def test_a_dataset_goes_by_its_ids(tmp_path):
    pixels = np.stack([drawn.photograph((8, 8, 30), width=48, height=48)] * 3)
    path = tmp_path / "faces.csv"
    for i in range(3):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i}.png")
    path.write_text("path,label\n" + "".join(f"{i}.png,happy\n" for i in range(3)))
    options = LandmarkOptions(points=5, dataset="csv(channels=3, label_set='fer2013')")
    assert find(path, tmp_path / "l.csv", options).faces == 3
    table = with_landmarks(datasets.get(options.dataset, path), tmp_path / "l.csv")
    np.testing.assert_allclose(table.landmarks, np.tile(8 + SHARES * 30, (3, 1, 1)), atol=0.01)


def test_mistakes_are_told_before_work(src, tmp_path):
    for options, message in (({"faces": "most"}, "faces='most'.*largest, all, central"),):
        with pytest.raises(UserError, match=message):
            LandmarkOptions(**options)
    cases = (
        (src, tmp_path, FIVE, "expected the name of a .csv"),
        (src, tmp_path / "l.txt", FIVE, "expected the name of a .csv"),
        (tmp_path / "none", tmp_path / "l.csv", FIVE, "no such file or folder"),
        (src, tmp_path / "l.csv", LandmarkOptions(dataset="ferr2013"), "Unknown dataset 'ferr2013'"),
        (src, tmp_path / "l.csv", LandmarkOptions("haar", 5), "Unknown detector 'haar'"),
    )
    for source, out, options, message in cases:
        with pytest.raises(UserError, match=message):
            write_landmarks(source, out, options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["src"]


def test_a_dataset_that_leaves_its_pictures_on_disk_is_refused(src, tmp_path):
    for path in src.glob("*.png"):
        path.unlink()
    on_disk = LandmarkOptions(points=5, dataset="folder(in_memory=False)")
    with pytest.raises(UserError, match=r"keeps its pictures on disk. Give .*src without a dataset"):
        find(src, tmp_path / "l.csv", on_disk)
    assert not (tmp_path / "l.csv").exists()


def test_no_file_but_a_table_of_landmarks_is_replaced(src, tmp_path):
    table, linked = tmp_path / "faces.csv", tmp_path / "linked.csv"
    table.write_text("path,label\nsrc/a/00.png,happy\n")
    linked.symlink_to(table)
    before = table.read_bytes()
    for out in (table, linked):
        with pytest.raises(UserError, match=rf"{out.name} is what is to be read. Give another name"):
            find(table, out, LandmarkOptions(points=5, dataset="csv"))
        with pytest.raises(UserError, match=rf"{out.name} is there and holds no landmarks. Give another name"):
            find(src, out)
    assert table.read_bytes() == before
    find(src, tmp_path / "l.csv"), find(src / "a", tmp_path / "l.csv")
    assert len(rows(tmp_path / "l.csv")) == 6


def exit_code(*arguments):
    with pytest.raises(SystemExit) as ended:
        command.main(["landmarks", "--detector", "squares", *map(str, arguments)])
    return ended.value.code


def test_the_command_writes_a_summary_and_ends_with_its_code(squares, src, tmp_path, capsys):
    out = tmp_path / "l.csv"
    assert exit_code(src, out, "--points", 5) == 0
    assert capsys.readouterr().out == f"wrote {out}\n13 faces with 5 points, 1 without, 1 pictures unread\n"
    assert exit_code(src, out, "--points", 5, "--strict") == 1
    assert exit_code(src / "a", out, "--points", 5, "--strict", "--faces", "all") == 0
    assert len(rows(out)) == 6
    capsys.readouterr()
    assert exit_code(tmp_path / "none", out) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert exit_code(src, out, "--faces", "most") == 2


def test_the_help_shows_examples(capsys):
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    assert "examples:" in text and "--dataset fer2013" in text and "fer-tf[landmarks]" in text


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("dlib"), reason="needs the extra: pip install 'fer-tf[landmarks]'")
def test_the_real_command_finds_68_points_and_survives_a_kill(photographs, tmp_path):
    face = Image.fromarray(photographs["astronaut"][50:180, 165:295]).convert("L")
    for i in range(40):
        drawn.save(tmp_path / "src" / f"{i:02d}.png", np.asarray(face.rotate(i / 4).resize((48, 48))))
    out = tmp_path / "l.csv"
    line = [sys.executable, "-m", "fer_tf", "landmarks", str(tmp_path / "src"), str(out), "--detector", "hog"]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(p.stat().st_size > 9000 for p in tmp_path.glob(".l-*.jsonl")):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and "40 faces with 68 points" in ended.stdout
    found = read_landmarks(out)
    assert found.points.shape == (40, 68, 2) and np.isfinite(found.points).all()
    tilt = [np.degrees(np.arctan2(*(p[45] - p[36])[::-1])) for p in found.points]
    # Turned counter-clockwise by up to ten degrees, the eye line turns along.
    assert np.corrcoef(tilt, -np.arange(40))[0, 1] > 0.9
