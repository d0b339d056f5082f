import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from fer_tf import metrics
from fer_tf.errors import UserError
from fer_tf.metrics import calibration
from fer_tf.metrics.distribution import log_softmax, softmax


def case(n=200, classes=5):
    rng = np.random.default_rng(0)
    return np.eye(classes)[rng.integers(0, classes, n)], rng.dirichlet(np.ones(classes), n)


def test_ece_by_hand():
    # Confidence .9 twice, right once: |.9 − .5|; confidence .6 twice, right twice: |.6 − 1|.
    targets = np.array([[1, 0], [0, 1], [1, 0], [1, 0]])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    assert calibration.expected_calibration_error(targets, probabilities) == pytest.approx(0.4)
    table = calibration.reliability(targets, probabilities, bins=10)
    assert table.count.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 2, 0]
    assert table.accuracy[[5, 8]].tolist() == [1.0, 0.5] and np.isnan(table.accuracy[0])
    np.testing.assert_allclose(table.confidence[[5, 8]], [0.6, 0.9])


def test_ece_limits():
    eye = np.eye(4)
    assert calibration.expected_calibration_error(eye, eye) == 0
    assert calibration.expected_calibration_error(eye, eye[[1, 2, 3, 0]]) == 1
    assert calibration.expected_calibration_error(*case(), bins=1) == pytest.approx(
        abs(case()[1].max(1).mean() - (case()[0].argmax(1) == case()[1].argmax(1)).mean())
    )


def test_ece_equals_a_loop_over_bins():
    targets, probabilities = case()
    confidence, right = probabilities.max(1), targets.argmax(1) == probabilities.argmax(1)
    expected = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert calibration.expected_calibration_error(targets, probabilities) == pytest.approx(expected)


def test_brier_by_hand_and_soft_targets():
    assert calibration.brier_score(np.array([[1, 0]]), np.array([[0.7, 0.3]])) == pytest.approx(0.18)
    soft = np.array([[0.7, 0.3]])
    assert calibration.brier_score(soft, soft) == 0
    assert calibration.brier_score(np.eye(2), np.eye(2)[::-1]) == 2


def test_negative_log_likelihood_equals_scikit_learn_and_survives_zero():
    targets, probabilities = case()
    found = calibration.negative_log_likelihood(targets, np.log(probabilities))
    assert found == pytest.approx(log_loss(targets.argmax(1), probabilities, labels=range(5)))
    assert calibration.negative_log_likelihood(np.array([[1, 0]]), np.array([[0, -np.inf]])) == 0
    half = np.array([[0.5, 0.5]])
    assert calibration.negative_log_likelihood(half, np.log(half)) == pytest.approx(np.log(2))


def test_softmax_is_stable():
    np.testing.assert_allclose(softmax(np.array([[1e4, 0, -1e4]])), [[1, 0, 0]])
    np.testing.assert_allclose(log_softmax(np.array([[1e4, 0, -1e4]])), [[0, -1e4, -2e4]])
    np.testing.assert_allclose(softmax(np.log([[0.2, 0.3, 0.5]]) + 9), [[0.2, 0.3, 0.5]])


def test_no_faces_is_a_user_error():
    with pytest.raises(UserError, match="N > 0"):
        calibration.expected_calibration_error(np.zeros((0, 3)), np.zeros((0, 3)))


def test_temperature_of_two_classes_by_hand():
    # p(right) = 1 / (1 + exp(−z/T)) must be the share of right answers, 3/4: z/T = ln 3.
    logits = np.array([[2.0, 0.0]] * 4)
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1]])
    assert calibration.fit_temperature(logits, targets) == pytest.approx(2 / np.log(3), rel=1e-9)


def test_temperature_gives_back_the_one_that_made_soft_targets():
    logits = np.random.default_rng(1).normal(0, 3, (300, 7))
    assert calibration.fit_temperature(logits, softmax(logits / 1.7)) == pytest.approx(1.7, rel=1e-9)
    assert calibration.fit_temperature(logits + 40, softmax(logits / 0.4)) == pytest.approx(0.4, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_temperature_equals_scipys_minimum_and_is_one_of_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (200, 6))
    targets = np.eye(6)[[rng.choice(6, p=p) for p in softmax(logits * rng.uniform(0.2, 1.5))]]

    def nll(temperature):
        return calibration.negative_log_likelihood(targets, log_softmax(logits / temperature))

    expected = minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}).x
    found = calibration.fit_temperature(logits, targets)
    assert found == pytest.approx(expected, rel=1e-4)
    assert nll(found) <= min(nll(found * 1.01), nll(found / 1.01))


def test_temperature_without_a_minimum_stops_at_its_bounds():
    right = np.eye(3) * 2.0
    assert calibration.fit_temperature(right, np.eye(3)) == calibration.TEMPERATURES[0]
    assert calibration.fit_temperature(-right, np.eye(3)) == calibration.TEMPERATURES[1]
    assert calibration.fit_temperature(np.zeros((2, 3)), np.eye(3)[:2]) == 1.0  # all are alike: left as it is


def test_temperature_refuses_what_is_no_number():
    with pytest.raises(UserError, match="row 1"):
        calibration.fit_temperature(np.array([[0, 1], [np.nan, 0]]), np.eye(2))


def test_prior_shift_is_the_ratio_of_the_priors():
    training, wanted = [0.7, 0.2, 0.1], [0.2, 0.2, 0.6]
    np.testing.assert_allclose(metrics.prior_shift(training, wanted), np.log([2 / 7, 1, 6]))
    np.testing.assert_allclose(metrics.prior_shift(training, wanted, 0.5), np.log([2 / 7, 1, 6]) / 2)
    assert not metrics.prior_shift(training, wanted, 0).any()
    np.testing.assert_allclose(metrics.prior_shift([7, 2, 1], [1, 1, 3]), np.log([2 / 7, 1, 6]))  # counts do as well


def test_prior_shift_gives_the_answers_of_a_network_trained_on_other_shares():
    """Bayes: of two classes with known densities, the posterior under one prior becomes that under another."""
    densities = np.array([[0.9, 0.1], [0.3, 0.6], [0.05, 0.4]])  # p(x | class) at three x
    before, after = np.array([0.8, 0.2]), np.array([0.5, 0.5])
    logits = np.log(densities * before) + np.array([[5.0], [-3], [0]])  # logits have any offset
    expected = densities * after / (densities * after).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.softmax(logits + metrics.prior_shift(before, after)), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [1.0]), "as many shares"),
        (([0.5, 0.5], [1.0, 0.0]), "a share above 0"),
        (([1.0, 0.0], [0.5, 0.5]), "a share above 0"),
        (([0.5, 0.5], [0.5, 0.5], -1), "strength is -1. Expected 0"),
    ],
)
def test_prior_shift_refuses(arguments, message):
    with pytest.raises(UserError, match=message):
        metrics.prior_shift(*arguments)
