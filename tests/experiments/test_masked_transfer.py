"""The study of masked faces, as a user starts it."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_tf import models
from fer_tf.labels import FER2013, LFWFER
from fer_tf.metrics.distribution import softmax
from fer_tf.tuning import commandline

SCRIPT = Path(__file__).parents[2] / "experiments" / "masked_transfer.py"
SPEC = importlib.util.spec_from_file_location("masked_transfer_script", SCRIPT)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def options(*arguments):
    return commandline.parser(script.STUDY).parse_args(arguments)


def test_runs_start_from_the_network_and_differ_in_what_the_faces_wear():
    runs = {c.name: c for c in script.configs(options("--epochs", "6"))}
    assert list(runs) == ["clean", "masked", "both", "cut"]
    network = script.started("default")[1]
    for run in runs.values():
        assert run.model == network.metadata.model and Path(run.start).is_file()
        assert (run.crop, run.image_size) == (network.input_shape[1], network.metadata.face_size)
        assert "label_set='lfwfer'" in run.dataset and "evaluation='both'" in run.cover
    assert [c.cover.split("train=")[1].split("'")[1] for c in runs.values()] == ["plain", "masked", "both", "cut"]
    assert {name: c.epochs for name, c in runs.items()} == {"clean": 6, "masked": 6, "both": 3, "cut": 6}


def test_the_release_brings_its_own_masked_faces():
    runs = script.configs(options("--dataset", "lfwfer(protocol='official')", "--data", "."))
    assert all(c.cover is None and "protocol='official'" in c.dataset for c in runs)
    assert "part='cut'" in runs[3].dataset and "evaluation='both'" in runs[3].dataset
    assert f"size={runs[0].image_size}" in runs[0].dataset


def test_probabilities_of_seven_classes_add_up_to_three():
    class Network:
        metadata = models.ModelMetadata(FER2013, 48)

    logits = np.random.default_rng(0).normal(size=(5, 7))
    p = dict(zip(FER2013.classes, softmax(logits).T, strict=True))
    expected = [p["happy"], p["neutral"], p["angry"] + p["disgust"] + p["fear"] + p["sad"]]
    assert LFWFER.classes == ("positive", "neutral", "negative")
    np.testing.assert_allclose(script.merged(logits, Network), np.stack(expected, axis=1))


@pytest.mark.slow
def test_the_study_leaves_its_table_beside_the_original_one(tmp_path, capsys):
    flags = ["--quick", "--limit", "64", "--epochs", "1", "--only", "both", "--dataset", "synthetic(faces=500)"]
    with pytest.raises(SystemExit) as ended:
        commandline.main(script.STUDY, [*flags, "--out", str(tmp_path)])
    assert ended.value.code == 0
    table = pd.read_csv(tmp_path / "masked.csv").set_index("fine-tuned on")
    assert list(table.index) == ["as it was", "both"]
    assert table[["plain", "masked", "cut"]].to_numpy().min() > 0
    winner = models.load_model(tmp_path / "winner.keras")
    assert winner.metadata.label_set.classes == LFWFER.classes and winner.output_shape == (None, 3)
    page = (tmp_path / "report.html").read_text()
    assert "Another dataset" in page and "M-LFW-FER-face-cut" in page and "76.92" in page
    assert "Another dataset, LFW-FER" in capsys.readouterr().out


def test_faces_without_landmarks_are_told_before_the_first_run(tmp_path, capsys):
    rows = ["emotion,pixels,Usage"]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        rows += [f"{label},{' '.join(['90'] * 2304)},{usage}" for label in (3, 0, 6)]
    (tmp_path / "fer2013.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(SystemExit) as ended:
        commandline.main(script.STUDY, ["--dataset", "fer2013", "--data", str(tmp_path), "--out", str(tmp_path / "o")])
    assert ended.value.code == 2
    assert "fer-tf landmarks" in capsys.readouterr().err
