"""The whole benchmark with networks that are known by hand, and the command."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fer_tf import cli, datasets
from fer_tf.errors import UserError
from fer_tf.labels import FER2013, FERPLUS
from fer_tf.models import ModelMetadata
from fer_tf.robustness import SEVERITIES, BenchmarkPlan, benchmark, corrupt, report, run_benchmark
from fer_tf.robustness.benchmark import BenchmarkedNetwork


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


def hand():
    return BenchmarkedNetwork("hand", ByBrightness())


def wide():
    return BenchmarkedNetwork("wide", ByBrightness(FERPLUS, 32, 40, 3))


def test_what_networks_are_asked_is_what_corrupted_gives(table):
    subject = hand()
    (found,) = benchmark.predict_corrupted([subject], table, ["brighter", "patch(fill=0)"], seed=3)
    assert list(found.corrupted) == ["brighter", "patch(fill=0)"]
    for text, logits in found.corrupted.items():
        assert logits.shape == (5, len(table), 7)
        alone = subject.logits(corrupt(table.images, text, 4, 3, table.ids))
        np.testing.assert_array_equal(logits[3], alone)
    np.testing.assert_array_equal(found.clean, subject.logits(table.images))


def test_pieces_change_nothing(table):
    whole = benchmark.predict_corrupted([hand()], table, ["shot_noise"])[0]
    ticks = []
    pieces = benchmark.predict_corrupted([hand()], table, ["shot_noise"], tick=ticks.append, piece_bytes=48 * 48 * 4)[0]
    np.testing.assert_array_equal(pieces.corrupted["shot_noise"], whole.corrupted["shot_noise"])
    assert sum(ticks) == 5 * len(table) and max(ticks) == 4


def test_networks_of_other_sizes_and_classes_see_the_same_faces(table):
    first, second = hand(), wide()
    faces = benchmark.shared_faces(table, [first, second])
    assert len(faces.table) == len(table) and [t.shape[1] for t in faces.targets] == [7, 8]
    second.logits(faces.table.images)
    assert second.network.seen[-1][1:] == (32, 32, 3)
    eight = datasets.load_synthetic(faces=60, label_set="ferplus")
    contempt = (eight.labels == 7).sum()
    assert contempt and len(benchmark.shared_faces(eight, [second, first]).table) == len(eight) - contempt


def test_faces_without_landmarks_are_left_out_of_masks(table):
    half = np.where(np.arange(len(table))[:, None, None] % 2, np.nan, table.landmarks)
    known = replace(table, landmarks=half.astype(np.float32))
    assert benchmark.rows_for("mask", known).tolist() == list(range(0, len(table), 2))
    assert not benchmark.rows_for("mask", replace(table, landmarks=None)).size


def test_a_run_against_another_network(table, tmp_path):
    result = run_benchmark(table, BenchmarkPlan(hand(), ("darker", "eyes"), reference=wide()))
    wrong = [
        np.mean(hand().logits(corrupt(table.images, "eyes", s, 0, table.ids)).argmax(1) != table.labels)
        for s in SEVERITIES
    ]
    np.testing.assert_allclose(result.errors.corrupted["eyes"], wrong)
    assert result.reference.name == "wide" and result.flips is not None
    short = report.by_corruption(result.errors, result.reference).set_index("corruption")
    assert short["ce"]["eyes"] == pytest.approx(sum(wrong) / sum(result.reference.corrupted["eyes"]))
    written = report.write_report(result, tmp_path)
    assert {p.name for p in written} >= {"errors.csv", "corruptions.csv", "flips.csv", "report.html", "robustness.json"}
    record = json.loads((tmp_path / "robustness.json").read_text())
    assert record["summary"]["mce"] == pytest.approx(short["ce"].mean())
    assert record["flips"]["all"]["flip_rate"] == result.flips.mean()
    errors = pd.read_csv(tmp_path / "errors.csv")
    clean = np.mean(hand().logits(table.images).argmax(1) != table.labels)
    assert len(errors) == 1 + 2 * 5 and errors["error"][0] == pytest.approx(clean)
    # Its own errors, stored, make every corruption error 1.
    again = run_benchmark(table, BenchmarkPlan(hand(), ("eyes",), flips=False, reference=tmp_path / "robustness.json"))
    assert report.summary(report.by_corruption(again.errors, again.reference))["mce"] == pytest.approx(1)
    with pytest.raises(UserError, match="measured with faces"):
        run_benchmark(table.take([0, 1]), BenchmarkPlan(hand(), ("eyes",), reference=tmp_path / "robustness.json"))


def test_references_that_need_no_second_network(table):
    network = wide()
    own = run_benchmark(table, BenchmarkPlan(network, ("eyes",), flips=False, reference=network))
    assert own.reference.name == "wide" and own.reference == own.errors
    none = run_benchmark(table, BenchmarkPlan(hand(), ("eyes",), flips=False, reference="none"))
    assert none.reference is None and not report.summary_lines(none)[1].count("corruption error")
    flips = run_benchmark(table, BenchmarkPlan(hand(), ()))
    assert flips.reference is None and not flips.predictions.corrupted


def test_the_faces_that_suffer_most(table):
    result = run_benchmark(table, BenchmarkPlan(hand(), ("darker", "brighter"), flips=False, reference="none"))
    found = report.hardest_examples(result.predictions, result.faces)
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
            cli.main(["robustness", *arguments, "--out", str(tmp_path)])
        assert ended.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.slow
def test_the_command(tmp_path):
    command = [sys.executable, "-m", "fer_tf", "robustness", "fer2013", "--limit", "20", "--out", str(tmp_path)]
    command += ["--only", "mask", "--only", "jpeg", "--only", "flips"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "20 faces, accuracy without corruption" in ended.stdout and "flip rate" in ended.stdout
    assert ended.stdout.splitlines()[-1] == f"wrote {tmp_path / 'report.html'}"
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img") == 3 and "http" not in page
    record = json.loads((tmp_path / "robustness.json").read_text())
    assert set(record["corruptions"]) == {"mask", "jpeg"} and record["network"] == record["reference"]
    assert record["summary"]["mce"] == 1
