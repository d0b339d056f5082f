import numpy as np
import pytest

from fer_tf.evaluation.scoring import crop_offsets, mirrored_pairs


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        (40, [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]),
        (44, [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]),
        (48, [(0, 0)]),
    ],
)
def test_published_offsets(crop, expected):
    assert crop_offsets((48, 48), (crop, crop), "ten_crop") == expected
    assert crop_offsets((48, 48), (crop, crop), "center") == expected[-1:]


def test_an_image_as_high_as_the_crop_keeps_all_five():
    assert crop_offsets((40, 48), (40, 40), "ten_crop") == [(0, 0), (0, 8), (0, 0), (0, 8), (0, 4)]


def test_first_and_second_members_are_the_ten_crops_in_order():
    rows, columns = np.mgrid[:48, :48]
    face = np.stack([rows, columns], axis=-1)[None]
    pairs = list(mirrored_pairs(face, (40, 40), "ten_crop"))
    first, second = ([pair[side][0, 0, 0].tolist() for pair in pairs] for side in (0, 1))
    assert first == [[0, 0], [0, 8], [8, 0], [8, 8], [4, 4]]
    assert second == [[0, 47], [0, 39], [8, 47], [8, 39], [4, 43]]
    assert [len(pair) for pair in mirrored_pairs(face, (40, 40), "flip")] == [2]
    assert [len(pair) for pair in mirrored_pairs(face, (40, 40), "center")] == [1]
