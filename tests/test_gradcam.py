"""``python -m fer_tf.gradcam`` as a user starts it."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image

from fer_tf import cli, models
from fer_tf.inference import sources
from fer_tf.labels import LabelSet


def main(arguments):
    """Run the command; it ends with SystemExit."""
    cli.main(["gradcam", *arguments])


PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
MOODS = LabelSet("moods", ("glad", "grim", "happy"))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The file of a small network of three classes."""
    keras.utils.set_random_seed(0)
    network = models.get("resnet10(width=0.05)", num_classes=3, input_shape=(24, 24, 1))
    path = tmp_path_factory.mktemp("model") / "small.keras"
    models.save_model(network, path, models.ModelMetadata(MOODS, 28, gradcam_layer="features"))
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def portrait(path, size=(256, 300)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(PORTRAIT).convert("RGB").resize(size).save(path)


def noise(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(90, 110, (120, 160, 3), dtype=np.uint8)).save(path)


def gradcam(*arguments):
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def pngs(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))


@pytest.mark.slow
def test_a_photograph_gets_a_figure_beside_it_from_the_shell(here):
    portrait(here / "img.jpg")
    command = [sys.executable, "-m", "fer_tf.gradcam", "img.jpg"]
    environment = {**os.environ, "PYTHONPATH": str(Path(sources.__file__).parents[2])}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    first, last = ended.stdout.splitlines()
    assert first.startswith("img.jpg: ") and first.count("%") == 3
    assert last == "wrote img_gradcam.png"
    with Image.open("img_gradcam.png") as figure:
        assert figure.width > 2 * figure.height and np.asarray(figure).std() > 20
    assert sorted(p.name for p in here.iterdir()) == ["img.jpg", "img_gradcam.png"]


def test_what_has_no_face_or_is_no_picture_costs_no_other(here, network, capsys):
    portrait(here / "pictures" / "b" / "hopper.png")
    noise(here / "pictures" / "a.png")
    (here / "pictures" / "bad.jpg").write_text("<html>")
    arguments = ["pictures", "missing.png", "--out", "figures", "--model", network]
    assert gradcam(*arguments) == 0
    printed = capsys.readouterr()
    out = printed.out.splitlines()
    assert out[0] == "pictures/a.png: no face found."
    assert out[1].startswith("pictures/b/hopper.png: ") and out[2:] == ["wrote figures/b/hopper_gradcam.png"]
    skipped = [line for line in printed.err.splitlines() if "skipped" in line]
    assert skipped[0] == "missing.png: skipped: no such file or folder."
    assert skipped[1].startswith("pictures/bad.jpg: skipped: ") and len(skipped) == 2
    assert pngs(here / "figures") == ["b/hopper_gradcam.png"] and len(pngs(here / "pictures")) == 2


@pytest.mark.slow
def test_with_strict_what_was_skipped_is_told_by_the_exit_code(here, network):
    noise(here / "a.png")
    assert gradcam("a.png", "--strict", "--no-crop", "--model", network) == 0
    assert gradcam("a.png", "missing.png", "--strict", "--no-crop", "--model", network) == 1


def test_where_nothing_can_be_read_it_is_a_mistake(here, network, capsys):
    (here / "bad.jpg").write_text("<html>")
    assert gradcam("bad.jpg", "--no-crop", "--model", network) == 2
    error = capsys.readouterr().err
    assert "bad.jpg: skipped: " in error and "error: Nothing could be read. bad.jpg: " in error


def test_a_picture_without_a_face_is_no_mistake(here, network, capsys):
    noise(here / "plain.png")
    assert gradcam("plain.png", "--model", network) == 0
    assert capsys.readouterr().out == "plain.png: no face found.\n"
    assert pngs(here) == ["plain.png"]


