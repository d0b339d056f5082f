"""LiRA where the shadows' φ is exactly normal."""

import numpy as np
import pytest
from scipy.stats import norm

from fer_tf.errors import UserError
from fer_tf.privacy import attacks, from_logits, roc_curve
from fer_tf.privacy.predictions import shadow_halves


def world(gain, shadows=64, faces=4000, seed=0):
    """Faces of very different difficulty; whoever saw one has a φ that is higher by ``gain`` standard deviations."""
    rng = np.random.default_rng(seed)
    easy, spread = rng.normal(0, 5, faces), rng.uniform(0.5, 2, faces)
    member = np.arange(faces) < faces // 2
    seen = shadow_halves(np.zeros(faces, int), shadows, seed)
    phi = easy + spread * (rng.normal(size=faces) + gain * member)
    return phi, easy + spread * (rng.normal(size=seen.shape) + gain * seen), seen, member


def auc(values, member):
    return roc_curve(values, member).auc


def test_offline_scores_by_hand():
    phi, shadows = np.array([3.0, 3.0]), np.array([[1.0, 5.0], [0.0, 1.0], [2.0, 3.0]])
    seen = np.array([[True, False], [False, True], [False, False]])
    # Face 0: 0 and 2 never saw it, mean 1, deviation 1. Face 1: 5 and 3, mean 4.
    assert attacks.lira_offline_scores(phi, shadows, seen, fixed_variance=False) == pytest.approx([2, -1])
    # All of 0, 2, 5, 3 have mean 2.5 and variance 3.25.
    assert attacks.lira_offline_scores(phi, shadows, seen, fixed_variance=True) == pytest.approx(
        np.array([2, -1]) / np.sqrt(3.25)
    )


def test_offline_reaches_what_knowing_every_face_would_give():
    gain = 1.5
    phi, shadows, seen, member = world(gain, shadows=256)
    z = attacks.lira_offline_scores(phi, shadows, seen)
    curve = roc_curve(z, member)
    assert curve.auc == pytest.approx(norm.cdf(gain / np.sqrt(2)), abs=0.02)
    assert curve.tpr_at(0.01) == pytest.approx(norm.cdf(gain + norm.ppf(0.01)), abs=0.05)
    # Without knowing which faces are easy the same φ tells little: Φ(1.5 · 1.25 / √(2 · (25 + 1.75))) = 0.60.
    assert auc(phi, member) < 0.65 < 0.8 < auc(z, member)


def test_online_by_hand_and_better_than_offline_where_members_differ_in_spread():
    phi, shadows = np.array([2.0]), np.array([[1.0], [3.0], [0.0], [4.0]])
    seen = np.array([[True], [True], [False], [False]])
    # In: mean 2, deviation 1. Out: mean 2, deviation 2. The densities' ratio at 2 is 2.
    assert attacks.lira_online_scores(phi, shadows, seen, fixed_variance=False) == pytest.approx([np.log(2)])
    far = attacks.lira_online_scores(np.array([6.0]), shadows, seen, fixed_variance=False)
    expected = norm.logpdf(6, 2, 1) - norm.logpdf(6, 2, 2)
    assert far == pytest.approx([expected])


def test_nothing_to_learn_is_chance():
    phi, shadows, seen, member = world(0.0, shadows=8)
    for score in (attacks.lira_offline_scores, attacks.lira_online_scores):
        assert auc(score(phi, shadows, seen), member) == pytest.approx(0.5, abs=0.03)


def test_few_shadows_share_one_variance():
    phi, shadows, seen, member = world(1.5, shadows=4)
    fixed = attacks.lira_offline_scores(phi, shadows, seen, fixed_variance=True)
    assert np.array_equal(attacks.lira_offline_scores(phi, shadows, seen), fixed)
    assert auc(fixed, member) > auc(attacks.lira_offline_scores(phi, shadows, seen, fixed_variance=False), member)


def test_from_answers_to_scores():
    rng = np.random.default_rng(1)
    labels, seen = rng.integers(0, 3, 40), shadow_halves(np.zeros(40, int), 6)
    own, told = from_logits(rng.normal(size=(40, 3))), from_logits(rng.normal(size=(6, 40, 3)))
    phi = [attacks.scaled_confidence(one, labels) for one in told]
    expected = attacks.lira_offline_scores(attacks.scaled_confidence(own, labels), np.stack(phi), seen)
    assert np.array_equal(attacks.lira(own, labels, told, seen), expected)


def test_a_face_that_all_shadows_saw_is_named():
    seen = np.array([[False, True], [False, True]])
    with pytest.raises(UserError, match="Face 1 has 0 shadow models that never saw it"):
        attacks.lira_offline_scores(np.zeros(2), np.zeros((2, 2)), seen)


def test_pairs_of_shadows_share_the_faces():
    seen = shadow_halves(np.repeat([0, 1, 2], 20), 6)
    assert np.array_equal(seen[0], ~seen[1]) and not np.array_equal(seen[0], seen[2])
    assert (seen.sum(axis=0) == 3).all()
    with pytest.raises(UserError, match=r"3 shadow models\. Expected an even number"):
        shadow_halves(np.zeros(4, int), 3)
