"""Scores against numbers worked out by hand."""

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.privacy import attacks, from_logits, from_probabilities

HALF = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
LABELS = np.array([0, 1])


def test_loss_confidence_entropy_and_correctness_by_hand():
    assert attacks.loss(HALF, LABELS) == pytest.approx([np.log(0.5), np.log(0.2)])
    assert attacks.confidence(HALF, LABELS) == pytest.approx([np.log(0.5), np.log(0.7)])
    assert attacks.entropy(HALF, LABELS)[0] == pytest.approx(-1.5 * np.log(2))
    assert attacks.correctness(HALF, LABELS).tolist() == [1, 0]


def test_modified_entropy_by_hand():
    # Label 0 of (½, ¼, ¼): ½ ln ½ + 2 · ¼ ln ¾. Label 1 of (.1, .2, .7): .8 ln .2 + .1 ln .9 + .7 ln .3.
    expected = [0.5 * np.log(0.5) + 0.5 * np.log(0.75), 0.8 * np.log(0.2) + 0.1 * np.log(0.9) + 0.7 * np.log(0.3)]
    assert attacks.modified_entropy(HALF, LABELS) == pytest.approx(expected)


def test_modified_entropy_tells_right_from_wrong_where_entropy_does_not():
    sure = from_logits([[30.0, 0, 0], [30.0, 0, 0]])
    right, wrong = attacks.modified_entropy(sure, np.array([0, 1]))
    assert np.ptp(attacks.entropy(sure, np.array([0, 1]))) == 0
    assert right == pytest.approx(0, abs=1e-9) and wrong < -25


def test_scaled_confidence_is_the_log_odds_also_where_probabilities_round_to_one():
    assert attacks.scaled_confidence(HALF, LABELS) == pytest.approx([0, np.log(0.25)])
    # Two classes: the log-odds are the difference of the logits, here far beyond what 1 − p can hold.
    sure = from_logits([[90.0, 0.0], [0.0, 90.0], [800.0, 0.0]])
    assert attacks.scaled_confidence(sure, np.zeros(3, int)) == pytest.approx([90, -90, 800])


def test_complements_of_all_classes():
    assert np.exp(attacks.log_complements(HALF)) == pytest.approx(1 - np.exp(HALF))


def test_probabilities_and_logits_score_alike_and_zeros_stay_finite():
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 3
    exponents = np.exp(logits)
    p = exponents / exponents.sum(axis=1, keepdims=True)
    assert from_probabilities(p) == pytest.approx(from_logits(logits))
    hard = from_probabilities([[1.0, 0.0], [0.0, 1.0]])
    for score in (attacks.loss, attacks.entropy, attacks.modified_entropy, attacks.scaled_confidence):
        assert np.isfinite(score(hard, np.zeros(2, int))).all()


@pytest.mark.parametrize(
    ("make", "rows", "message"),
    [
        (from_probabilities, [[0.5, 0.5], [0.9, 0.3]], "Row 1 is not a distribution"),
        (from_probabilities, [[1.2, -0.2]], "Row 0 is not a distribution"),
        (from_logits, [[0.0, 1.0], [0.0, np.nan]], "Logits of row 1 are not finite"),
        (from_logits, [[1.0], [2.0]], "C of two or more"),
    ],
)
def test_what_is_no_answer_is_refused(make, rows, message):
    with pytest.raises(UserError, match=message):
        make(rows)
