"""The export command: what it writes, what it says, and mistakes in one line."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_tf import cli, models, serving
from fer_tf.serving import savedmodel

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("small", ROOT / "tests" / "serving" / "small.py")
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)


@pytest.fixture
def moods(tmp_path, monkeypatch):
    """A trained network in the working folder."""
    monkeypatch.chdir(tmp_path)
    network = small.network()
    models.save_model(network, "moods.keras", network.metadata)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", *map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_files_for_devices(moods, capsys):
    code, out, _ = run(capsys, "moods.keras", "--tflite", "out/moods.tflite", "--onnx", "moods.onnx")
    assert code == 0 and out == "wrote out/moods.tflite\nwrote moods.onnx\n"
    assert Path("out/moods.tflite").stat().st_size > 1000 and Path("moods.onnx").stat().st_size > 1000


def test_the_options_reach_the_export(moods, capsys, monkeypatch):
    seen = {}

    def exported(classifier, folder, version, **given):
        seen.update(given, flip=classifier.flip, folder=folder, version=version)
        return folder / "7"

    monkeypatch.setattr(savedmodel, "export", exported)
    monkeypatch.setattr(serving, "has_serving_apis", lambda: False)
    code, out, _ = run(capsys, "moods.keras", "saved_models/moods", "--flip", "--version", 7, "--max-faces", 5,
                       "--max-pixels", 9, "--detector", "retinaface(size=320)")  # fmt: skip
    assert code == 0 and seen == {
        "flip": True, "folder": Path("saved_models/moods"), "version": 7, "max_faces": 5, "max_pixels": 9,
        "detector": "retinaface(size=320)",
    }  # fmt: skip
    assert out.splitlines() == [
        "no warm-up requests: they need pip install 'fer-tf[serving]'", "wrote saved_models/moods/7",
        "wrote saved_models/models.config", "wrote saved_models/batching.config", "wrote saved_models/SERVING.md",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to write. Give DST"),
        (["saved_models/moods", "--int8"], "--int8 is for LiteRT"),
        (["--tflite", "a.tflite", "--version", "3"], "--version is for a server"),
        (["--tflite", "a.onnx"], "a.onnx: expected a name that ends in .tflite"),
        (["saved_models/moods", "--version", "-1"], "--version -1 is out of range"),
        (["saved_models/12"], "saved_models/12 cannot be the name of a model"),
        (["moods.keras"], "moods.keras is no folder"),
        (["saved_models/moods", "--detector", "hog"], "does not run inside a TensorFlow graph"),
    ],
)
def test_mistakes_are_one_line(moods, capsys, arguments, message):
    code, out, err = run(capsys, "moods.keras", *arguments)
    last = err.strip().splitlines()[-1]
    assert code == 2 and not out and last.startswith("error: ") and message in last
    assert not list(Path().rglob("saved_model.pb"))


def test_an_unknown_model(tmp_path, capsys):
    code, _, err = run(capsys, tmp_path / "nothing.keras", tmp_path / "moods")
    assert code == 2 and "nothing.keras" in err and not (tmp_path / "moods").exists()


@pytest.mark.slow
def test_the_command(moods):
    ended = subprocess.run([sys.executable, "-m", "fer_tf.export", "moods.keras", "saved_models/moods"],
                           env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    written = [Path(line.removeprefix("wrote ")) for line in ended.stdout.splitlines()]
    assert written[0] == Path("saved_models/moods/1") and len(written) == 4 and all(p.exists() for p in written)
    assert (written[0] / "assets.extra" / "tf_serving_warmup_requests").is_file()
