"""Which differences of accuracy are real: against SciPy's tests, by hand, and on drawn experiments."""

import numpy as np
import pytest
from scipy import stats

from fer_tf.reports import significance


def faces(rng, accuracy, shape):
    return rng.random(shape) < accuracy


def test_one_seed_is_the_paired_t_test_of_scipy():
    rng = np.random.default_rng(0)
    a, b = faces(rng, 0.8, 500), faces(rng, 0.73, 500)
    table = significance.compare({"a": a[None], "b": b[None]}, "a")
    assert table.loc["b", "p"] == pytest.approx(stats.ttest_rel(b.astype(float), a.astype(float)).pvalue)
    low, high = stats.ttest_1samp(b.astype(float), 0).confidence_interval()
    assert table.loc["b", "half"] == pytest.approx((high - low) / 2)
    assert table.loc["b", "difference"] == pytest.approx(b.mean() - a.mean())
    assert np.isnan(table.loc["a", "p"]) and table.loc["a", "difference"] == 0


def test_seeds_add_their_pooled_variance():
    # Both settings are right about each face equally often, but one seed of "a" about all and the other about none.
    right = {"a": np.array([[1, 1, 1, 1], [0, 0, 0, 0]]), "b": np.array([[1, 1, 1, 1]])}
    table = significance.compare(right, "a")
    pooled = 0.5  # of 1 and 0, one degree of freedom
    assert table.loc["a", "half"] == pytest.approx(stats.t(1).ppf(0.975) * np.sqrt(pooled / 2))
    assert table.loc["b", "half"] == pytest.approx(stats.t(1).ppf(0.975) * np.sqrt(pooled))
    t = 0.5 / np.sqrt(pooled / 2 + pooled)
    assert table.loc["b", "p"] == pytest.approx(2 * stats.t(1).sf(t))


def test_a_study_of_chance_finds_nothing_and_a_real_loss_is_found():
    rng = np.random.default_rng(1)
    hard = rng.random(600)  # the same faces are difficult for all

    def trained(accuracy, seeds):
        return np.array([hard + rng.normal(0, 0.3, 600) < accuracy + rng.normal(0, 0.01) for _ in range(seeds)])

    found = 0
    for _ in range(40):
        right = {f"run{i}": trained(0.8, 2 if i < 5 else 1) for i in range(10)}
        found += any(v != "unclear" for v in significance.verdicts(significance.compare(right, "run0"))[1:])
    assert found <= 5  # 5 % of 40 are 2
    right["bad"] = trained(0.5, 1)
    assert significance.verdicts(significance.compare(right, "run0"))[-1] == "worse"


@pytest.mark.parametrize("count", [1, 3])
def test_faces_that_say_nothing_prove_nothing(count):
    table = significance.compare({"a": np.ones((1, count)), "b": np.zeros((1, count))}, "a")
    assert significance.verdicts(table) == ["", "unclear"]


def test_holm_by_hand():
    assert significance.holm(np.array([0.04, 0.01, 0.03, 0.6])).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.6])
    assert significance.holm(np.array([])).tolist() == []


def test_the_sentence_names_ranks():
    say = significance.sentence
    found = ["", "unclear", "better", "unclear", "worse", "worse", "worse", "worse", "unclear"]
    text = say(found, "muon", 1600, seeds=True)
    assert text == (
        "Beside the winner, muon, on 1,600 test faces: rank 3 is better by more than chance; ranks 5 to 8 are worse by "
        "more than chance; ranks 2, 4 and 9 cannot be told from it (paired t-tests over faces and seeds; Holm's "
        "correction, level 5 %)."
    )
    assert "over faces; another seed would move accuracies, too;" in say(["", "worse"], "muon", 600, seeds=False)
