"""Test whether differences between trained networks are more than chance.

``right`` of a network means, for each test face, whether its most probable class is that of the target. Two networks
are compared on the same faces in the same order. The diagrams, Nemenyi's test and the power of a t-test are those of
scikit-posthocs and statsmodels, the extra ``stats``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer_tf.errors import UserError
from fer_tf.reports.significance import holm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Difference",
    "corrected_t_test",
    "critical_difference_diagram",
    "friedman",
    "holm",
    "mcnemar",
    "nemenyi",
    "paired_bootstrap",
    "seeds_needed",
]


@dataclass(frozen=True)
class Difference:
    """A difference of two means with its interval.

    Attributes:
        mean: of the second less the first.
        low: lower end of the interval.
        high: upper end of the interval.
        p: two-sided p-value of no difference.

    Example:
        >>> Difference(0.02, -0.01, 0.05, 0.2).p
        0.2
    """

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, *, resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Difference:
    """Compare two networks on the same faces by resampling the faces.

    Args:
        first: bool or float (N,), scores of the first network, one a face.
        second: the same of the second network.
        resamples: how often N faces are drawn with replacement.
        level: confidence level of the interval, between 0 and 1.
        seed: seed of the draws.

    Returns:
        The difference of the means with its percentile interval.

    Raises:
        UserError: shapes that differ, fewer than two faces, or a value out of range.

    Example:
        >>> found = paired_bootstrap(np.array([1, 0] * 100), np.array([1, 1] * 100), resamples=1000)
        >>> found.mean, round(found.low, 1), found.p < 0.01
        (0.5, 0.4, True)

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16.
    """
    from scipy import stats

    differences = np.subtract(*_pair(second, first))
    if resamples < 100:
        raise UserError(f"resamples={resamples} are too few. Expected 100 or more.")
    if not 0 < level < 1:
        raise UserError(f"level={level} is not between 0 and 1.")
    found = stats.bootstrap(
        (differences,), np.mean, n_resamples=resamples, batch=200, confidence_level=level, method="percentile",
        vectorized=True, rng=np.random.default_rng(seed),
    )  # fmt: skip
    drawn, interval = found.bootstrap_distribution, found.confidence_interval
    # A tie counts to both sides, so that networks which are always right together have p = 1.
    tail = min(np.sum(drawn <= 0), np.sum(drawn >= 0))
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return Difference(float(differences.mean()), float(interval.low), float(interval.high), float(p))


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Compare two networks by the faces about which only one of them is right.

    Args:
        first: bool (N,), whether the first network is right about each face.
        second: the same of the second network.

    Returns:
        The mid-p value, which keeps the level of 5 % better than the exact test without exceeding it in practice.

    Raises:
        UserError: shapes that differ, fewer than two faces, or values other than 0 and 1.

    Example:
        >>> round(mcnemar(np.array([1] * 8 + [0] * 2), np.array([0] * 8 + [1] * 2)), 4)
        0.0654

    References:
        Fagerland, Lydersen and Laake, The McNemar test for binary matched-pairs data, 2013.
    """
    from scipy import stats

    a, b = _pair(first, second)
    if not np.isin([*np.unique(a), *np.unique(b)], (0, 1)).all():
        raise UserError("mcnemar needs right or wrong, that is 1 or 0, for each face.")
    only_first, only_second = int(np.sum(a > b)), int(np.sum(b > a))
    count, fewer = only_first + only_second, min(only_first, only_second)
    tail = stats.binom.cdf(fewer, count, 0.5) - stats.binom.pmf(fewer, count, 0.5) / 2
    return float(min(1.0, 2 * tail)) if count else 1.0


def corrected_t_test(differences: Sequence[float], train: int, test: int) -> Difference:
    """Test differences over resampled splits with Nadeau and Bengio's corrected variance.

    Plain t-tests take the splits for independent, although they share most of their training faces.

    Args:
        differences: float (K,), the second less the first on each of K ≥ 2 splits.
        train: number of training faces in a split.
        test: number of test faces in a split.

    Returns:
        The mean difference with its 95 % interval.

    Raises:
        UserError: fewer than two differences, or no faces.

    Example:
        >>> found = corrected_t_test([0.02, 0.01, 0.03, 0.02], train=800, test=200)
        >>> round(found.mean, 3), round(found.p, 3)
        (0.02, 0.041)

    References:
        Nadeau and Bengio, Inference for the generalization error, 2003.
    """
    from scipy import stats

    values = np.asarray(differences, float)
    if values.ndim != 1 or len(values) < 2:
        raise UserError(f"Expected two or more differences in one row, got shape {values.shape}.")
    if train < 1 or test < 1:
        raise UserError(f"train={train} and test={test} faces: expected 1 or more of each.")
    error = np.sqrt((1 / len(values) + test / train) * values.var(ddof=1))
    mean, t = values.mean(), stats.t(len(values) - 1)
    if not error:
        return Difference(float(mean), float(mean), float(mean), 1.0 if mean == 0 else 0.0)
    half = t.ppf(0.975) * error
    return Difference(float(mean), float(mean - half), float(mean + half), float(2 * t.sf(abs(mean) / error)))


