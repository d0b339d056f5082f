"""Symmetric label noise: how many, which, and to what."""

import numpy as np
import pytest

from fer_tf.datasets.splits import flip_labels
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import FER2013, one_hot


@pytest.fixture(scope="module")
def table():
    labels = np.arange(7_000) % 7
    split, ids = np.full(7_000, "train"), np.arange(7_000).astype(str)
    return FaceTable(one_hot(labels, 7), FER2013, split, ids, images=np.zeros((7_000, 1, 1, 1), np.uint8))


def test_exactly_the_share_is_changed_and_never_to_the_same_label(table):
    noisy, changed = flip_labels(table, 0.2)
    assert changed.sum() == 1_400
    np.testing.assert_array_equal(noisy.labels != table.labels, changed)
    np.testing.assert_array_equal(noisy.targets[~changed], table.targets[~changed])


def test_every_other_class_is_as_likely(table):
    noisy, _ = flip_labels(table, 1.0)
    steps = np.bincount((noisy.labels - table.labels) % 7, minlength=7)
    # Binomial(7000, 1/6): mean 1,167, standard deviation 31.
    assert steps[0] == 0 and (np.abs(steps[1:] - 7_000 / 6) < 5 * 31).all()


def test_more_noise_changes_the_same_faces_first_and_a_seed_repeats(table):
    few, some = flip_labels(table, 0.1), flip_labels(table, 0.3)
    assert (few[1] <= some[1]).all()
    np.testing.assert_array_equal(few[0].labels[few[1]], some[0].labels[few[1]])
    np.testing.assert_array_equal(flip_labels(table, 0.1)[0].targets, few[0].targets)
    assert (flip_labels(table, 0.1, seed=1)[1] != few[1]).any()


def test_no_noise_changes_nothing_and_a_wrong_rate_is_named(table):
    np.testing.assert_array_equal(flip_labels(table, 0.0)[0].targets, table.targets)
    with pytest.raises(UserError, match="label noise of 30"):
        flip_labels(table, 30)
