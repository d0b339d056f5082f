import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf.cli import main
from fer_tf.faces.detectors import DETECTORS, Detections
from fer_tf.faces.folder_jobs import MaskOptions, face_seed, mask_folder
from fer_tf.faces.masks import put_mask

JOURNAL = ".mask-journal.jsonl"
# Eyes, nose and mouth corners as shares of a square face.
FACE = np.array([(0.35, 0.36), (0.65, 0.36), (0.5, 0.54), (0.38, 0.7), (0.62, 0.7)])


class Halves:
    """Takes each square of a bright picture for a face, the left one first; none in a black picture."""

    seen = 0

    def detect(self, photographs):
        Halves.seen += len(photographs)
        return [self._of(p) for p in photographs]

    def _of(self, photograph):
        height, width = photograph.shape[:2]
        count = round(width / height) if photograph.any() else 0
        left = np.arange(count)[:, None] * height
        boxes = np.concatenate([left, 0 * left, left + height, 0 * left + height], axis=1)
        points = FACE * height + np.stack([left, 0 * left], axis=-1)
        return Detections(np.linspace(0.99, 0.9, count, dtype=np.float32), boxes, points)


@pytest.fixture(scope="module")
def registered():
    DETECTORS.add("halves", f"{__name__}:Halves", landmarks=5, extra="")


@pytest.fixture
def halves(registered):
    """Every command finds its faces with this."""
    Halves.seen = 0
    return Halves


