"""Blends of expressions and the taggers who vote on them."""

import numpy as np
import pytest

from fer_tf.datasets.synthetic.geometry import (
    ACTIONS,
    EXPECTED_INTENSITIES,
    PROTOTYPES,
    Expressions,
    action_rows,
    action_weights,
    can_show,
)
from fer_tf.labels import FER2013, FERPLUS, LABEL_SETS

DRAWABLE = {name: s for name, s in LABEL_SETS.items() if can_show(s.classes)}


def all_ways(classes):
    return [(c, row) for c, name in enumerate(classes) for row in action_rows(name)]


def test_prototypes_name_known_actions_and_cover_the_label_sets_of_expressions():
    assert {a for ways in PROTOTYPES.values() for way in ways for a in way} <= set(ACTIONS)
    assert set(LABEL_SETS) - set(DRAWABLE) == {"lfwfer"}
    for label_set in DRAWABLE.values():
        assert all(len(action_rows(c)) >= 1 for c in label_set.classes)


@pytest.mark.parametrize("label_set", DRAWABLE.values(), ids=DRAWABLE)
def test_a_prototype_is_nearest_to_its_own_class(label_set):
    ways = all_ways(label_set.classes)
    actions = np.array([row for _, row in ways])[:, None]
    distances = Expressions(label_set.classes).distances(actions, np.ones((len(ways), len(ACTIONS))))[:, 0]
    np.testing.assert_array_equal(distances.argmin(axis=1), [c for c, _ in ways])
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-9)


def test_distance_is_that_to_the_nearest_point_on_a_ray():
    rng = np.random.default_rng(0)
    face, weights = rng.normal(size=len(ACTIONS)), rng.uniform(0.1, 1, len(ACTIONS))
    grid = np.linspace(*EXPECTED_INTENSITIES, 20001)[:, None]
    expected = [
        min(((face - grid * row) ** 2 @ weights).min() for row in action_rows(name)) for name in FER2013.classes
    ]
    found = Expressions(FER2013.classes).distances(face[None, None], weights[None])[0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_hidden_actions_count_little():
    clear, eyes, mouth = action_weights(np.array([0, 1, 2]))
    brow, lips = ACTIONS.index("brow_lower"), ACTIONS.index("corner_pull")
    assert (clear == 1).all()
    assert eyes[brow] < 0.2 and eyes[lips] == 1
    assert mouth[brow] == 1 and mouth[lips] < 0.2


def test_taggers_agree_on_a_plain_face_and_split_over_an_even_blend():
    expressions = Expressions(FER2013.classes)
    happy, sad = action_rows("happy")[0], action_rows("sad")[0]
    faces = np.repeat([happy, 0.5 * (happy + sad)], 200, axis=0)
    named, likely = expressions.vote(np.random.default_rng(0), faces, np.ones_like(faces), taggers=10)
    assert named.shape == (400, 10) and likely.shape == (400, 7)
    np.testing.assert_allclose(likely.sum(axis=1), 1)
    assert (named[:200] == FER2013.index("happy")).mean() > 0.9
    assert (named[200:] == FER2013.index("happy")).mean() < 0.6


def votes_on(label_set, ambiguity, faces=3000):
    """Draw blends and return them with the counts of ten annotators (N, C) and the likelihoods (N, C)."""
    rng, expressions = np.random.default_rng(1), Expressions(label_set.classes)
    blends = expressions.draw(rng, faces, ambiguity)
    named, likely = expressions.vote(rng, blends.actions, np.ones_like(blends.actions), taggers=10)
    return blends, (named[..., None] == np.arange(len(label_set))).sum(axis=1), likely


@pytest.mark.parametrize("label_set", [FER2013, FERPLUS], ids=["fer2013", "ferplus"])
def test_labels_agree_with_the_main_expression_mostly(label_set):
    blends, votes, likely = votes_on(label_set, 0.35)
    agree = (votes + 0.5 * likely).argmax(axis=1) == blends.main
    blended = blends.share < 1
    assert 0.89 < agree.mean() < 0.97
    assert agree[~blended].mean() > 0.95 > agree[blended].mean() > 0.7
    assert 0.31 < blended.mean() < 0.39


def test_vote_entropy_follows_the_share_of_the_second_expression():
    blends, votes, _ = votes_on(FER2013, 0.35)
    p = votes / 10
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)
    assert np.corrcoef(entropy, 1 - blends.share)[0, 1] > 0.35


def test_the_second_expression_gets_more_votes_than_a_third():
    blends, votes, _ = votes_on(FER2013, 1.0)
    main, second = (votes[np.arange(len(votes)), c] for c in (blends.main, blends.second))
    others = (10 - main - second) / 5
    assert main.mean() > second.mean() > 3 * others.mean()


def test_the_same_numbers_are_drawn_for_every_ambiguity():
    pure, blended = (Expressions(FER2013.classes).draw(np.random.default_rng(3), 200, a) for a in (0.0, 0.5))
    alone = blended.share == 1
    assert 60 < alone.sum() < 140
    np.testing.assert_array_equal(pure.actions[alone], blended.actions[alone])
