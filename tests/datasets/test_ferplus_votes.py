import csv

import numpy as np
import pytest

from fer_tf.datasets.ferplus_votes import MODES, VOTE_CLASSES, filter_votes, vote_shares
from fer_tf.errors import DataError, UserError
from fer_tf.labels import FERPLUS

N, H, S, D, A = "neutral", "happiness", "surprise", "sadness", "anger"
# votes; majority; cross-entropy and probability; support of multi-target. None: the face is dropped.
VECTORS = [
    ((4, 0, 0, 1, 3, 2, 0, 0, 0, 0), None, {N: 4 / 7, A: 3 / 7}, {N, A}),
    ((6, 0, 1, 1, 0, 0, 0, 0, 2, 0), {N: 1}, {N: 1}, {N}),
    ((5, 0, 0, 3, 1, 0, 0, 0, 1, 0), {N: 1}, {N: 5 / 8, D: 3 / 8}, {N, D}),
    ((4, 0, 0, 4, 1, 0, 0, 0, 1, 0), None, {N: 0.5, D: 0.5}, {N, D}),
    ((2, 0, 0, 8, 0, 0, 0, 0, 0, 0), {D: 1}, {D: 1}, {D}),
    ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), None, {N: 0.5, H: 0.5}, {N, H}),
    ((4, 0, 0, 3, 3, 0, 0, 0, 0, 0), None, {N: 0.4, D: 0.3, A: 0.3}, {N, D, A}),
    ((3, 0, 0, 3, 2, 2, 0, 0, 0, 0), None, None, {N, D}),
    ((2, 2, 2, 2, 2, 0, 0, 0, 0, 0), None, None, None),
    ((5, 0, 0, 0, 0, 0, 0, 0, 5, 0), None, None, {N}),
    ((4, 0, 0, 2, 0, 0, 0, 0, 4, 0), None, None, {N}),
    ((3, 0, 0, 3, 0, 0, 0, 0, 4, 0), None, None, None),
    ((5, 3, 0, 0, 0, 0, 0, 0, 2, 0), None, {N: 5 / 8, H: 3 / 8}, {N, H}),
    ((4, 4, 0, 0, 0, 0, 0, 2, 0, 0), None, {N: 0.5, H: 0.5}, {N, H}),
    ((3, 3, 0, 0, 0, 0, 0, 0, 3, 1), None, {N: 0.5, H: 0.5}, {N, H}),
    ((6, 0, 0, 1, 1, 1, 1, 0, 0, 0), {N: 1}, {N: 1}, {N}),
    ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), None, None, None),
    ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None, None, None),
]


def one(votes, mode):
    targets, kept = filter_votes(np.array([votes]), mode)
    assert targets.dtype == np.float32
    assert targets.shape == (len(kept), 8)
    return {c: v for c, v in zip(FERPLUS.classes, targets[0].tolist(), strict=True) if v} if len(kept) else None


@pytest.mark.parametrize(("votes", "majority", "share", "support"), VECTORS)
def test_published_vectors(votes, majority, share, support):
    assert one(votes, "majority") == majority
    for mode in ("cross_entropy", "probability"):
        assert one(votes, mode) == (None if share is None else pytest.approx(share))
    multi = one(votes, "multi_target")
    assert (set(multi) if multi else None) == support


def test_rows_keep_their_order_and_sum_to_one():
    votes = np.array([v for v, *_ in VECTORS])
    targets, kept = filter_votes(votes, "cross_entropy")
    assert kept.tolist() == [i for i, (_, _, share, _) in enumerate(VECTORS) if share]
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def slow_share(v):
    """The FER+ scan in floating point, one face, written from the rules apart from the code under test."""
    v = np.where(np.array(v) > 1, v, 0).astype(float)
    total, kept, mass, stop = v.sum(), np.zeros(10), 0.0, False
    while mass < 0.75 * total and (kept > 0).sum() < 3 and not stop and v.max() > 0:
        top = v.max()
        for c in np.flatnonzero(v == top):
            had = kept.sum() > 0
            kept[c], v[c] = top, 0
            mass += top
            if c > 7:
                stop = True
                if had:
                    kept[c] = 0
                break
    if kept.sum() <= 0.5 * total or (kept > 0).sum() > 3 or kept.argmax() > 7:
        return None
    return kept[:8] / kept[:8].sum()


def slow_majority(v):
    v = np.where(np.array(v) > 1, v, 0)
    return np.eye(8)[v.argmax()] if v.max() > v.sum() / 2 and v.argmax() < 8 else None


def slow_multi_target(v):
    v = np.where(np.array(v) > 1, v, 0)
    kept = np.array([n if 10 * n >= 3 * v.sum() else 0 for n in v])
    if 2 * kept.sum() <= v.sum() or kept.argmax() > 7:
        return None
    return kept[:8] / kept[:8].sum()


SLOW = {"cross_entropy": slow_share, "majority": slow_majority, "multi_target": slow_multi_target}


def test_sharing_equals_a_second_writing_of_the_rules_on_random_votes():
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.full(10, 0.4), 4000)
    votes = np.array([rng.multinomial(10, w) for w in weights])
    targets, kept = filter_votes(votes, "cross_entropy")
    expected = [slow_share(v) for v in votes]
    assert kept.tolist() == [i for i, e in enumerate(expected) if e is not None]
    np.testing.assert_allclose(targets, [e for e in expected if e is not None], atol=1e-6)
    assert 1000 < len(kept) < 4000


@pytest.mark.real
@pytest.mark.parametrize("mode", SLOW)
def test_real_votes_equal_a_second_writing_of_the_rules(real_data, mode):
    with (real_data / "fer2013new.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    votes = np.unique(np.array([row[2:] for row in rows], int), axis=0)
    targets, kept = filter_votes(votes, mode)
    second = [SLOW[mode](v) for v in votes]
    assert kept.tolist() == [i for i, e in enumerate(second) if e is not None]
    np.testing.assert_allclose(targets, [e for e in second if e is not None], atol=1e-6)


def test_refuses_what_are_no_votes():
    good = np.zeros((2, 10), int)
    with pytest.raises(UserError, match=r"Unknown FER\+ mode 'mean'. Available: cross_entropy, majority"):
        filter_votes(good, "mean")
    for bad in (good[:, :8], good + 0.5, good - 1):
        with pytest.raises(DataError, match="Votes"):
            filter_votes(bad, "majority")


def test_no_faces_give_no_targets():
    for mode in MODES:
        targets, kept = filter_votes(np.zeros((0, 10), int), mode)
        assert targets.shape == (0, 8)
        assert kept.shape == (0,)
    assert len(VOTE_CLASSES) == 10


def test_vote_shares_count_outliers_but_neither_unknown_nor_no_face():
    shares = vote_shares(np.array([[6, 0, 1, 1, 0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0, 9]]))
    np.testing.assert_allclose(shares, [[0.75, 0, 0.125, 0.125, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]])
