"""Points that move with the pixels, and change places in the mirror."""

import numpy as np
import pytest

from fer_tf.augment import OPS, check_columns, get
from fer_tf.augment.geometry import MIRRORED_PAIRS, affine_matrices, flip_matrices, mirror_order, move_points, scaling
from fer_tf.errors import UserError

SIDE = 40


def points(count=5, faces=2):
    return np.random.default_rng(0).uniform(8, 32, (faces, count, 2)).astype(np.float32)


def spots(where):
    """Draw bright spots of 3×3 pixels about pixel centers ``where`` (K, 2), one image a spot."""
    images = np.zeros((len(where), SIDE, SIDE, 1), np.float32)
    for image, (x, y) in zip(images, where, strict=True):
        image[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
    return images


def centers(images):
    """Return the center of mass of each image, (0, 0) being the corner of the first pixel."""
    weight = images[..., 0] / images[..., 0].sum(axis=(1, 2), keepdims=True)
    along = np.arange(images.shape[1]) + 0.5
    return np.stack([(weight.sum(axis=1) * along).sum(axis=1), (weight.sum(axis=2) * along).sum(axis=1)], axis=1)


@pytest.mark.parametrize("call", [n for n in OPS if OPS[n].facts.get("geometric")])
def test_points_stay_on_their_pixels(call):
    arguments = {
        "random_crop": "(size=36)", "center_crop": "(size=36)", "resize": "(size=57)", "flip": "(p=1.0)",
        "affine": "(rotation=20, shift=0.05, zoom=0.2, shear=0.1)",
    }  # fmt: skip
    images = spots([(20, 12), (14, 23), (25, 25), (18, 18)])
    where = np.repeat(centers(images)[:, None], 5, axis=1).astype(np.float32)
    pipeline = get([f"{call}{arguments.get(call, '()')}"])
    moved, _, after = pipeline.with_points(images, np.zeros((4, 2), np.float32), np.random.default_rng(1), where)
    np.testing.assert_allclose(after[:, 2], centers(moved), atol=0.05)


def test_points_do_not_change_what_happens_to_the_images():
    images, targets = spots(np.full((9, 2), 20)), np.zeros((9, 2), np.float32)
    pipeline = get(["study"])
    plain, _ = pipeline(images, targets, np.random.default_rng(3))
    with_points, _, _ = pipeline.with_points(images, targets, np.random.default_rng(3), points(68, 9))
    np.testing.assert_array_equal(plain, with_points)


@pytest.mark.parametrize("count", [5, 68])
def test_flipping_twice_is_the_identity(count):
    images = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 1)).astype(np.float32)
    pipeline, before, rows = get(["flip(p=1.0)"]), points(count), np.zeros((2, 2), np.float32)
    once = pipeline.with_points(images, rows, np.random.default_rng(0), before)
    twice = pipeline.with_points(once[0], rows, np.random.default_rng(0), once[2])
    np.testing.assert_array_equal(twice[0], images)
    np.testing.assert_allclose(twice[2], before, atol=1e-5)
    assert not np.allclose(once[2], before)


def test_a_mirrored_face_has_its_left_eye_on_the_left():
    face = np.array([[[10, 15], [30, 16], [20, 22], [13, 30], [28, 31]]], np.float32)
    moved = move_points(face, flip_matrices(np.array([True]), (SIDE, SIDE)))
    np.testing.assert_allclose(moved[0], [[10, 16], [30, 15], [20, 22], [12, 31], [27, 30]], atol=1e-5)


def test_the_mirror_order_of_68_points():
    order = mirror_order(68)
    np.testing.assert_array_equal(order[order], np.arange(68))
    alone = {i for i in range(68) if order[i] == i}
    assert alone == {8, 27, 28, 29, 30, 33, 51, 57, 62, 66}
    swapped = {(0, 16), (7, 9), (17, 26), (21, 22), (36, 45), (41, 46), (31, 35), (48, 54), (59, 55), (65, 67)}
    assert all(order[a] == b and order[b] == a for a, b in swapped)
    assert {len(pairs) for pairs in MIRRORED_PAIRS.values()} == {2, 29}


def test_missing_points_stay_missing():
    given = points()
    given[0, 1], given[1, 3, 0] = np.nan, np.nan
    turned = move_points(given, affine_matrices((SIDE, SIDE), np.array([10.0, 20.0])))
    assert np.isnan(turned[0, 1]).all() and np.isnan(turned).any(axis=2).sum() == 2
    mirrored = move_points(given, flip_matrices(np.array([True, False]), (SIDE, SIDE)))
    assert np.isnan(mirrored[0, 0]).all() and not np.isnan(mirrored[0, 1]).any()


def test_a_scale_is_about_the_corner_of_the_first_pixel():
    doubled = scaling(np.array([0.5]), 0.5, 0.25 - 0.5, 0.25 - 0.5)
    np.testing.assert_allclose(move_points(np.array([[[3.0, 7.0]]]), doubled), [[[6, 14]]], atol=1e-6)


def test_other_numbers_of_points_cannot_be_mirrored():
    with pytest.raises(UserError, match="No left and right are known for 7 landmarks"):
        move_points(points(7), flip_matrices(np.array([True, False]), (SIDE, SIDE)))
    move_points(points(7), flip_matrices(np.array([False, False]), (SIDE, SIDE)))


@pytest.mark.parametrize("call", ["mixup()", "cutmix()"])
def test_faces_with_columns_are_not_mixed(call):
    check_columns([call], ())
    with pytest.raises(UserError, match="mixes faces, but 'index' is of one face"):
        check_columns(["flip()", call], ("index",))


def test_landmarks_refuse_what_moves_pixels_alone():
    check_columns(["randaugment()", "strong"], ("index",))
    for calls in (["randaugment()"], ["strong"]):
        with pytest.raises(UserError, match="moves pixels without their landmarks"):
            check_columns(calls, ("index", "landmarks"))
    check_columns(["study", "sample_target()", "erasing()"], ("index", "landmarks"))
