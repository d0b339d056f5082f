"""The whole benchmark with networks that are known by hand, and the command."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.labels import FER2013, FERPLUS
from fer_tf.models import ModelMetadata
from fer_tf.robustness import SEVERITIES, audit, benchmark, corrupted, drift, reference, report, results
from fer_tf.robustness.__main__ import main
from fer_tf.robustness.audit import Plan
from fer_tf.robustness.subjects import Subject


class ByBrightness:
    """A network by hand: the brighter the face's middle, the later the class; ``input_shape`` as Keras has it."""

    def __init__(self, label_set=FER2013, side=44, face=48, channels=1):
        self.input_shape, self.name = (None, side, side, channels), "hand"
        self.metadata, self.seen = ModelMetadata(label_set, face), []

    def predict_on_batch(self, images):
        self.seen.append(images.shape)
        classes = len(self.metadata.label_set)
        place = images.mean(axis=(1, 2, 3)) / 255 * (classes - 1)
        return -((place[:, None] - np.arange(classes)) ** 2).astype(np.float32)


@pytest.fixture(scope="module")
def table():
    return datasets.load_synthetic(faces=60).select("test")


@pytest.fixture
def asked(monkeypatch):
    """Networks by name, in place of files."""
    known = {"hand": Subject("hand", ByBrightness()), "wide": Subject("wide", ByBrightness(FERPLUS, 32, 40, 3))}
    monkeypatch.setattr(audit.subjects, "load", lambda name, view="center": known[str(name)])
    monkeypatch.setattr(audit.models, "weights_path", lambda name: Path(str(name)))
    monkeypatch.setattr(reference, "NETWORK", "wide")
    return known


def test_what_networks_are_asked_is_what_corrupted_gives(table):
    subject = Subject("hand", ByBrightness())
    (answers,) = benchmark.ask([subject], table, ["brighter", "patch(fill=0)"], seed=3)
    assert list(answers.corrupted) == ["brighter", "patch(fill=0)"]
    for text, logits in answers.corrupted.items():
        assert logits.shape == (5, len(table), 7)
        alone = subject.logits(corrupted(table.images, text, 4, 3, table.ids))
        np.testing.assert_array_equal(logits[3], alone)
    np.testing.assert_array_equal(answers.clean, subject.logits(table.images))


def test_pieces_change_nothing(table, monkeypatch):
    whole = benchmark.ask([Subject("hand", ByBrightness())], table, ["shot_noise"])[0]
    monkeypatch.setattr(benchmark, "PIECE_BYTES", 48 * 48 * 4)
    ticks = []
    pieces = benchmark.ask([Subject("hand", ByBrightness())], table, ["shot_noise"], tick=ticks.append)[0]
    np.testing.assert_array_equal(pieces.corrupted["shot_noise"], whole.corrupted["shot_noise"])
    assert sum(ticks) == 5 * len(table) and max(ticks) == 4


def test_networks_of_other_sizes_and_classes_see_the_same_faces(table):
    hand, wide = Subject("hand", ByBrightness()), Subject("wide", ByBrightness(FERPLUS, 32, 40, 3))
    faces = benchmark.comparable(table, [hand, wide])
    assert len(faces.table) == len(table) and [t.shape[1] for t in faces.targets] == [7, 8]
    wide.logits(faces.table.images)
    assert wide.network.seen[-1][1:] == (32, 32, 3)
    eight = datasets.load_synthetic(faces=60, label_set="ferplus")
    contempt = (eight.labels == 7).sum()
    assert contempt and len(benchmark.comparable(eight, [wide, hand]).table) == len(eight) - contempt


def test_faces_without_landmarks_are_left_out_of_masks(table):
    half = np.where(np.arange(len(table))[:, None, None] % 2, np.nan, table.landmarks)
    known = replace(table, landmarks=half.astype(np.float32))
    assert benchmark.rows_for("mask", known).tolist() == list(range(0, len(table), 2))
    assert not benchmark.rows_for("mask", replace(table, landmarks=None)).size


