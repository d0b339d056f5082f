import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.metrics import conformal

P = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])


def test_scores_by_hand():
    np.testing.assert_allclose(conformal.lac(P), [[0.5, 0.7, 0.8], [0.8, 0.3, 0.9]])
    np.testing.assert_allclose(conformal.aps(P), [[0.5, 0.8, 1.0], [0.9, 0.7, 1.0]])
    # More probable classes whole, the class itself by the drawn share.
    np.testing.assert_allclose(
        conformal.aps(P, draws=np.array([0.5, 0.0])), [[0.25, 0.65, 0.9], [0.7, 0.0, 0.9]], atol=1e-12
    )
    np.testing.assert_allclose(
        conformal.aps(P, draws=np.array([0.5, 0.0]), penalty=0.2, free=1), [[0.25, 0.85, 1.3], [0.9, 0.0, 1.3]]
    )
    np.testing.assert_allclose(conformal.raps(P), [[0.5, 0.8, 1.02], [0.9, 0.7, 1.02]])


def test_equal_probabilities_keep_their_order():
    np.testing.assert_allclose(conformal.aps(np.full((1, 4), 0.25)), [[0.25, 0.5, 0.75, 1.0]])


@pytest.mark.parametrize(
    ("n", "alpha", "expected"), [(9, 0.1, 9), (8, 0.1, np.inf), (19, 0.1, 18), (4, 0.5, 3), (99, 0.05, 95)]
)
def test_the_quantile_is_that_of_n_plus_one(n, alpha, expected):
    scores = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    assert conformal.quantile(scores, alpha) == expected


def test_sets_and_what_they_are_worth():
    scores = np.array([[0.1, 0.9, 0.9], [0.2, 0.3, 0.9], [0.8, 0.9, 0.9], [0.1, 0.1, 0.1]])
    chosen = conformal.sets(scores, np.array([0.5, 0.3, 0.4]))
    assert chosen.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert conformal.describe(chosen, np.array([0, 1, 0, 2])) == {
        "faces": 4, "coverage": 0.75, "size": 1.5, "single": 0.25, "empty": 0.25, "worst_class": 0.5,
    }  # fmt: skip


def test_limits_by_class_use_each_class_s_own_faces():
    scores = np.array([[0.1, 9.0], [0.2, 9.0], [0.3, 9.0], [9.0, 0.5], [9.0, 0.6], [9.0, 0.7]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(conformal.thresholds(scores, labels, 0.5, by_class=True), [0.2, 0.6])
    np.testing.assert_array_equal(conformal.thresholds(scores, labels, 0.5), [0.5, 0.5])  # the 4th of 6
    # Three faces cannot promise nine in ten: that class is in every set.
    assert np.isinf(conformal.thresholds(scores, labels, 0.1, by_class=True)).all()


@pytest.mark.parametrize("name", conformal.SCORES)
@pytest.mark.parametrize("by_class", [False, True])
def test_the_promise_is_kept_exactly_on_average(name, by_class):
    # n = 20 of a class: the chance is ⌈21 · 0.9⌉ / 21 = 19/21 where scores have no ties. An n in place of n + 1, or one
    # rank more or less, is 2 points off or more.
    rng, score, trials, classes = np.random.default_rng(1), conformal.get(name), 400, 3
    n, held = (20 * classes if by_class else 20), []
    for _ in range(trials):
        labels = np.tile(np.arange(classes), n)[:n] if by_class else rng.integers(classes, size=n)
        labels = np.concatenate([labels, rng.integers(classes, size=30)])
        logits = rng.normal(size=(len(labels), classes)) + 1.2 * np.eye(classes)[labels]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        scores = score(p, rng.random(len(p)))
        limits = conformal.thresholds(scores[:n], labels[:n], 0.1, by_class)
        held.append(conformal.describe(conformal.sets(scores[n:], limits), labels[n:])["coverage"])
    error = np.std(held) / np.sqrt(trials)
    expected = 19 / 21
    assert error < 0.006 and abs(np.mean(held) - expected) < 3.5 * error


def test_mistakes_are_named():
    for call, message in (
        (lambda: conformal.quantile(np.ones(3), 0.0), "alpha is 0.0"),
        (lambda: conformal.quantile(np.array([1, np.nan]), 0.1), "not a number"),
        (lambda: conformal.thresholds(P, np.array([0]), 0.1), r"\(2, 3\) and labels \(1,\)"),
        (lambda: conformal.get("top"), "Unknown conformal score 'top'. Available: aps, lac, raps"),
    ):
        with pytest.raises(UserError, match=message):
            call()
