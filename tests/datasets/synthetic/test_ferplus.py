"""Drawn faces read as FER+ is read."""

import numpy as np
import pytest

from fer_tf.datasets import get
from fer_tf.datasets.ferplus_votes import filter_votes
from fer_tf.errors import UserError
from fer_tf.labels import FERPLUS

FACES = 400


@pytest.fixture(scope="module")
def drawn():
    return get(f"synthetic(faces={FACES}, label_set='ferplus')")


@pytest.mark.parametrize("mode", ["majority", "multi_target", "probability", "cross_entropy"])
def test_a_mode_keeps_the_faces_and_targets_of_the_rules(mode, drawn):
    table = get(f"synthetic_ferplus(faces={FACES}, mode={mode!r})")
    for split, rule in (("train", mode), ("validation", "majority"), ("test", "majority")):
        theirs, ours = drawn.select(split), table.select(split)
        targets, kept = filter_votes(theirs.votes, rule)
        np.testing.assert_array_equal(ours.targets, targets)
        assert ours.ids.tolist() == theirs.ids[kept].tolist()
        np.testing.assert_array_equal(ours.images, theirs.images[kept])
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks[kept])
    assert table.draw_targets == (mode == "probability") and table.label_set is FERPLUS


def test_single_labels_are_one_taggers_and_mostly_right():
    soft = get(f"synthetic_ferplus(faces={FACES}, mode='cross_entropy')").select("train")
    single = get(f"synthetic_ferplus(faces={FACES}, mode='cross_entropy', labels='fer2013')").select("train")
    assert single.ids.tolist() == soft.ids.tolist() and (single.targets.max(axis=1) == 1).all()
    assert not (single.labels == FERPLUS.index("contempt")).any()
    # The chance that one more tagger says what most said is the mean share of the most named class.
    plain = soft.labels != FERPLUS.index("contempt")
    votes = soft.votes[plain, :7]
    expected = (votes.max(axis=1) / votes.sum(axis=1)).mean()
    assert (single.labels == soft.labels)[plain].mean() == pytest.approx(expected, abs=0.08)


def test_a_longer_table_begins_with_the_shorter_one():
    few, many = (get(f"synthetic_ferplus(faces={n}, mode='cross_entropy', labels='fer2013')") for n in (70, 140))
    np.testing.assert_array_equal(few.targets, many.targets[: len(few)])


def test_options_are_checked():
    with pytest.raises(UserError, match=r"Unknown FER\+ mode 'mean'"):
        get("synthetic_ferplus(mode='mean')")
    with pytest.raises(UserError, match="reads no files"):
        get("synthetic_ferplus", "somewhere")