@pytest.mark.slow
def test_all_faces_of_a_photograph(here, network, capsys):
    portrait(here / "one.png", (200, 240))
    one = np.asarray(Image.open("one.png"))
    Image.fromarray(np.concatenate([one, one[:, ::-1]], axis=1)).save("two.png")
    assert gradcam("two.png", "--faces", "all", "--model", network) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out[:-1]] == ["two.png, face 1", "two.png, face 2"]
    assert gradcam("two.png", "--model", network, "--method", "layercam", "--layer", "features", "--class", "grim") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert pngs(here) == ["one.png", "two.png", "two_gradcam.png", "two_layercam.png"]


def test_a_montage_of_faces_that_are_cut_out(here, network, capsys):
    for i in range(5):
        noise(here / "faces" / "ab"[i % 2] / f"{i}.png")
    assert gradcam("faces", "--no-crop", "--montage", "--model", network) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out[:5]] == [f"faces/{n}.png" for n in ("a/0", "a/2", "a/4", "b/1", "b/3")]
    assert out[5:] == [f"wrote {Path('faces/montage_gradcam.png')}"]
    # Its own figure is no picture of the folder.
    assert gradcam("faces", "--no-crop", "--montage", "--model", network, "--out", "there") == 0
    assert pngs(here / "there") == ["montage_gradcam.png"]
    assert len(capsys.readouterr().out.splitlines()) == 6


@pytest.mark.slow
def test_more_faces_than_a_page_make_another_one(here, network):
    for i in range(101):
        noise(here / f"{i}.png")
    assert gradcam(".", "--no-crop", "--montage", "--model", network, "--out", "out", "--method", "eigencam") == 0
    assert pngs(here / "out") == ["montage2_eigencam.png", "montage_eigencam.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "missing.jpg: no such file or folder."),
        (["img.png", "--method", "cam"], "Unknown heat map method 'cam'. Available: eigencam, gradcam, gradcam++"),
        (["img.png", "--class", "hapy"], "Unknown class of moods 'hapy'. Available: glad, grim, happy."),
        (["img.png", "--layer", "top"], "No layer 'top' in network 'resnet10'. Layers whose output is (N, h, w, chan"),
        (["img.png", "--method", "eigencam", "--class", "glad"], "Eigen-CAM draws one map for all classes."),
        (["img.png", "--faces", "some"], "faces='some' is unknown. Expected largest, all, central."),
        (["img.png", "--model", "none.keras"], "No model 'none.keras'."),
        (["img.png", "--out", "img.png"], "img.png is no folder."),
        (["only"], "only: no pictures in it but figures of heat maps."),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(here, network, capsys, arguments, message):
    noise(here / "img.png")
    noise(here / "only" / "img_gradcam.png")
    model = [] if "--model" in arguments else ["--model", network]
    assert gradcam(*arguments, *model) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"error: {message}") and "\n" not in error
    assert pngs(here) == ["img.png", "only/img_gradcam.png"]


def test_figures_have_names_of_their_own(here):
    for name in ("x/a.jpg", "x/a.png", "x/deep/a.jpg", "y/a.jpg", "y/b_gradcam.png"):
        noise(here / name)
    found = sources.find_pictures([Path("x"), Path("y"), Path("y/a.jpg")], "gradcam", print)
    assert [str(s.figure) for s in found] == [
        "x/a_gradcam.png", "x/a.png_gradcam.png", "x/deep/a_gradcam.png", "y/a_gradcam.png"
    ]  # fmt: skip
    found = sources.find_pictures([Path("x"), Path("y")], "scorecam", print, Path("out"))
    assert len({s.figure for s in found}) == 4
    assert {str(s.figure) for s in found} >= {"out/a_scorecam.png", "out/deep/a_scorecam.png"}
    assert [s.name for s in sources.find_pictures([Path("y/b_gradcam.png")], "gradcam", print)] == ["b_gradcam.png"]


def test_help_shows_examples(capsys):
    assert gradcam("--help") == 0
    assert "fer-tf gradcam img.jpg\n" in capsys.readouterr().out
