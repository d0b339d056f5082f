import numpy as np
import pytest

from fer_tf.datasets.splits import carve, check_shares, split_of
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
