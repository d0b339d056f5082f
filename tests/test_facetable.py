from dataclasses import replace

import numpy as np
import pytest

from fer_tf.errors import DataError, UserError
from fer_tf.facetable import FaceTable, converted, joined
from fer_tf.labels import FER2013, POLARITY, LabelSet, one_hot


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return FaceTable(
        images=rng.integers(0, 256, (4, 8, 8, 1), np.uint8),
        targets=one_hot([3, 3, 0, 6], 7),
        label_set=FER2013,
        split=np.array(["train", "train", "validation", "test"]),
        ids=np.array(["a", "b", "c", "d"]),
        votes=np.arange(40.0).reshape(4, 10),
    )


def test_select_takes_every_column_along(table):
    train = table.select("train")
    assert len(train) == 2 and list(train.ids) == ["a", "b"]
    np.testing.assert_array_equal(train.votes, table.votes[:2])
    np.testing.assert_array_equal(table.take([3, 0]).images, table.images[[3, 0]])


def test_labels_counts_and_shape(table):
    np.testing.assert_array_equal(table.labels, [3, 3, 0, 6])
    np.testing.assert_array_equal(table.class_counts(), [1, 0, 0, 2, 0, 0, 1])
    assert table.image_shape == (8, 8, 1)


def test_save_and_load_give_the_same_table(table, tmp_path):
    table = replace(table, skipped=("x.csv:3: bad",), draw_targets=True)
    table.save(tmp_path / "t.npz")
    again = FaceTable.load(tmp_path / "t.npz")
    assert again.digest() == table.digest() and again.skipped == table.skipped and again.draw_targets
    np.testing.assert_array_equal(again.votes, table.votes)
    assert again.subject is None


def test_digest_changes_with_pictures_targets_and_ids(table):
    images, targets, ids = table.images.copy(), table.targets[::-1].copy(), table.ids.copy()
    images[2, 3, 3, 0] ^= 1
    ids[0] = "z"
    changed = [replace(table, images=images), replace(table, targets=targets), replace(table, ids=ids)]
    assert len({t.digest() for t in [table, *changed]}) == 4


def test_digest_changes_with_further_columns_only_when_asked(table):
    one, other = (replace(table, landmarks=np.full((4, 5, 2), v, np.float32)) for v in (1, 2))
    assert table.digest() == one.digest() == table.digest(["landmarks"])
    assert len({t.digest(["landmarks"]) for t in (table, one, other)}) == 3


def test_landmarks_and_boxes_are_scaled_with_the_images(table):
    marks, boxes = np.array([[[1.0, 6.0], [np.nan, 2.0]]] * 4), np.array([[0.0, 2.0, 4.0, 8.0]] * 4)
    table = replace(table, landmarks=marks.astype(np.float32), boxes=boxes.astype(np.float32))
    wide = table.with_images(np.zeros((4, 4, 24, 1), np.uint8))  # 8×8 to height 4 and width 24
    np.testing.assert_array_equal(wide.landmarks[0], [[3, 3], [np.nan, 1]])
    np.testing.assert_array_equal(wide.boxes[0], [0, 1, 12, 4])
    assert table.with_images(table.images).landmarks.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "images or paths"),
        ({"ids": np.array(["a", "a", "c", "d"])}, "not unique"),
        ({"ids": np.array(["a"])}, "'ids' has 1 rows"),
        ({"split": np.array(["train", "train", "dev", "test"])}, "Unknown split 'dev'"),
        ({"images": np.zeros((4, 8, 8, 1))}, "uint8"),
        ({"targets": np.full((4, 7), 0.5, np.float32)}, "Target of a is no distribution"),
        ({"targets": np.full((4, 7), np.nan, np.float32)}, "Target of a is no distribution"),
        ({"targets": one_hot([0, 1, 2, 3], 8)}, r"float32 \(4, 7\)"),
    ],
)
def test_a_wrong_column_is_refused(table, change, message):
    with pytest.raises(DataError, match=message):
        replace(table, **change)


def test_select_names_what_is_there(table):
    with pytest.raises(UserError, match="Unknown split 'dev'"):
        table.select("dev")
    with pytest.raises(UserError, match=r"no 'test' rows\. Present: train"):
        table.select("train").select("test")


def test_converted_takes_every_column_along_and_leaves_out_what_has_no_class(table):
    table = replace(table, targets=one_hot([3, 5, 0, 6], 7))
    three = converted(table, "lfwfer")
    assert three.ids.tolist() == ["a", "c", "d"] and three.labels.tolist() == [0, 2, 1]
    np.testing.assert_array_equal(three.images, table.images[[0, 2, 3]])
    np.testing.assert_array_equal(three.votes, table.votes[[0, 2, 3]])
    assert len(converted(table, "lfwfer", {**POLARITY, "surprise": "negative"})) == 4
    assert converted(table, None) is table
    assert converted(table, "rafdb").labels.tolist() == [3, 0, 5, 6]
    with pytest.raises(UserError, match="Unknown label set 'fer'"):
        converted(table, "fer")


def test_joined_tables_keep_their_columns_and_name_their_faces(table):
    first = table
    second = replace(first, votes=None, skipped=("a line",))
    both = joined({"a": first, "b": second})
    assert len(both) == 2 * len(first)
    assert list(both.ids) == [f"{name}/{i}" for name in "ab" for i in first.ids]
    np.testing.assert_array_equal(both.images, np.concatenate([first.images] * 2))
    assert both.votes is None and both.skipped == ("a line",)
    for other, message in (
        (replace(first, label_set=LabelSet("other", first.label_set.classes)), "one label set"),
        (replace(first, images=None, paths=first.ids), "all have pictures in memory"),
        (first.with_images(np.repeat(first.images, 2, axis=1).repeat(2, axis=2)), "images of one size"),
    ):
        with pytest.raises(UserError, match=message):
            joined({"a": first, "b": other})
    with pytest.raises(UserError, match="no table"):
        joined({})
