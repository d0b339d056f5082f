import numpy as np
import pytest

from fer_tf.datasets.splits import carve, check_shares, group_folds, hashed_split, split_of
from fer_tf.errors import UserError

SHARES = (0.8, 0.1, 0.1)


def made(n=200, classes=4):
    return np.full(n, "train"), [f"face{i}" for i in range(n)], np.arange(n) % classes


def test_names_on_disk_are_understood():
    assert [split_of(n) for n in ("Training", "PublicTest", "PrivateTest")] == ["train", "validation", "test"]
    assert [split_of(n) for n in ("train", "val", "valid", "Validation", "TEST")] == [
        "train", "validation", "validation", "validation", "test",
    ]  # fmt: skip
    assert split_of("happy") is None


def test_every_class_gives_its_share():
    split, ids, labels = made()
    out = carve(split, ids, labels, SHARES, seed=0)
    for c in range(4):
        assert [int((out[labels == c] == s).sum()) for s in ("train", "validation", "test")] == [40, 5, 5]
    assert set(split) == {"train"}


def test_the_seed_and_not_the_order_decides():
    split, ids, labels = made()
    out = carve(split, ids, labels, SHARES, seed=0)
    turn = np.random.default_rng(1).permutation(200)
    moved = carve(split, [ids[i] for i in turn], labels[turn], SHARES, seed=0)
    assert (moved == out[turn]).all()
    assert (carve(split, ids, labels, SHARES, seed=1) != out).sum() > 20


def test_adding_a_face_moves_few_others():
    split, ids, labels = made(201)
    assert (
        carve(split, ids, labels, SHARES, 0)[:200] != carve(split[:200], ids[:200], labels[:200], SHARES, 0)
    ).sum() <= 2


def test_splits_that_are_there_stay():
    split, ids, labels = made()
    split = split.astype("U10")
    split[:30] = "test"
    out = carve(split, ids, labels, SHARES, 0)
    assert (out[:30] == "test").all()
    assert int((out == "test").sum()) == 30
    assert 16 <= int((out == "validation").sum()) <= 18


def test_a_small_class_gives_one_face_and_a_tiny_one_none():
    split, ids, labels = made(5, 1)
    assert sorted(carve(split, ids, labels, SHARES, 0)) == ["test", "train", "train", "train", "validation"]
    assert (carve(split[:2], ids[:2], labels[:2], SHARES, 0) == "train").all()


def test_groups_stay_together():
    split, ids, labels = made()
    people = np.array([f"person{i // 10}" for i in range(200)])
    out = carve(split, ids, labels, SHARES, 0, people)
    assert all(len(set(out[people == p])) == 1 for p in set(people))
    assert [int((out == s).sum()) for s in ("train", "validation", "test")] == [160, 20, 20]


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.1, -0.1, 0), "0.8", 0.8, (0.8, 0.1, "x")])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(UserError, match="split="):
        check_shares(shares)


def test_folds_keep_people_whole_and_classes_balanced():
    rng = np.random.default_rng(0)
    people = np.repeat([f"p{i}" for i in range(118)], rng.integers(1, 19, 118))
    labels = rng.choice(7, len(people), p=[0.14, 0.05, 0.18, 0.08, 0.21, 0.09, 0.25])
    fold = group_folds(people, labels, 10, seed=0)
    assert all(len(set(fold[people == p])) == 1 for p in set(people))
    counts = np.array([np.bincount(labels[fold == f], minlength=7) for f in range(10)])
    assert (counts.sum(axis=1) > 0.85 * len(people) / 10).all()
    assert (counts > 0.5 * counts.mean(axis=0)).all() and (counts < 1.5 * counts.mean(axis=0)).all()


def test_folds_depend_on_names_and_seed_and_not_on_the_order():
    people, labels = np.array([f"p{i // 3}" for i in range(60)]), np.arange(60) % 4
    fold, turn = group_folds(people, labels, 5, seed=0), np.random.default_rng(1).permutation(60)
    assert (group_folds(people[turn], labels[turn], 5, seed=0) == fold[turn]).all()
    assert (group_folds(people, labels, 5, seed=1) != fold).any()
    with pytest.raises(UserError, match="folds=21, but there are 20 people"):
        group_folds(people, labels, 21, 0)


def test_a_hashed_split_is_that_of_the_name_alone():
    names = [f"p{i}" for i in range(4000)]
    split = hashed_split(names, (0.7, 0.2, 0.1), seed=0)
    assert [round(float((split == s).mean()), 1) for s in ("train", "validation", "test")] == [0.7, 0.2, 0.1]
    assert (hashed_split(names[7:9], (0.7, 0.2, 0.1), seed=0) == split[7:9]).all()
    assert (hashed_split(names, (0.7, 0.2, 0.1), seed=1) != split).mean() > 0.3
