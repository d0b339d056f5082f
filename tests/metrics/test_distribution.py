import math

import numpy as np
import pytest
import scipy.stats
from scipy.spatial import distance

from fer_tf.errors import UserError
from fer_tf.metrics import distribution
from fer_tf.metrics.distribution import MEASURES

EQUAL = {"chebyshev": 0, "clark": 0, "canberra": 0, "kl": 0, "cosine": 1, "intersection": 1}
APART = {"chebyshev": 1, "clark": math.sqrt(2), "canberra": 2, "kl": math.log(1e7), "cosine": 0, "intersection": 0}
# d = (.5, .5, 0), p = (.5, .25, .25)
BY_HAND = {
    "chebyshev": 0.25,
    "clark": math.sqrt(1 / 9 + 1),
    "canberra": 1 / 3 + 1,
    "kl": 0.5 * math.log(2),
    "cosine": 0.375 / math.sqrt(0.5 * 0.375),
    "intersection": 0.75,
}


def random_pair(n=20, classes=7):
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(classes), n), rng.dirichlet(np.ones(classes), n)


def test_there_are_six():
    assert set(MEASURES) == set(EQUAL)


@pytest.mark.parametrize("name", MEASURES)
def test_identities_and_hand_values(name):
    measure, eye = MEASURES[name], np.eye(4)
    d = np.concatenate([eye, random_pair(classes=4)[0]])
    np.testing.assert_allclose(measure(d, d), EQUAL[name], atol=1e-12)
    np.testing.assert_allclose(measure(eye, eye[[1, 2, 3, 0]]), APART[name], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(measure(np.array([[0.5, 0.5, 0]]), np.array([[0.5, 0.25, 0.25]])), BY_HAND[name])


def test_against_scipy():
    d, p = random_pair()
    for name, reference in (("chebyshev", distance.chebyshev), ("canberra", distance.canberra)):
        np.testing.assert_allclose(MEASURES[name](d, p), [reference(a, b) for a, b in zip(d, p, strict=True)])
    np.testing.assert_allclose(
        distribution.cosine(d, p), [1 - distance.cosine(a, b) for a, b in zip(d, p, strict=True)]
    )
    np.testing.assert_allclose(distribution.intersection(d, p), 1 - np.abs(d - p).sum(axis=1) / 2)


def test_averages_are_means():
    d, p = random_pair()
    found = distribution.distribution_means(d, p)
    assert found == {name: pytest.approx(measure(d, p).mean()) for name, measure in MEASURES.items()}
    assert all(type(v) is float for v in found.values())


def test_shapes_must_agree():
    with pytest.raises(UserError, match="one shape"):
        distribution.kl(np.eye(3), np.eye(4))
    with pytest.raises(UserError, match="one shape"):
        distribution.kl(np.ones(3), np.ones(3))


def test_entropy_by_hand():
    rows = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])
    np.testing.assert_allclose(distribution.entropy(rows), [0, np.log(2), np.log(4)])


def test_entropies_correlate_as_scipy_says():
    rng = np.random.default_rng(3)
    targets = rng.dirichlet(np.full(5, 0.3), 40)
    probabilities = 0.7 * targets + 0.3 * rng.dirichlet(np.ones(5), 40)
    expected = scipy.stats.pearsonr(*(scipy.stats.entropy(x, axis=1) for x in (targets, probabilities))).statistic
    assert distribution.entropy_correlation(targets, probabilities) == pytest.approx(expected)
    assert distribution.entropy_correlation(targets, targets) == pytest.approx(1)
    assert np.isnan(distribution.entropy_correlation(np.eye(5), np.full((5, 5), 0.2)))