def test_a_run_against_another_network(table, asked, tmp_path):
    outcome = audit.measure(table, Plan("hand", ("darker", "eyes"), reference="wide"))
    hand = asked["hand"]
    wrong = [
        np.mean(hand.logits(corrupted(table.images, "eyes", s, 0, table.ids)).argmax(1) != table.labels)
        for s in SEVERITIES
    ]
    np.testing.assert_allclose(outcome.errors.corrupted["eyes"], wrong)
    assert outcome.reference.name == "wide" and outcome.flips is not None
    short = results.by_corruption(outcome.errors, outcome.reference).set_index("corruption")
    assert short["ce"]["eyes"] == pytest.approx(sum(wrong) / sum(outcome.reference.corrupted["eyes"]))
    written = report.write(outcome, tmp_path)
    assert {p.name for p in written} >= {"errors.csv", "corruptions.csv", "drift.csv", "report.html", "robustness.json"}
    record = json.loads((tmp_path / "robustness.json").read_text())
    assert record["summary"]["mce"] == pytest.approx(short["ce"].mean())
    assert record["drift"]["all"]["flip_rate"] == outcome.flips.mean()
    errors = pd.read_csv(tmp_path / "errors.csv")
    clean = np.mean(hand.logits(table.images).argmax(1) != table.labels)
    assert len(errors) == 1 + 2 * 5 and errors["error"][0] == pytest.approx(clean)
    # Its own errors, stored, make every corruption error 1.
    again = audit.measure(table, Plan("hand", ("eyes",), drift=False, reference=tmp_path / "robustness.json"))
    assert results.summary(results.by_corruption(again.errors, again.reference))["mce"] == pytest.approx(1)
    with pytest.raises(UserError, match="measured with faces"):
        audit.measure(table.take([0, 1]), Plan("hand", ("eyes",), reference=tmp_path / "robustness.json"))


def test_references_that_need_no_second_network(table, asked, monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "STORED", tmp_path / "nothing.json")
    own = audit.measure(table, Plan("wide", ("eyes",), drift=False))
    assert own.reference.name == "wide" and own.reference == own.errors
    none = audit.measure(table, Plan("hand", ("eyes",), drift=False, reference="none"))
    assert none.reference is None and not report.lines(none)[1].count("corruption error")
    flips = audit.measure(table, Plan("hand", ()))
    assert flips.reference is None and not flips.answers.corrupted


def test_the_faces_that_suffer_most(table, asked):
    outcome = audit.measure(table, Plan("hand", ("darker", "brighter"), drift=False, reference="none"))
    found = results.fallen(outcome.answers, outcome.faces)
    assert len({f.row for f in found}) == len(found)
    for face in found:
        assert face.probabilities.shape == (6, 7)
        assert face.probabilities[0].argmax() == table.labels[face.row]


def test_mistakes_cost_one_line(capsys, tmp_path):
    for arguments, message in (
        (["default", "--only", "fog"], "Nothing matches fog. Available: brighter"),
        (["default", "--limit", "0"], "--limit 0 leaves nothing"),
        (["default", "--seed", "-1"], "--seed -1 is negative"),
        (["default", "--dataset", "fer2013"], "needs data"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--out", str(tmp_path)])
        assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.slow
def test_the_command(tmp_path):
    command = [sys.executable, "-m", "fer_tf.robustness", "fer2013", "--limit", "20", "--out", str(tmp_path)]
    command += ["--only", "mask", "--only", "jpeg", "--only", drift.__name__.rpartition(".")[2]]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "20 faces, accuracy as they are" in ended.stdout and "flip rate" in ended.stdout
    assert ended.stdout.splitlines()[-1] == f"wrote {tmp_path / 'report.html'}"
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 3 and "http" not in page
    record = json.loads((tmp_path / "robustness.json").read_text())
    assert set(record["corruptions"]) == {"mask", "jpeg"} and record["network"] == record["reference"]
    assert record["summary"]["mce"] == 1
