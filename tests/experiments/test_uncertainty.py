"""The study of doubt, as a user starts it."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_tf import datasets
from fer_tf.datasets.ferplus import with_votes

SCRIPT = Path(__file__).parents[2] / "experiments" / "uncertainty.py"
SPEC = importlib.util.spec_from_file_location("uncertainty_script", SCRIPT)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def run(monkeypatch, folder, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments, "--out", str(folder)])
    script.main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alpha", "90"), "--alpha 90.0 is out of range"),
        (("--mean-of", "median"), "Unknown mean of an ensemble 'median'"),
        (("--limit", "1"), "--limit 1 gives no table"),
        (("--quick", "--dataset", "fer2013"), "--quick has faces of its own"),
        (("--model", "nothing.keras"), "No model 'nothing.keras'"),
    ],
)
def test_mistakes_are_told_at_once(arguments, message, monkeypatch, tmp_path):
    with pytest.raises(script.UserError, match=message):
        run(monkeypatch, tmp_path, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_ensemble_leaves_tables_figures_and_a_page(monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, "--quick", "--model", "default", "--model", "default")
    names = [line.split("/")[-1] for line in capsys.readouterr().out.splitlines() if line.startswith("wrote ")]
    assert names == [
        "calibration.csv", "sets.csv", "rejection.csv", "faces.csv", "reliability.png", "accuracy_over_answers.png",
        "coverage_by_disagreement.png", "size_by_disagreement.png", "report.html",
    ]  # fmt: skip
    sets = pd.read_csv(tmp_path / "sets.csv").set_index(["score", "scope", "group"])
    faces = pd.read_csv(tmp_path / "faces.csv")
    whole = sets.loc[("lac", "all", "all faces")]
    held = [t in s.split() for t, s in zip(faces["true"], faces["lac"].fillna(""), strict=True)]
    assert whole["coverage"] == pytest.approx(np.mean(held)) and whole["faces"] == len(faces)
    # Twice the same network: no more is known than by one of them.
    assert faces["mutual_information"].abs().max() < 1e-9 and not faces["disagreement"].any()
    calibration = pd.read_csv(tmp_path / "calibration.csv").set_index("answers")
    assert calibration.loc["test, default alone", "nll"] == pytest.approx(calibration.loc["test, as it is", "nll"])
    assert (tmp_path / "report.html").read_text().count("data:image/png;base64,") == 4


@pytest.mark.real
@pytest.mark.slow
def test_sets_hold_the_right_class_of_nine_in_ten_real_faces(monkeypatch, tmp_path, real_data):
    run(monkeypatch, tmp_path, "--dataset", "fer2013", "--data", str(real_data))
    sets = pd.read_csv(tmp_path / "sets.csv")
    whole = sets[sets["group"] == "all faces"]
    assert len(whole) == 6 and whole["coverage"].between(0.88, 0.92).all()
    # Of 3,589 faces FER+ keeps 3,505 for distributions; the others have no votes here.
    assert (sets[sets["group"] == "no votes"]["faces"] == 84).all()


@pytest.mark.real
@pytest.mark.slow
def test_fer2013_faces_get_the_votes_of_their_own_rows(real_data):
    table = with_votes(datasets.get("fer2013", real_data), str(real_data))
    voted = datasets.get("ferplus", real_data)
    row_of = {name: row for row, name in enumerate(table.ids.tolist())}
    for i in range(0, len(voted), 2000):
        row = row_of[voted.ids[i]]
        np.testing.assert_array_equal(table.images[row], voted.images[i])
        np.testing.assert_array_equal(table.votes[row], voted.votes[i])
