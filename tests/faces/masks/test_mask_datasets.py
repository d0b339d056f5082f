from dataclasses import replace

import numpy as np
import pytest

from fer_tf.datasets import COVERS, load_synthetic
from fer_tf.errors import UserError
from fer_tf.faces.masks import MaskSettings, cut_face, drawn_kind, face_seed, put_mask


@pytest.fixture(scope="module")
def table():
    drawn = load_synthetic(faces=7, label_set="lfwfer", seed=3)
    points = drawn.landmarks.copy()
    points[1] = np.nan
    points[2] = 5.0  # all on one point: no face
    return replace(drawn, landmarks=points)


def test_masked_faces_are_those_of_put_mask_by_their_own_seed(table):
    masked = MaskSettings(train="masked", seed=4).apply(table, "train")
    kept = [i for i in range(len(table)) if i not in (1, 2)]
    assert list(masked.ids) == list(table.ids[kept]) and (masked.targets == table.targets[kept]).all()
    for row, i in enumerate(kept):
        seed = face_seed(4, str(table.ids[i]))
        by_hand = put_mask(table.images[i], table.landmarks[i], drawn_kind(seed), seed=seed, fine=3)
        np.testing.assert_array_equal(masked.images[row], by_hand.image)
    # Whatever the order, and whoever else is there.
    other = MaskSettings(train="masked", seed=4).apply(table.take([4, 3]), "train")
    np.testing.assert_array_equal(other.images, masked.images[[kept.index(4), kept.index(3)]])


def test_every_part_has_the_same_faces(table):
    cover = MaskSettings(train="cut", evaluation="both")
    cut, both = cover.apply(table, "train"), cover.apply(table, "test")
    plain = MaskSettings().apply(table, "train")
    np.testing.assert_array_equal(plain.images, table.images[[0, *range(3, len(table))]])
    assert list(both.ids) == [f"{part}/{i}" for part in ("plain", "masked") for i in plain.ids]
    np.testing.assert_array_equal(both.images[: len(plain)], plain.images)
    np.testing.assert_array_equal(both.images[len(plain) :], MaskSettings("masked").apply(table, "train").images)
    np.testing.assert_array_equal(cut.images[0], cut_face(table.images[0], table.landmarks[0]))
    assert (cut.ids == plain.ids).all()


def test_a_second_time_pictures_come_from_the_cache(table, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_TF_CACHE", str(tmp_path))
    settings = MaskSettings("masked", kind="n95")
    first = settings.apply(table, "train")
    kept = {file for file in tmp_path.rglob("*") if file.is_file()}
    np.testing.assert_array_equal(settings.apply(table, "train").images, first.images)
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == kept
    # Other landmarks are another entry.
    assert (settings.apply(replace(table, landmarks=table.landmarks + 1), "train").images != first.images).any()
    assert {file for file in tmp_path.rglob("*") if file.is_file()} > kept


def test_coarser_drawing_looks_the_same():
    drawn = load_synthetic(faces=6, occlusion=0.0)
    pairs = [
        [
            put_mask(drawn.images[i], drawn.landmarks[i], "surgical", seed=i, fine=fine).image.astype(int)
            for fine in (3, 8)
        ]
        for i in range(6)
    ]
    differences = np.abs(np.array([a - b for a, b in pairs]))
    assert 0 < differences.mean() < 0.4 and np.percentile(differences, 99) <= 8


def test_mistakes_are_named(table):
    for call, message in (
        (lambda: MaskSettings(train="veiled"), "Unknown part 'veiled'. Available: both, cut, masked, plain"),
        (lambda: MaskSettings(kind="scarf"), "Unknown mask 'scarf'"),
        (lambda: MaskSettings(seed=-1), "seed=-1 is negative"),
        (lambda: COVERS.make("cover(color='red')"), "color"),
        (lambda: MaskSettings().apply(replace(table, landmarks=None), "train"), "fer-tf landmarks"),
        (lambda: MaskSettings().apply(table.take([1, 2]), "train"), "None of the 2 faces"),
        (lambda: put_mask(table.images[0], table.landmarks[0], fine=9), "fine=9 is out of range. Expected 1 to 8"),
    ):
        with pytest.raises(UserError, match=message):
            call()
