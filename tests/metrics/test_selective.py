import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.metrics import conformal


def test_the_curve_by_hand():
    confidence, right = np.array([0.7, 0.9, 0.6, 0.8]), np.array([True, True, True, False])
    coverage, risk = conformal.risk_coverage(confidence, right)
    np.testing.assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk, [0, 1 / 2, 1 / 3, 1 / 4])
    assert conformal.aurc(confidence, right) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)
    # The best order leaves the mistake for the end: 0, 0, 0, 1/4.
    assert conformal.excess_aurc(confidence, right) == pytest.approx((1 / 2 + 1 / 3) / 4)
    assert conformal.accuracy_at_coverage(confidence, right, 0.5) == 0.5
    assert conformal.accuracy_at_coverage(confidence, right, 0.01) == 1.0


def test_equal_confidence_tells_nothing_whatever_the_order_of_the_faces():
    right = np.array([True] * 6 + [False] * 2)
    np.testing.assert_allclose(conformal.risk_coverage(np.ones(8), right)[1], 0.25)
    steps = np.array([2, 2, 2, 2, 1, 1, 1, 1])
    forward, backward = (conformal.aurc(c, r) for c, r in ((steps, right), (steps[::-1], right[::-1])))
    assert forward == pytest.approx(backward) == pytest.approx((0.5 / 5 + 1 / 6 + 1.5 / 7 + 2 / 8) / 8)


def test_the_curve_ends_at_the_error_rate_and_ignores_the_unit():
    rng = np.random.default_rng(0)
    confidence, right = rng.random(500), rng.random(500) < 0.7
    risk = conformal.risk_coverage(confidence, right)[1]
    assert risk[-1] == pytest.approx(1 - right.mean())
    np.testing.assert_array_equal(risk, conformal.risk_coverage(np.log(confidence), right)[1])
    assert conformal.excess_aurc(right + 0.1 * confidence, right) == pytest.approx(0)


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"confidence \(2,\) and right \(3,\)"):
        conformal.aurc(np.ones(2), np.ones(3))
    with pytest.raises(UserError, match="not a number"):
        conformal.aurc(np.array([np.nan]), np.ones(1))
