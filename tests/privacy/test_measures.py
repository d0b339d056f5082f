"""Curves, thresholds and intervals against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as reference

from fer_tf.errors import UserError
from fer_tf.privacy import balanced_rows, measure_attack, roc_curve
from fer_tf.privacy.measures import MEASURES, Counts, count_decisions, held_out_decisions
from fer_tf.privacy.predictions import audit_halves, halves


def gaussian(shift, count=20_000, seed=0):
    rng = np.random.default_rng(seed)
    member = np.arange(2 * count) < count
    return rng.normal(size=2 * count) + shift * member, member


def test_a_curve_by_hand():
    curve = roc_curve([4, 3, 3, 1], np.array([True, True, False, False]))
    assert curve.thresholds.tolist() == [np.inf, 4, 3, 1]
    assert curve.tpr.tolist() == [0, 0.5, 1, 1] and curve.fpr.tolist() == [0, 0, 0.5, 1]
    # Of four pairs three are in order and one is a tie.
    assert curve.auc == 3.5 / 4
    assert curve.advantage == 0.5 and curve.best_threshold == 4
    assert curve.tpr_at(0.49) == 0.5 and curve.tpr_at(0.5) == 1


@pytest.mark.parametrize("levels", [3, 50, 10**9])
def test_auc_agrees_with_scikit_learn(levels):
    rng = np.random.default_rng(levels)
    member = rng.random(3000) < 0.3
    scores = rng.integers(0, levels, 3000) + levels * 0.1 * member
    curve = roc_curve(scores, member)
    assert curve.auc == pytest.approx(reference.roc_auc_score(member, scores), abs=1e-9)
    fpr, tpr, thresholds = reference.roc_curve(member, scores, drop_intermediate=False)
    assert np.array_equal(curve.thresholds, thresholds)
    assert curve.fpr == pytest.approx(fpr) and curve.tpr == pytest.approx(tpr)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_gaussian_scores_have_the_known_auc_advantage_and_tpr(shift):
    scores, member = gaussian(shift)
    curve = roc_curve(scores, member)
    assert curve.auc == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.006)
    assert curve.advantage == pytest.approx(2 * norm.cdf(shift / 2) - 1, abs=0.015)
    for most in (0.01, 0.001):
        cut = norm.ppf(most)
        # The 1 % quantile of the non-members wavers, and with it what lies above it of the members.
        slope = norm.pdf(shift + cut) / norm.pdf(cut)
        error = np.sqrt((slope**2 * most + 0.25) / 20_000)
        assert curve.tpr_at(most) == pytest.approx(norm.cdf(shift + cut), abs=3 * error)


def test_decisions_use_a_threshold_from_the_other_half():
    scores, member = gaussian(2.0, 4000)
    labels = np.arange(8000) % 7
    decided = held_out_decisions(scores, member, labels)
    counted = count_decisions(decided, member)
    assert sum(counted) == 8000 and counted.tp + counted.fn == counted.fp + counted.tn == 4000
    # The best threshold is half way, where either side is right with Φ(1).
    assert counted.balanced_accuracy == pytest.approx(norm.cdf(1), abs=0.012)
    # On scores that say nothing a threshold of the same faces would look better than chance; this one does not.
    noise, few = gaussian(0.0, 20)
    rows = [held_out_decisions(noise, few, np.zeros(40, int), seed) for seed in range(40)]
    assert (
        np.mean([count_decisions(d, few).balanced_accuracy for d in rows]) < 0.5 + roc_curve(noise, few).advantage / 4
    )


def test_counts_by_hand():
    called, member = np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 0, 1, 1], bool)
    assert count_decisions(called, member) == (1, 1, 1, 2)
    assert Counts(1, 1, 1, 2).balanced_accuracy == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_intervals_hold_the_value_and_have_the_width_that_theory_gives():
    scores, member = gaussian(0.0, 1000)
    found = measure_attack(scores, scores > 0, member, resamples=400)
    for name in MEASURES:
        assert 0 <= found[name]["low"] <= found[name]["high"] <= 1, name
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    # Under chance the variance of AUC is (n + m + 1) / (12 n m).
    width = found["auc"]["high"] - found["auc"]["low"]
    assert width == pytest.approx(2 * 1.96 * np.sqrt(2001 / 12e6), rel=0.12)
    # Balanced accuracy of a fixed threshold is the mean of two shares, each of variance 1 / 4n.
    width = found["balanced_accuracy"]["high"] - found["balanced_accuracy"]["low"]
    assert width == pytest.approx(2 * 1.96 * np.sqrt(1 / 8000), rel=0.12)
    assert measure_attack(scores, scores > 0, member, resamples=400) == found


def test_a_group_of_one_side_has_counts_and_no_measures():
    found = measure_attack(np.array([1.0, 2.0]), np.array([True, False]), np.array([True, True]), resamples=10)
    assert (found["tp"], found["fn"], found["fp"], found["tn"]) == (1, 1, 0, 0)
    assert found["auc"] == {"value": None, "low": None, "high": None}


def test_measures_without_a_bootstrap_have_no_intervals():
    found = measure_attack(np.array([1.0, 0.0]), np.array([True, False]), np.array([True, False]), resamples=0)
    assert found["auc"] == {"value": 1.0, "low": None, "high": None}


def test_balanced_faces_are_as_many_of_each_side_in_every_class():
    labels = np.array([0] * 10 + [1] * 5 + [2] * 3 + [0] * 4 + [1] * 9)
    member = np.arange(31) < 18
    rows = balanced_rows(labels, member)
    counts = {(c, side): ((labels == c) & (member == side))[rows].sum() for c in range(3) for side in (True, False)}
    assert counts == {(0, True): 4, (0, False): 4, (1, True): 5, (1, False): 5, (2, True): 0, (2, False): 0}
    few = balanced_rows(labels, member, most=4)
    assert member[few].sum() == 3 and len(np.unique(few)) == len(few) == 6  # 4 of 9: ⌊16 / 9⌋ + ⌊20 / 9⌋
    with pytest.raises(UserError, match="No class has both"):
        balanced_rows(np.array([0, 1]), np.array([True, False]))


def test_halves_share_every_stratum():
    labels, member = np.repeat([0, 1, 1, 2], 7), np.arange(28) % 2 == 0
    half = audit_halves(labels, member)
    for label in range(3):
        for side in (True, False):
            rows = (labels == label) & (member == side)
            assert abs(half[rows].sum() - (~half)[rows].sum()) <= 1
    assert not np.array_equal(halves(labels, 0), halves(labels, 1))
    # Strata of one face each still give halves of the same size.
    assert halves(np.arange(10)).sum() == 5


def test_scores_that_are_no_numbers_and_missing_sides_are_refused():
    with pytest.raises(UserError, match="Score of row 1"):
        roc_curve([0.0, np.nan], np.array([True, False]))
    with pytest.raises(UserError, match="2 of 2 faces are members"):
        roc_curve([0.0, 1.0], np.array([True, True]))
