"""The command: files written and their contents, hard inputs, exit codes; red squares are taken for faces."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import fer_tf
from fer_tf import models
from fer_tf import predict as command
from fer_tf.inference import sources
from fer_tf.labels import LabelSet

SPEC = importlib.util.spec_from_file_location("drawn", Path(__file__).parent / "faces" / "drawn.py")
drawn = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawn)

FACE = drawn.photograph((40, 30, 60))
MOODS = LabelSet("moods", ("glad", "grim", "calm"))


pytestmark = pytest.mark.usefixtures("squares")


@pytest.fixture(scope="module", autouse=True)
def network(tmp_path_factory):
    """The file of a small network, which the commands use."""
    global NETWORK
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 1))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Rescaling(0.02)(inputs)))
    NETWORK = tmp_path_factory.mktemp("network") / "moods.keras"
    models.save_model(keras.Model(inputs, logits), NETWORK, models.ModelMetadata(MOODS, 32))


@pytest.fixture
def src(tmp_path):
    """Two good photographs, first and last by name."""
    for name in ("a/first.png", "z/last.jpg"):
        drawn.save(tmp_path / "src" / name, FACE)
    return tmp_path / "src"


def run(*arguments):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        command.main(["--detector", "squares", "--model", str(NETWORK), *(str(a) for a in arguments)])
    return ended.value.code


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def write_video(path, positions, size=(160, 120), rate=10):
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", 2_000_000
        for left in positions:
            picture = drawn.photograph(*([(left, 32, 48)] if left else []), width=size[0], height=size[1])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_the_table_and_all_files(src, tmp_path, capsys):
    drawn.save(src / "m" / "none.png", drawn.photograph())
    (src / "m" / "bad.jpg").write_bytes(b"")
    out = tmp_path / "out"
    files = ["--csv", out / "f.csv", "--json", out / "f.json", "--skipped", out / "s.csv", "--annotate", out / "drawn"]
    assert run(src, *files) == 0
    faces = json.loads((out / "f.json").read_text())
    assert [(f["source"], f["frame"], f["index"], f["box"]) for f in faces] == [
        (str(src / "a" / "first.png"), None, 0, [40, 30, 100, 90]),
        (str(src / "z" / "last.jpg"), None, 0, faces[1]["box"]),
    ]
    for face, row in zip(faces, rows(out / "f.csv"), strict=True):
        assert row["source"] == face["source"] and row["label"] == face["label"]
        assert max(face["distribution"], key=face["distribution"].get) == face["label"]
        assert {k: float(row[k]) for k in face["distribution"]} == face["distribution"]
        assert abs(sum(face["distribution"].values()) - 1) < 1e-5
    assert [(Path(r["source"]).name, r["reason"]) for r in rows(out / "s.csv")] == [
        ("bad.jpg", "empty file."), ("none.png", "no face found."),
    ]  # fmt: skip
    drawn_files = sorted(p.relative_to(out / "drawn").as_posix() for p in (out / "drawn").rglob("*.*"))
    assert drawn_files == ["a/first_faces.jpg", "m/none_faces.jpg", "z/last_faces.jpg"]
    assert Image.open(out / "drawn" / "a" / "first_faces.jpg").size == (640, 480)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("source") and "40,30 60×60" in shown[1]
    assert any("bad.jpg" in line and "skipped: empty file." in line for line in shown)
    assert any(line.rstrip().endswith("no face found") for line in shown)
    assert shown[5].startswith("2 faces in 3 pictures: ") and shown[5].endswith("; no face in 1; 1 skipped")
    assert shown[6:] == [f"wrote {p}" for p in (*files[1:6:2], *(out / "drawn" / n for n in drawn_files))]
    assert run(src, "--strict") == 1


def test_a_video_is_drawn_with_its_timeline(tmp_path, capsys):
    av = pytest.importorskip("av")
    write_video(tmp_path / "in" / "v.mp4", [16, 20, 24, 0, 32, 36, 40, 44], size=(162, 121 // 2 * 2))
    out = tmp_path / "out"
    assert run(tmp_path / "in", "--annotate", out, "--every", "2", "--json", tmp_path / "f.jsonl", "--smooth", "1") == 0
    faces = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [(f["frame"], f["time"], f["track"]) for f in faces] == [(0, 0, 0), (2, 0.2, 0), (4, 0.4, 0), (6, 0.6, 0)]
    with av.open(str(out / "v_faces.mp4")) as container:
        frames = [(round(f.time, 2), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert [t for t, _ in frames] == [0, 0.2, 0.4, 0.6] and frames[0][1].shape == (120, 162, 3)
    width, height = Image.open(out / "v_timeline.png").size
    assert width > 800 and height > 200
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2:] == [f"wrote {out / 'v_faces.mp4'}", f"wrote {out / 'v_timeline.png'}"]
    assert "0.20 s" in shown[2] and shown[5].startswith("4 faces in 4 frames: ")
    assert not list(tmp_path.rglob(".part-*"))


def test_frames_of_odd_size_and_no_face_make_a_video_too(tmp_path):
    pytest.importorskip("av")
    write_video(tmp_path / "v.mp4", [0, 0, 0])
    assert run(tmp_path / "v.mp4", "--timeline", tmp_path / "t.png") == 0
    assert Image.open(tmp_path / "t.png").size[0] > 800
    from fer_tf.inference.annotation import VideoWriter

    with VideoWriter(tmp_path / "odd.mp4") as writer:
        for time in (0.0, 0.0, 0.5):
            writer.add(np.zeros((33, 47, 3), np.uint8), time)
        writer.add(np.zeros((10, 10, 3), np.uint8), 0.6)
    import av

    with av.open(str(tmp_path / "odd.mp4")) as container:
        assert [f.to_ndarray(format="rgb24").shape for f in container.decode(video=0)] == [(32, 46, 3)] * 4


def sixteen_bits():
    return encoded(Image.fromarray(FACE[..., 0].astype(np.uint16) * 257), "PNG")


color = Image.fromarray(FACE)
other = Image.new("P", color.size)
exif = Image.Exif()
exif[0x0112] = 6  # Turned a quarter clockwise to be upright.
JPEG = encoded(color, "JPEG")
BAD = {
    "zero bytes": ("x.jpg", b"", "empty file."),
    "truncated jpeg": ("x.jpg", JPEG[: len(JPEG) // 2], "damaged picture"),
    "truncated png": ("x.png", encoded(color, "PNG")[:3000], "damaged picture"),
    "html": ("x.jpg", b"<!DOCTYPE html><html></html>", "no picture. Expected one of"),
    "no video": ("x.mp4", b"<html>", "damaged video"),
    "letters": ("ü é\n日本.jpg", b"", "empty file."),
}
GOOD = {
    "cmyk": ("x.jpg", encoded(color.convert("CMYK"), "JPEG", quality=95)),
    "palette": ("x.png", encoded(color.quantize(32), "PNG")),
    "rgba": ("x.png", encoded(color.convert("RGBA"), "PNG")),
    "animated gif": (
        "x.gif",
        encoded(color.quantize(32), "GIF", save_all=True, append_images=[Image.new("P", (160, 120))]),
    ),
    "turned": ("x.jpg", encoded(color.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_recorded_and_the_others_done(src, tmp_path, kind):
    name, content, reason = BAD[kind]
    if name.endswith("mp4"):
        pytest.importorskip("av")
    (src / name).write_bytes(content)
    assert run(src, "--csv", tmp_path / "f.csv", "--skipped", tmp_path / "s.csv") == 0
    (row,) = rows(tmp_path / "s.csv")
    assert Path(row["source"]).name == name and reason in row["reason"]
    assert [Path(r["source"]).name for r in rows(tmp_path / "f.csv")] == ["first.png", "last.jpg"]


@pytest.mark.parametrize("kind", GOOD)
def test_photographs_of_any_kind_give_their_face(tmp_path, kind):
    name, content = GOOD[kind]
    (tmp_path / name).write_bytes(content)
    assert run(tmp_path / name, "--csv", tmp_path / "f.csv") == 0
    (row,) = rows(tmp_path / "f.csv")
    np.testing.assert_allclose([float(row[k]) for k in ("x0", "y0", "x1", "y1")], [40, 30, 100, 90], atol=3)


def test_sixteen_bits_are_taken(tmp_path):
    (tmp_path / "x.png").write_bytes(sixteen_bits())
    assert run(tmp_path / "x.png", "--no-crop", "--json", tmp_path / "f.json") == 0
    (face,) = json.loads((tmp_path / "f.json").read_text())
    assert face["box"] == [0, 0, 160, 120] and face["score"] is None and face["landmarks"] is None


def test_a_picture_without_a_face_says_so_and_ends_well(tmp_path, capsys):
    drawn.save(tmp_path / "x.png", drawn.photograph())
    assert run(tmp_path / "x.png", "--json", tmp_path / "f.json") == 0
    assert "no face found" in capsys.readouterr().out
    assert json.loads((tmp_path / "f.json").read_text()) == []


def test_nothing_that_can_be_read_ends_with_two(tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"")
    for given, message in (
        ([tmp_path / "gone.jpg"], "no such file or folder."),
        ([tmp_path / "bad.jpg", "--csv", tmp_path / "f.csv"], "Nothing could be read."),
    ):
        assert run(*given) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: ") and message in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faces", "biggest"], "--faces 'biggest' is unknown. Expected largest, all, central"),
        (["--every", "0"], "--every 0 is out of range"),
        (["--smooth", "-1"], "--smooth -1.0 is not a duration"),
        (["--follow", "-1"], "--follow -1.0 is not a duration"),
        (["--seconds", "5"], "--seconds is for webcams"),
        (["--model", "nothing"], "No model 'nothing'"),
        (["--json", "faces.txt"], "faces.txt: unknown suffix"),
        (["--timeline", "t.png"], "--timeline is of one video, found 0"),
        (["0"], "'0' is a webcam, which cannot be combined"),
    ],
)
def test_mistakes_end_with_two_and_one_line(src, capsys, arguments, message):
    assert run(src, *arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {message}") and errors.count("\n") == 1


def test_copies_never_go_among_their_originals(src, capsys):
    assert run(src, "--annotate", src / "drawn") == 2
    assert "is inside" in capsys.readouterr().err and not (src / "drawn").exists()


def test_a_webcam_is_read_until_ctrl_c_or_a_time(tmp_path, capsys, monkeypatch):
    pytest.importorskip("av")
    batches = [[sources.InputImage("webcam 0", i, drawn.photograph((20 + i, 30, 40)), time=i / 5)] for i in range(6)]

    def until_ctrl_c(number):
        yield from batches
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "watch", until_ctrl_c)
    assert (
        run("0", "--csv", tmp_path / "f.csv", "--timeline", tmp_path / "t.png", "--annotate", tmp_path / "drawn") == 0
    )
    assert [(r["source"], r["frame"], r["track"]) for r in rows(tmp_path / "f.csv")] == [
        ("webcam 0", str(i), "0") for i in range(6)
    ]
    names = {p.name for p in (tmp_path / "drawn").iterdir()}
    assert names == {"webcam_0_faces.mp4", "webcam_0_timeline.png"}
    assert run("0", "--csv", tmp_path / "f.csv", "--seconds", "0.5") == 0
    assert len(rows(tmp_path / "f.csv")) == 3


def test_interrupted_files_are_left_as_they_were(src, tmp_path):
    (tmp_path / "f.csv").write_text("old")
    files = ["--csv", tmp_path / "f.csv", "--annotate", tmp_path / "drawn"]
    assert run(src, *files, "--detector", "squares(end=1)") == 130
    assert (tmp_path / "f.csv").read_text() == "old" and not list(tmp_path.rglob(".part-*"))


def test_help_shows_examples_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom fer_tf.predict import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(sorted({'keras', 'tensorflow', 'av', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "fer-tf predict photograph.jpg\n" in shown and "fer-tf[video]" in shown
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_the_command_alone_finds_the_astronaut(tmp_path):
    import skimage.data

    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "x.png")
    environment = {**os.environ, "PYTHONPATH": str(Path(fer_tf.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, "-m", "fer_tf.predict", "x.png", "--json", "f.json"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    (face,) = json.loads((tmp_path / "f.json").read_text())
    assert face["label"].startswith("happ") and face["score"] > 0.99
    assert ended.stdout.splitlines()[-1] == "wrote f.json"


def test_flip_and_fast_reach_the_network(tmp_path):
    drawn.save(tmp_path / "x.png", np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1)))
    found = []
    for options in ([], ["--flip"], ["--fast"]):
        assert run(tmp_path / "x.png", "--no-crop", "--json", tmp_path / "f.json", *options) == 0
        (face,) = json.loads((tmp_path / "f.json").read_text())
        found.append(np.array(list(face["distribution"].values())))
    assert np.abs(found[1] - found[0]).max() > 0.01
    assert 0 < np.abs(found[2] - found[0]).max() < 0.02
