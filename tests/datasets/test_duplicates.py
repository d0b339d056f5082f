"""Copies of a picture: exact, near, and what becomes of them."""

import numpy as np
import pytest

from fer_tf import datasets
from fer_tf.datasets.splits import copies_in, near_copies, treat_leaks
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot


@pytest.fixture(scope="module")
def faces():
    """Twelve different drawn faces, 48×48."""
    return datasets.get("synthetic(faces=12, seed=4)").images


def table(images, splits):
    return FaceTable(
        images=images, targets=one_hot([0] * len(images), 2), label_set=LabelSet("two", ("a", "b")),
        split=np.array(splits), ids=np.arange(len(images)).astype(str),
    )  # fmt: skip


def brighter(image):
    return np.clip(image.astype(int) * 0.7 + 40, 0, 255).astype(np.uint8)


def test_a_photograph_is_found_again_in_other_light_and_with_a_watermark(faces):
    marked = faces[6].copy()
    marked[36:39, 8:40:3] = 255
    others = np.stack([brighter(faces[2]), marked, 255 - faces[3], faces[5]])
    assert near_copies(faces, others).tolist() == [[2, 0], [5, 3], [6, 1]]


def test_pairs_are_those_of_numpys_correlation(faces):
    small = faces[..., 0].reshape(12, 12, 4, 12, 4).mean(axis=(2, 4)).reshape(12, -1)
    expected = np.argwhere(np.corrcoef(small) >= 0.7)
    found = near_copies(faces, faces, threshold=0.7)
    assert len(expected) > 12
    np.testing.assert_array_equal(found, expected)


def test_blocks_change_nothing(faces):
    whole = near_copies(faces, faces, threshold=0.5)
    times = 2048 // len(faces) + 5  # more than a block of rows
    found = near_copies(np.tile(faces, (times, 1, 1, 1)), faces, threshold=0.5)
    np.testing.assert_array_equal(found, np.concatenate([np.add(whole, (len(faces) * i, 0)) for i in range(times)]))


def test_a_face_of_one_color_has_no_near_copy():
    flat = np.stack([np.full((48, 48, 1), v, np.uint8) for v in (0, 255)])
    assert len(near_copies(flat, flat)) == 0


def test_copies_tell_exact_from_near(faces):
    later = table(np.stack([faces[0], brighter(faces[1]), faces[11]]), ["test"] * 3)
    found = copies_in(table(faces[:4], ["train"] * 4), later)
    assert found.exact.tolist() == [True, False, False]
    assert found.near.tolist() == [True, True, False]


def test_leaks_are_dropped_from_the_earlier_split(faces):
    images = np.stack(
        [faces[0], faces[1], faces[2], faces[3], brighter(faces[1]), faces[5], faces[0], brighter(faces[5])]
    )
    mixed = table(images, ["train"] * 4 + ["validation"] * 2 + ["test"] * 2)
    assert treat_leaks(mixed, "keep") is mixed
    assert treat_leaks(mixed, "drop").ids.tolist() == ["1", "2", "3", "4", "5", "6", "7"]
    assert treat_leaks(mixed, "drop_near").ids.tolist() == ["2", "3", "4", "6", "7"]
    with pytest.raises(UserError, match=r"leaks='all' is unknown\. Expected 'keep', 'drop' or 'drop_near'"):
        treat_leaks(mixed, "all")


def test_tables_of_paths_are_refused(faces):
    paths = FaceTable(
        paths=np.array(["a.png"]), targets=one_hot([0], 2), label_set=LabelSet("two", ("a", "b")),
        split=np.array(["train"]), ids=np.array(["a"]),
    )  # fmt: skip
    with pytest.raises(UserError, match="holds paths"):
        copies_in(paths, paths)


@pytest.mark.real
def test_real_copies_between_the_splits_of_fer2013(real_data):
    whole = datasets.get("fer2013", real_data)
    train, validation, test = (whole.select(s) for s in ("train", "validation", "test"))
    counts = [(int(c.exact.sum()), int(c.near.sum())) for c in (
        copies_in(train, validation), copies_in(train, test), copies_in(validation, test)
    )]  # fmt: skip
    assert [exact for exact, _ in counts] == [280, 288, 44]
    assert [near for _, near in counts] == [467, 487, 90]
    clean = datasets.get("fer2013(leaks='drop_near')", real_data)
    assert not copies_in(clean.select("train"), clean.select("test")).near.any()
    assert len(clean.select("test")) == 3589
