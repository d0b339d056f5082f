from dataclasses import replace

import numpy as np
import pytest

from fer_tf.datasets import load_synthetic, load_synthetic_ferplus
from fer_tf.evaluation import uncertainty
from fer_tf.evaluation.uncertainty import SplitPredictions
from fer_tf.labels import one_hot


def answers(count, seed, members=1, classes=4, sure=1.5):
    """Made-up networks: the right class stands out, for every other face less."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    strength = sure * np.where(np.arange(count) % 2, 0.5, 2.0)
    logits = rng.normal(size=(members, count, classes)) + strength[:, None] * np.eye(classes)[labels]
    return SplitPredictions(logits, one_hot(labels, classes))


def test_the_entropy_of_votes_leaves_out_votes_for_no_expression():
    table = load_synthetic_ferplus(faces=6)
    votes = np.zeros((len(table), 10), np.float32)
    votes[0, [0, 1, 8]] = 4, 4, 2  # half and half, and two who could not say
    votes[1, 3] = 10
    votes[2, 9] = 10
    votes[3] = np.nan
    found = uncertainty.vote_entropy(replace(table, votes=votes))
    np.testing.assert_allclose(found[:4], [np.log(2), 0, np.nan, np.nan])
    assert not np.signbit(found[1])
    assert uncertainty.vote_entropy(replace(table, votes=None)) is None


def test_every_class_of_other_datasets_votes_counts():
    table = load_synthetic(faces=3)
    votes = np.eye(7, dtype=np.float32)[[6, 6, 6]] * 5 + np.eye(7, dtype=np.float32)[[0, 6, 0]] * 5
    np.testing.assert_allclose(
        uncertainty.vote_entropy(replace(table, votes=votes)), [np.log(2), 0, np.log(2)], atol=1e-7
    )


def test_quartiles_hold_every_face_once_and_name_their_borders():
    entropy = np.array([0.0] * 5 + [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, np.nan])
    groups = uncertainty.quartiles(entropy, 12)
    assert {name: int(inside.sum()) for name, inside in groups.items()} == {
        "all faces": 12, "votes' entropy 0.00": 5, "votes' entropy 0.00–0.30": 1, "votes' entropy 0.30–0.60": 3,
        "votes' entropy 0.60–0.80": 2, "no votes": 1,
    }  # fmt: skip
    parts = [inside for name, inside in groups.items() if name != "all faces"]
    assert (np.sum(parts, axis=0) == 1).all()
    assert list(uncertainty.quartiles(None, 3)) == ["all faces"]


def test_calibration_is_told_before_and_after():
    a = answers(300, 0)
    table = uncertainty.calibration_table({"as it is": a, "hot": replace(a, temperature=5.0)}).set_index("answers")
    assert table["accuracy"].nunique() == 1 and table["accuracy"].iloc[0] == pytest.approx(a.right.mean())
    assert table.loc["hot", "confidence"] < table.loc["as it is", "confidence"]
    assert table.loc["hot", "temperature"] == 5


def test_sets_keep_their_promise_and_are_larger_where_faces_are_hard():
    known, asked = answers(2000, 1), answers(2000, 2)
    easy = np.arange(2000) % 2 == 0
    sets = uncertainty.chosen_sets(known, asked, 0.1)
    table = uncertainty.sets_table(sets, asked, {"all faces": np.ones(2000, bool), "easy": easy, "hard": ~easy})
    assert len(table) == 3 * 2 * 3
    whole = table[table["group"] == "all faces"]
    assert whole["coverage"].between(0.88, 0.92).all()
    assert (whole[whole["scope"] == "by class"]["worst_class"] > 0.86).all()
    size = table.pivot_table(index=["score", "scope"], columns="group", values="size")
    assert (size["hard"] > size["easy"]).all()
    # LAC has the smallest sets of those that keep the promise.
    own = whole[whole["scope"] == "all"].set_index("score")["size"]
    assert own.idxmin() == "lac"
    again = uncertainty.chosen_sets(known, asked, 0.1)
    assert all(np.array_equal(sets[k], again[k]) for k in sets)
    assert not np.array_equal(sets["aps", "all"], uncertainty.chosen_sets(known, asked, 0.1, seed=1)["aps", "all"])


def test_refusing_the_doubtful_helps_and_ensembles_have_more_to_go_by():
    alone, together = answers(1000, 3), answers(1000, 3, members=5)
    table = uncertainty.rejection_table(alone).set_index("refuses by")
    assert list(table.index) == ["highest probability", "margin to the second", "entropy"]
    assert (table["accuracy of 50%"] > table["accuracy"] + 0.05).all() and (table["excess"] > 0).all()
    more = uncertainty.rejection_table(together)["refuses by"]
    assert list(more)[3:] == ["mutual information", "disagreement"]
    assert together.right.mean() > alone.right.mean()


def test_a_face_s_row_names_its_sets():
    table = load_synthetic(faces=12)
    a = SplitPredictions(4 * table.targets[None].astype(float), table.targets)
    sets = {("lac", "all"): table.targets > 0, ("lac", "by class"): table.targets < 0}
    rows = uncertainty.faces_table(table, a, sets, uncertainty.vote_entropy(table))
    assert rows["right"].all() and (rows["lac"] == rows["true"]).all() and "aps" not in rows
    assert rows["confidence"].to_numpy() == pytest.approx(np.exp(4) / (np.exp(4) + 6))
    lines = uncertainty.reliability_lines(a, replace(a, temperature=0.5))
    assert len(lines) == 15 and lines["as it is"].count() == 1 and lines["as it is"].max() == 100