def friedman(scores: pd.DataFrame) -> float:
    """Test whether any of several networks ranks differently over the same blocks.

    Args:
        scores: a row a block (a seed, a fold or a dataset), a column a network; three or more columns, two or more
            rows, larger is better.

    Returns:
        The p-value.

    Raises:
        UserError: too few rows or columns, or missing scores.

    Example:
        >>> scores = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 3, 4, 5], "c": [3, 4, 5, 6]})
        >>> round(friedman(scores), 4)
        0.0183

    References:
        Demšar, Statistical comparisons of classifiers over multiple data sets, 2006.
    """
    from scipy import stats

    return float(stats.friedmanchisquare(*_blocks(scores).to_numpy().T).pvalue)


def nemenyi(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare each pair of networks by their mean ranks, after ``friedman``.

    Args:
        scores: as for ``friedman``.

    Returns:
        P-values, a row and a column a network, adjusted for all pairs.

    Raises:
        UserError: as for ``friedman``, or the extra ``stats`` is missing.

    Example:
        >>> scores = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 3, 4, 5], "c": [3, 4, 5, 6]})
        >>> float(nemenyi(scores).loc["a", "c"].round(3))
        0.013

    References:
        Demšar 2006, section 3.2.2.
    """
    scores = _blocks(scores)
    found = _extra("scikit_posthocs").posthoc_nemenyi_friedman(scores.to_numpy())
    return pd.DataFrame(found.to_numpy(), index=scores.columns, columns=scores.columns)


def critical_difference_diagram(scores: pd.DataFrame) -> "Figure":
    """Draw mean ranks on a line; a bar joins networks that Nemenyi's test cannot tell apart.

    Args:
        scores: as for ``friedman``.

    Returns:
        The figure.

    Raises:
        UserError: as for ``friedman``, or the extra ``stats`` is missing.

    Example:
        >>> scores = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 3, 4, 5], "c": [3, 4, 5, 6]})
        >>> len(critical_difference_diagram(scores).axes)
        1

    References:
        Demšar 2006, figure 1.
    """
    from matplotlib.figure import Figure

    scores = _blocks(scores)
    figure = Figure(figsize=(8.5, 1.2 + 0.22 * scores.shape[1]), layout="constrained")
    ranks = scores.rank(axis=1, ascending=False).mean()
    _extra("scikit_posthocs").critical_difference_diagram(ranks, nemenyi(scores), ax=figure.subplots())
    return figure


def seeds_needed(spread: float, difference: float = 0.01, *, power: float = 0.8, level: float = 0.05) -> int:
    """Return how many seeds each of two settings needs to show a difference.

    Args:
        spread: standard deviation of the score between seeds.
        difference: difference of the means that should be seen, in the same unit.
        power: probability to see it.
        level: significance level of the two-sided t-test.

    Returns:
        Seeds for each setting, 2 to 10,000.

    Raises:
        UserError: a value out of range, or the extra ``stats`` is missing.

    Example:
        >>> seeds_needed(0.005, 0.01), seeds_needed(0.01, 0.01)
        (6, 17)

    References:
        Bouthillier et al., Accounting for variance in machine learning benchmarks, arXiv 2103.03098.
    """
    if not spread >= 0 or not difference > 0:
        raise UserError(f"spread={spread}, difference={difference}: expected 0 or more, and more than 0.")
    if not 0 < level < power < 1:
        raise UserError(f"power={power}, level={level}: expected 0 < level < power < 1.")
    power_at = _extra("statsmodels.stats.power").TTestIndPower().power
    effect = difference / spread if spread else np.inf
    return next((n for n in range(2, 10_000) if effect > 20 or power_at(effect, n, level) >= power), 10_000)


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise UserError(f"Expected scores of the same two or more faces, got shapes {a.shape} and {b.shape}.")
    return a, b


def _blocks(scores: pd.DataFrame) -> pd.DataFrame:
    if scores.shape[0] < 2 or scores.shape[1] < 3 or scores.isna().to_numpy().any():
        raise UserError(
            f"Expected scores without gaps, two or more rows and three or more columns, got {scores.shape[0]} rows and "
            f"{scores.shape[1]} columns."
        )
    return scores


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise UserError("This statistic needs the extra stats: pip install 'fer-tf[stats]'.") from None
