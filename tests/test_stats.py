"""Statistics of comparisons: libraries, values by hand, and false alarms on networks that are equal."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from fer_tf import stats
from fer_tf.errors import UserError


def equal_networks(rng, faces=300):
    """Draw right and wrong of two equally good networks that share difficult faces."""
    hard = rng.random(faces)
    return (hard + rng.normal(0, 0.3, (2, faces)) < 0.75).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize(
    "p_of", [lambda a, b: stats.paired_bootstrap(a, b, resamples=400).p, stats.mcnemar], ids=["bootstrap", "mcnemar"]
)
def test_equal_networks_differ_in_five_percent_of_the_cases(p_of):
    rng = np.random.default_rng(0)
    found = np.mean([p_of(*equal_networks(rng)) < 0.05 for _ in range(3000)])
    assert 0.04 <= found <= 0.06


def test_corrected_t_test_keeps_its_level_where_splits_overlap():
    # Means over overlapping splits correlate by test / (train + test) (Nadeau and Bengio's assumption).
    rng, splits, train, test = np.random.default_rng(0), 10, 900, 100
    shared = np.sqrt(test / (train + test))
    own = np.sqrt(1 - shared**2)
    drawn = shared * rng.normal(size=(20_000, 1)) + own * rng.normal(size=(20_000, splits))
    found = np.mean([stats.corrected_t_test(row, train, test).p < 0.05 for row in drawn[:5000]])
    assert 0.04 <= found <= 0.06
    assert np.mean(scipy_stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05) > 0.1


def test_bootstrap_interval_is_that_of_the_normal_distribution_for_many_faces():
    rng = np.random.default_rng(1)
    a, b = equal_networks(rng, 5000)
    found = stats.paired_bootstrap(a, b, resamples=4000)
    error = (b - a).std(ddof=1) / np.sqrt(5000)
    assert found.mean == pytest.approx((b - a).mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    assert stats.paired_bootstrap(a, b, resamples=4000) == found  # the same seed, the same draws


def test_bootstrap_of_networks_that_agree_says_nothing():
    assert stats.paired_bootstrap(np.ones(50), np.ones(50)).p == 1


def test_mcnemar_by_hand_and_beside_the_exact_test():
    a, b = np.array([1] * 9 + [0] * 3 + [1] * 20), np.array([0] * 9 + [1] * 3 + [1] * 20)
    exact = scipy_stats.binomtest(3, 12).pvalue
    assert stats.mcnemar(a, b) == pytest.approx(exact - 220 / 4096)  # less the probability of 3 of 12
    assert stats.mcnemar(a, b) == stats.mcnemar(b, a)
    assert stats.mcnemar(a, a) == 1


def test_holm_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = np.random.default_rng(2).random(12) ** 3
    np.testing.assert_allclose(stats.holm(p), multitest.multipletests(p, method="holm")[1])


def test_friedman_and_nemenyi_of_the_published_example():
    """Demšar 2006, table 6: C4.5 with and without tuning on 14 data sets; mean ranks 3.143, 2.000, 2.893, 1.964."""
    scores = pd.DataFrame(
        {
            "C4.5": [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1, .94, .619, .972, .957],
            "C4.5+m": [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1, .962, .666, .981, .978],
            "C4.5+cf": [.771, .59, .968, .654, .886, .916, .609, .563, .866, 1, .965, .614, .9751, .946],
            "C4.5+m+cf": [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1, .962, .669, .975, .97],
        }
    )  # fmt: skip
    ranks = scores.rank(axis=1, ascending=False).mean()
    np.testing.assert_allclose(ranks, [3.143, 2.0, 2.893, 1.964], atol=0.001)
    # The paper's 9.28 takes no account of ties: all of a row (60) and three pairs (6 each) of 14 · (4³ − 4).
    assert stats.friedman(scores) == pytest.approx(scipy_stats.chi2.sf(9.28 / (1 - 78 / 840), 3), abs=1e-4)
    pytest.importorskip("scikit_posthocs")
    p = stats.nemenyi(scores)
    # The critical difference at 10 % is 1.25, and 1.143 and 1.179 are just below it; at 20 % both would be found.
    assert p.loc["C4.5", "C4.5+m+cf"] == pytest.approx(
        scipy_stats.studentized_range.sf(
            (ranks.iloc[0] - ranks.iloc[3]) / np.sqrt(4 * 5 / (6 * 14)) * np.sqrt(2), 4, np.inf
        )
    )
    assert p.loc["C4.5+m", "C4.5+m+cf"] > 0.9
    drawn = " ".join(text.get_text() for text in stats.critical_difference_diagram(scores).axes[0].texts)
    assert all(f"{name} (" in drawn or f") {name}" in drawn for name in scores)


def test_seeds_needed_reach_the_power():
    pytest.importorskip("statsmodels")
    count = stats.seeds_needed(0.008, 0.01)
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 0.008, (2, 4000, count))
    assert np.mean(scipy_stats.ttest_ind(a, b + 0.01, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.06)
    assert stats.seeds_needed(0.0) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.paired_bootstrap(np.ones(3), np.ones(4)), "same two or more faces"),
        (lambda: stats.paired_bootstrap(np.ones(3), np.ones(3), level=95), "level=95 is not between 0 and 1"),
        (lambda: stats.mcnemar(np.array([0.2, 1]), np.ones(2)), "1 or 0, for each face"),
        (lambda: stats.corrected_t_test([0.1], 10, 10), "two or more differences"),
        (lambda: stats.friedman(pd.DataFrame({"a": [1, 2], "b": [1, 2]})), "three or more columns"),
        (lambda: stats.seeds_needed(0.01, 0), "more than 0"),
    ],
)
def test_mistakes_are_one_line(call, message):
    with pytest.raises(UserError, match=message):
        call()
