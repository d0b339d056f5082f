import csv
import importlib.util
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf import datasets
from fer_tf.cli import main
from fer_tf.io import pictures, video

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).with_name("drawn.py"))
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

FACE = drawn.photograph((40, 30, 60))


pytestmark = pytest.mark.usefixtures("squares")


@pytest.fixture
def src(tmp_path):
    """Two good photographs, first and last by name."""
    for name in ("a/first.png", "z/last.jpg"):
        drawn.save(tmp_path / "src" / name, FACE)
    return tmp_path / "src"


def crop(*arguments):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["crop", "--size", "32", "--detector", "squares", *map(str, arguments)])
    return ended.value.code


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_skipped(src, dst, name, reason):
    """Check that one source is skipped with its reason, and that all others give faces."""
    others = 2
    assert crop(src, dst) == 0
    (row,) = rows(dst / "skipped.csv")
    assert row["source"] == name
    assert reason in row["reason"]
    assert {"a/first.png", "z/last.jpg"} <= {r["source"] for r in rows(dst / "faces.csv")}
    assert sum(1 for _ in dst.rglob("*.png")) == others
    assert crop(src, dst, "--strict") == 1


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png(image):
    return encoded(image, "PNG")


JPEG = encoded(Image.fromarray(FACE), "JPEG")
BAD = {
    "zero bytes": ("m/x.jpg", lambda: b"", "empty file."),
    "truncated jpeg": ("m/x.jpg", lambda: JPEG[: len(JPEG) // 2], "damaged picture"),
    "truncated png": ("m/x.png", lambda: png(Image.fromarray(FACE))[:3000], "damaged picture"),
    "one pixel": ("m/x.png", lambda: png(Image.new("RGB", (1, 1))), "no face found."),
    "very long": ("m/x.png", lambda: png(Image.new("RGB", (20_000, 20))), "no face found."),
    "html": ("m/x.jpg", lambda: b"<!DOCTYPE html><html></html>", "no picture. Expected one of"),
    "bomb": ("m/x.png", lambda: png_header(60_000, 60_000) + png(Image.new("RGB", (9, 9)))[33:], "pixels. Expected at"),
    "no video": ("m/x.mp4", lambda: b"<html>", "damaged video"),
    "spaces and letters": ("m n/ü é\n日本.jpg", lambda: b"", "empty file."),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_gives_no_face_is_recorded_and_the_others_processed(src, tmp_path, kind):
    name, content, reason = BAD[kind]
    if name.endswith("mp4"):
        pytest.importorskip("av")
    (src / name).parent.mkdir()
    (src / name).write_bytes(content())
    check_skipped(src, tmp_path / "dst", name, reason)


def test_a_name_that_is_no_unicode_is_recorded(src, tmp_path):
    name = os.fsdecode(b"x\xff.jpg")
    try:
        (src / "m").mkdir()
        (src / "m" / name).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes Unicode only")
    check_skipped(src, tmp_path / "dst", "m/x\\udcff.jpg", "empty file.")


def test_link_loops_are_recorded(src, tmp_path):
    (src / "m").mkdir()
    (src / "m" / "loop").symlink_to(src)
    check_skipped(src, tmp_path / "dst", "m/loop", "the same folder as .")


def test_a_photograph_that_vanishes_is_recorded(tmp_path):
    names = [f"{i:02d}.png" for i in range(50)]
    for name in names:
        drawn.save(tmp_path / "src" / name, FACE)

    class Losing(drawn.RedSquares):
        def detect(self, photographs):
            (tmp_path / "src" / names[-1]).unlink(missing_ok=True)  # more than are read ahead of the first batch
            return super().detect(photographs)

    assert drawn.run(tmp_path / "src", tmp_path / "dst", detector=Losing()).faces == 49
    (row,) = rows(tmp_path / "dst" / "skipped.csv")
    assert row["source"] == names[-1] and "no such picture" in row["reason"]


def sixteen_bits():
    return png(Image.fromarray(FACE[..., 0].astype(np.uint16) * 257))


color = Image.fromarray(FACE)
other = Image.new("RGB", color.size)
GOOD = {
    "cmyk": ("x.jpg", lambda: encoded(color.convert("CMYK"), "JPEG", quality=95)),
    "palette": ("x.png", lambda: png(color.quantize(32))),
    "rgba": ("x.png", lambda: png(color.convert("RGBA"))),
    "animated gif": ("x.gif", lambda: encoded(color.quantize(32), "GIF", save_all=True, append_images=[other])),
    "animated webp": ("x.webp", lambda: encoded(color, "WEBP", save_all=True, append_images=[other], quality=95)),
    "spaces and letters": ("ü é\n日本 .JPG", lambda: encoded(color, "JPEG")),
}


@pytest.mark.parametrize("kind", GOOD)
def test_photographs_of_any_kind_give_their_face(src, tmp_path, kind):
    name, content = GOOD[kind]
    (src / "m").mkdir()
    (src / "m" / name).write_bytes(content())
    # Of an animation, the frames after the first are left out, and that is told.
    assert crop(src, tmp_path / "dst", "--strict") == kind.startswith("animated")
    found = {r["source"]: r for r in rows(tmp_path / "dst" / "faces.csv")}
    assert set(found) == {"a/first.png", f"m/{name}", "z/last.jpg"}
    faces = [
        np.asarray(Image.open(tmp_path / "dst" / found[s]["file"])).astype(int) for s in ("a/first.png", f"m/{name}")
    ]
    assert np.abs(faces[0] - faces[1]).mean() < 12


def test_sixteen_bits_are_taken(src, tmp_path):
    (src / "m").mkdir()
    (src / "m" / "x.png").write_bytes(sixteen_bits())
    assert crop(src, tmp_path / "dst", "--fallback", "whole", "--strict") == 0
    face = np.asarray(Image.open(tmp_path / "dst" / "m" / "x.png"))
    assert face.max() > 230 and 90 < np.median(face[5:8]) < 110


def test_the_summary_and_what_it_names(src, tmp_path, capsys):
    (src / "a" / "x.jpg").write_bytes(b"")
    dst = tmp_path / "dst"
    assert crop(src, dst) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {dst / 'faces.csv'}",
        f"2 faces of 2 pictures in {dst}, 1 skipped: see {dst / 'skipped.csv'}",
    ]
    crop(src / "a" / "first.png", tmp_path / "one", "--strict")
    assert capsys.readouterr().out.splitlines()[1] == f"1 face of 1 picture in {tmp_path / 'one'}, none skipped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faces", "biggest"], "faces='biggest' is unknown. Expected largest, all, central"),
        (["--detector", "haar"], "Unknown detector 'haar'. Available: "),
        (["--limit", "0"], "--limit 0 leaves nothing"),
        (["--every", "0"], "every=0 is out of range"),
    ],
)
def test_mistakes_end_with_two_and_one_line(src, tmp_path, capsys, arguments, message):
    assert crop(src, tmp_path / "dst", *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {message}") and errors.count("\n") == 1
    assert not (tmp_path / "dst").exists()


def test_options_reach_the_job(src, tmp_path):
    dst = tmp_path / "dst"
    arguments = ["--format", "jpg", "--no-align", "--margin", "0.5", "--limit", "1", "--quality", "50", "--every", "3"]
    assert crop(src, dst, *arguments) == 0
    (row,) = rows(dst / "faces.csv")
    assert row["file"] == "a/first.jpg"
    assert float(row["frame_side"]) == 90
    assert crop(src, dst, "--format", "jpg") == 2
    assert crop(src, dst, "--overwrite") == 0
    assert [r["file"] for r in rows(dst / "faces.csv")] == ["a/first.png", "z/last.png"]


def test_shards_hold_the_same_faces_as_files(src, tmp_path):
    drawn.save(src / "z" / "two.png", drawn.photograph((10, 10, 50), (90, 20, 40)))
    assert crop(src, tmp_path / "files", "--faces", "all") == 0
    assert crop(src, tmp_path / "shards", "--faces", "all", "--format", "tfrecord") == 0
    files = datasets.get("folder(size=32, channels=3)", tmp_path / "files")
    shards = datasets.get("records(size=32, channels=3)", tmp_path / "shards")
    order = np.argsort(shards.ids)
    assert shards.ids[order].tolist() == sorted(files.ids) and len(files) == 4
    for column in ("images", "targets", "split"):
        np.testing.assert_array_equal(getattr(shards, column)[order], getattr(files, column)[np.argsort(files.ids)])
    # The eyes of a drawn face are at 0.3 and 0.7 of its width: level, and as far apart as alignment puts them.
    eyes = shards.landmarks[:, :2]
    np.testing.assert_allclose(eyes[..., 1], 0.385 * 32, atol=0.01)
    np.testing.assert_allclose(eyes[:, 1, 0] - eyes[:, 0, 0], 0.37 * 32, atol=0.01)


def test_help_shows_examples_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom fer_tf.cli import main\n"
        "try:\n    main(['crop', '--help'])\n"
        "except SystemExit:\n    print(sorted({'keras', 'tensorflow', 'av', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "fer-tf crop photographs faces\n" in shown
    assert shown.splitlines()[-1] == "[]"
    assert "fer-tf[video]" in shown and "fer-tf[landmarks]" in shown
    assert f"photographs  {' '.join(pictures.SUFFIXES)}\n" in shown
    assert f"videos       {' '.join(video.SUFFIXES)}\n" in shown