def save(path, width=64, height=64, mode="RGB", level=190, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0.6, 1, width) * level
    gray = np.tile(ramp, (height, 1)).astype(np.uint8)
    pixels = gray if mode == "L" else np.stack([gray, gray * 0.8, gray * 0.7], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(path, **how)


@pytest.fixture
def src(tmp_path):
    src = tmp_path / "src"
    save(src / "happy" / "two.png", width=128)
    save(src / "happy" / "gray.png", mode="L")
    save(src / "sad" / "photo.JPG", quality=95)
    save(src / "sad" / "moving.gif", mode="L")
    save(src / "sad" / "nobody.png", level=0)
    (src / "sad" / "broken.png").write_bytes(b"no picture")
    return src


def mask(*arguments):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["mask", "--detector", "halves", *map(str, arguments)])
    return ended.value.code


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def contents(folder):
    """Return all files but the journal, whose lines tell in how many parts a job was done."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != JOURNAL)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_the_tree_comes_out_masked(halves, src, tmp_path, capsys):
    dst = tmp_path / "out"
    assert mask(src, dst) == 0
    written = {str(p.relative_to(dst)) for p in dst.rglob("*") if p.is_file() and not p.name.startswith(".")}
    assert written == {
        "happy/two.png", "happy/gray.png", "sad/photo.JPG", "sad/moving.gif.png", "mask.json", "masks.csv",
        "skipped.csv",
    }  # fmt: skip
    assert [(r["source"], r["file"], r["face"], r["kind"]) for r in rows(dst / "masks.csv")] == [
        ("happy/gray.png", "happy/gray.png", "0", "surgical"),
        ("happy/two.png", "happy/two.png", "0", "surgical"),
        ("happy/two.png", "happy/two.png", "1", "surgical"),
        ("sad/moving.gif", "sad/moving.gif.png", "0", "surgical"),
        ("sad/photo.JPG", "sad/photo.JPG", "0", "surgical"),
    ]
    skipped = {r["source"]: r["reason"] for r in rows(dst / "skipped.csv")}
    assert skipped["sad/nobody.png"] == "no face found." and "no picture" in skipped["sad/broken.png"]
    assert len(skipped) == 2
    printed = capsys.readouterr().out
    assert "5 faces masked in 4 pictures" in printed and "2 skipped" in printed
    assert pixels(dst / "happy" / "gray.png").shape == (64, 64)


def test_a_faces_mask_is_that_of_the_seed_the_name_and_the_number(halves, src, tmp_path):
    mask(src, tmp_path / "out", "--seed", 5, "--kind", "cloth")
    picture = pixels(src / "happy" / "two.png")
    for number in (0, 1):
        seed = face_seed(5, "happy/two.png", number)
        picture = put_mask(picture, FACE * 64 + (64 * number, 0), "cloth", seed=seed).image
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "happy" / "two.png"), picture)


@pytest.mark.slow
def test_what_else_is_in_the_tree_changes_no_mask(halves, src, tmp_path):
    mask(src, tmp_path / "all", "--kind", "random")
    (src / "happy" / "gray.png").unlink()
    save(src / "also.png")
    mask(src, tmp_path / "other", "--kind", "random")
    for name in ("happy/two.png", "sad/moving.gif.png"):
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_random_uses_all_kinds(halves, tmp_path):
    for i in range(12):
        save(tmp_path / "src" / f"{i}.png", width=32, height=32)
    mask(tmp_path / "src", tmp_path / "out", "--kind", "random")
    assert {r["kind"] for r in rows(tmp_path / "out" / "masks.csv")} == {"surgical", "cloth", "n95"}


def test_a_job_goes_on_where_it_ended(halves, src, tmp_path):
    mask(src, tmp_path / "whole", "--seed", 3)
    dst = tmp_path / "parts"
    mask(src, dst, "--seed", 3, "--limit", 2)
    # As if killed while writing a line.
    with (dst / ".mask-journal.jsonl").open("ab") as file:
        file.write(b'{"source": "sad/mov')
    before = {name: (dst / name).stat().st_mtime_ns for name in ("happy/two.png", "happy/gray.png")}
    halves.seen = 0
    mask(src, dst, "--seed", 3)
    assert halves.seen == 3
    assert before == {name: (dst / name).stat().st_mtime_ns for name in before}
    assert contents(dst) == contents(tmp_path / "whole")


def test_a_changed_picture_is_done_again(halves, src, tmp_path):
    dst = tmp_path / "out"
    mask(src, dst)
    first = (dst / "happy/gray.png").read_bytes()
    save(src / "happy" / "gray.png", level=90, mode="L")
    save(src / "happy" / "two.png", level=0)
    mask(src, dst)
    assert (dst / "happy/gray.png").read_bytes() != first
    assert not (dst / "happy/two.png").exists()
    assert "happy/two.png" in {r["source"] for r in rows(dst / "skipped.csv")}


def test_other_options_need_overwrite(halves, src, tmp_path, capsys):
    dst = tmp_path / "out"
    mask(src, dst)
    assert mask(src, dst, "--kind", "n95") == 2
    assert "kind='surgical'" in capsys.readouterr().err
    assert mask(src, dst, "--kind", "n95", "--overwrite") == 0
    assert {r["kind"] for r in rows(dst / "masks.csv")} == {"n95"}


def test_strict_fails_when_something_was_skipped(halves, src, tmp_path):
    assert mask(src, tmp_path / "out", "--strict") == 1
    assert mask(src / "happy", tmp_path / "good", "--strict") == 0


def test_a_single_picture(halves, src, tmp_path):
    assert mask(src / "happy" / "two.png", tmp_path / "out", "--color", "black") == 0
    assert (tmp_path / "out" / "two.png").is_file()


def test_cut_takes_the_largest_face(halves, tmp_path):
    save(tmp_path / "src" / "a.png")
    mask(tmp_path / "src", tmp_path / "cut", "--cut", "--fill", "9")
    mask(tmp_path / "src", tmp_path / "upper", "--cut", "--enlarge")
    cut = pixels(tmp_path / "cut" / "a.png")
    assert (cut[32:] == 9).all() and (cut[:28] == pixels(tmp_path / "src" / "a.png")[:28]).all()
    assert pixels(tmp_path / "upper" / "a.png")[60:].min() > 50
    assert [r["kind"] for r in rows(tmp_path / "cut" / "masks.csv")] == ["cut"]


def test_a_face_without_points_leaves_the_others(src, tmp_path):
    class Pointless(Halves):
        def _of(self, photograph):
            found = super()._of(photograph)
            found.landmarks[:1] = np.nan
            return found

    done = mask_folder(src / "happy", tmp_path / "out", MaskOptions(), detector=Pointless())
    assert (done.faces, done.pictures, done.skipped) == (1, 1, 1)
    assert [r["face"] for r in rows(tmp_path / "out" / "masks.csv")] == ["1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "scarf"], "Unknown mask 'scarf'. Available: cloth, n95, random, surgical."),
        (["--kind", "random(pleats=2)"], "random takes no options"),
        (["--kind", "n95(valve='maybe')"], "valve='maybe'"),
        (["--detector", "retinafce"], "Unknown detector 'retinafce'"),
        (["--kind", "n95(pleats=2)"], "takes no 'pleats'"),
        (["--color", "reddish"], "reddish"),
        (["--color", ""], "color ''"),
        (["--color", "", "--kind", "random"], "color ''"),
        (["--seed", "-2"], "seed=-2"),
        (["--fill", "9"], "cut"),
        (["--enlarge"], "cut"),
        (["--cut", "--color", "red"], "no mask"),
        (["--cut", "--color", ""], "no mask"),
        (["--cut", "--kind", "n95"], "no mask"),
        (["--cut", "--seed", "3"], "no mask"),
        (["--cut", "--enlarge", "--fill", "9"], "nothing to fill"),
        (["--cut", "--fill", "300"], "fill=300"),
        (["--limit", "0"], "--limit 0"),
    ],
)
def test_mistakes_end_with_2(halves, src, tmp_path, capsys, arguments, message):
    assert mask(src, tmp_path / "out", *arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_used(halves, src, tmp_path, capsys):
    assert mask(tmp_path / "missing", tmp_path / "out") == 2
    assert mask(src, src / "out") == 2
    assert mask(src, src) == 2
    assert "inside" in capsys.readouterr().err
    save(tmp_path / "full" / "mine.png")
    assert mask(src, tmp_path / "full") == 2
    assert (tmp_path / "full" / "mine.png").is_file() and "not empty" in capsys.readouterr().err


def test_names_that_would_meet_are_kept_apart(halves, tmp_path):
    save(tmp_path / "src" / "a.gif", mode="L")
    save(tmp_path / "src" / "a.gif.png")
    mask(tmp_path / "src", tmp_path / "out")
    assert {r["file"] for r in rows(tmp_path / "out" / "masks.csv")} == {"a.gif.png", "a.gif.png.png"}


def test_a_mistake_in_the_detector_costs_no_picture(src, tmp_path, capsys):
    dst = tmp_path / "out"
    mask_folder(src, dst, detector=Halves())
    before = contents(dst)
    assert mask(src, dst, "--overwrite", "--detector", "hog(upsample=9)") == 2
    assert "upsample=9" in capsys.readouterr().err
    assert contents(dst) == before
    assert mask(src, tmp_path / "new", "--detector", "hog(upsample=9)") == 2
    assert not (tmp_path / "new").exists()


def test_options_of_a_job_that_did_nothing_yet_are_forgotten(halves, src, tmp_path, capsys):
    dst = tmp_path / "out"
    nobody = src / "sad" / "nobody.png"
    assert mask(nobody, dst, "--kind", "n95") == 0
    assert mask(src, dst) == 0
    assert json.loads((dst / "mask.json").read_text())["kind"] == "surgical"
    (dst / "mask.json").write_text('{"mask": "of something else"}')
    (dst / ".mask-journal.jsonl").unlink()
    assert mask(src, dst) == 2
    assert "no record" in capsys.readouterr().err


def test_names_as_long_as_a_file_system_takes(halves, tmp_path):
    names = ["a" * 246 + ".png", "a" * 245 + "b.png", "ä" * 123 + ".gif", "later.png"]
    for name in names:
        save(tmp_path / "src" / "in" / name, mode="L")
    assert mask(tmp_path / "src", tmp_path / "out", "--strict") == 0
    files = {r["source"]: r["file"] for r in rows(tmp_path / "out" / "masks.csv")}
    assert set(files) == {f"in/{name}" for name in names} and len(set(files.values())) == 4
    assert files["in/later.png"] == "in/later.png"
    for file in files.values():
        assert len(Path(file).name.encode()) < 220 and pixels(tmp_path / "out" / file).shape == (64, 64)


def test_folders_whose_names_are_no_utf_8(halves, tmp_path):
    src = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        save(src / os.fsdecode(b"b\xe9b\xe9.png"))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 only")
    for _ in range(2):
        assert mask(src, tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "mask.json").read_text(encoding="utf-8"))["source"].endswith("caf\\udce9")
    assert len(rows(tmp_path / "out" / "masks.csv")) == 1


def test_a_limit_leaves_what_was_done_in_the_table(halves, src, tmp_path):
    dst = tmp_path / "out"
    mask(src, dst)
    before = rows(dst / "masks.csv")
    halves.seen = 0
    mask(src, dst, "--limit", 1)
    assert rows(dst / "masks.csv") == before and halves.seen == 0
    # Gone from the source, but still in the output.
    (src / "happy" / "gray.png").unlink()
    mask(src, dst)
    assert rows(dst / "masks.csv") == before


def test_names_stay_when_others_join(halves, tmp_path):
    src, dst = tmp_path / "src", tmp_path / "out"
    save(src / "a.gif", mode="L")
    mask(src, dst)
    first = (dst / "a.gif.png").read_bytes()
    save(src / "a.gif.png", width=128)
    mask(src, dst)
    assert {r["source"]: r["file"] for r in rows(dst / "masks.csv")} == {
        "a.gif": "a.gif.png", "a.gif.png": "a.gif.png.png",
    }  # fmt: skip
    assert (dst / "a.gif.png").read_bytes() == first


def test_names_do_not_depend_on_the_limit(halves, tmp_path):
    src = tmp_path / "src"
    save(src / "a.gif", mode="L")
    save(src / "a.gif.png", width=128)
    for name in ("whole", "parts"):
        if name == "parts":
            mask(src, tmp_path / name, "--limit", 1)
        mask(src, tmp_path / name)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("line", [b"\x00\xff garbage", b"7", b'{"source": "happy/two.png"}'])
def test_a_damaged_journal_costs_its_line_only(halves, src, tmp_path, line):
    dst = tmp_path / "out"
    for limit in (1, 2, 6):
        mask(src, dst, "--limit", limit)
    before, path = contents(dst), dst / JOURNAL
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:], b""]))
    halves.seen = 0
    assert mask(src, dst) == 0
    assert halves.seen == 1  # the damaged line's
    assert contents(dst) == before
    assert sorted(path.read_bytes().splitlines()) == sorted(lines)


def test_litter_does_not_fill_a_folder(halves, src, tmp_path):
    dst = tmp_path / "out"
    dst.mkdir()
    (dst / ".DS_Store").touch()
    (dst / ".part-7-mask.json").touch()
    assert mask(src, dst) == 0
    assert (dst / ".DS_Store").exists() and not (dst / ".part-7-mask.json").exists()
