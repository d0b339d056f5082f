"""Corruption errors by hand, and against whom they may be divided."""

import json
import math

import pytest

from fer_tf.errors import UserError
from fer_tf.robustness import CORRUPTIONS, corruption_error, corruptions, relative_corruption_error
from fer_tf.robustness.corruptions import NetworkErrors, mean_of_known, read_errors

SETTINGS = {"faces": "abc", "scored": 10, "face_size": 48, "seed": 0}


def test_ce_is_the_ratio_of_sums():
    # 0.1 + 0.2 + 0.3 + 0.4 + 0.5 = 1.5 against 5 · 0.6 = 3.
    assert corruption_error([0.1, 0.2, 0.3, 0.4, 0.5], [0.6] * 5) == pytest.approx(0.5)
    assert corruption_error([0.3] * 5, [0.3] * 5) == 1
    assert math.isnan(corruption_error([0.3] * 5, [0.0] * 5))


def test_relative_ce_is_the_ratio_of_what_corruption_adds():
    # (1.5 − 5 · 0.1) / (3 − 5 · 0.2) = 1 / 2; a worse clean error makes the degradation smaller.
    found = relative_corruption_error([0.1, 0.2, 0.3, 0.4, 0.5], 0.1, [0.6] * 5, 0.2)
    assert found == pytest.approx(0.5)
    assert math.isnan(relative_corruption_error([0.3] * 5, 0.1, [0.2] * 5, 0.2))


def test_means_are_over_numbers():
    assert mean_of_known([1.0, math.nan, 2.0]) == 1.5 and math.isnan(mean_of_known([]))


@pytest.fixture
def stored(tmp_path):
    errors = NetworkErrors("old", {"eyes": 0.2, "mask": 0.3}, {"eyes": (0.1, 0.2, 0.3, 0.4, 0.5), "mask": (0.5,) * 5})
    path = tmp_path / "robustness.json"
    path.write_text(json.dumps(errors.to_json(SETTINGS, "points")))
    return path


def test_stored_errors_come_back(stored):
    found = read_errors(stored, SETTINGS, ["eyes"], None)
    assert found == NetworkErrors("old", {"eyes": 0.2}, {"eyes": (0.1, 0.2, 0.3, 0.4, 0.5)})
    assert read_errors(stored, SETTINGS, ["mask"], "points").clean == {"mask": 0.3}


@pytest.mark.parametrize(
    ("settings", "corruptions", "landmarks", "message"),
    [
        ({**SETTINGS, "faces": "xyz"}, ["eyes"], None, "measured with faces 'abc', this run has 'xyz'"),
        ({**SETTINGS, "seed": 1}, ["eyes"], None, "measured with seed 0, this run has 1"),
        (SETTINGS, ["mouth"], None, "no errors of 'mouth'"),
        (SETTINGS, ["mask"], "others", "no errors of 'mask' at the same severities and landmarks"),
    ],
)
def test_errors_of_something_else_are_refused(stored, settings, corruptions, landmarks, message):
    with pytest.raises(UserError, match=message):
        read_errors(stored, settings, corruptions, landmarks)


def test_errors_at_other_severities_are_refused(stored):
    record = json.loads(stored.read_text())
    record["corruptions"]["eyes"]["amounts"][0] = 0.1
    stored.write_text(json.dumps(record))
    with pytest.raises(UserError, match="no errors of 'eyes'"):
        read_errors(stored, SETTINGS, ["eyes"], None)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"settings": 3, "corruptions": {}, "network": ""}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    for given in (path, tmp_path / "missing.json"):
        with pytest.raises(UserError, match=r"no robustness\.json of an earlier run"):
            read_errors(given, SETTINGS, ["eyes"], None)


def test_a_stored_reference_is_of_this_versions_severities():
    """The table that ships must be measured anew whenever a severity changes."""
    if not corruptions.STORED.exists():
        pytest.skip("no reference is stored: make it as README says")
    record = json.loads(corruptions.STORED.read_text(encoding="utf-8"))
    assert set(record["corruptions"]) == set(CORRUPTIONS)
    for name, row in record["corruptions"].items():
        assert row["amounts"] == list(CORRUPTIONS[name].facts["amounts"])
        assert len(row["errors"]) == 5 and all(0 < e < 1 for e in row["errors"])
