import numpy as np
import pytest
from PIL import Image

from fer_tf.augment import get
from fer_tf.augment.geometry import (
    affine,
    affine_matrices,
    center_crop,
    draw_windows,
    flip,
    flip_matrices,
    fuse,
    random_crop,
    random_resized_crop,
    resize,
    window_matrices,
)  # fmt: skip
from fer_tf.augment.warp import warp
from fer_tf.errors import UserError

ROWS = np.ones((1, 1), np.float32)


def faces(count=4, height=8, width=8, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype(np.float32)


def run(op, images, seed=0):
    return op(images, np.repeat(ROWS, len(images), axis=0), np.random.default_rng(seed))[0]


def test_flip_mirrors_exactly_the_drawn_faces():
    images = faces(2, 5, 6)
    out = warp(images, flip_matrices(np.array([True, False]), (5, 6)), (5, 6))
    np.testing.assert_array_equal(out[0], images[0, :, ::-1])
    np.testing.assert_array_equal(out[1], images[1])


def test_flip_draws_its_share():
    images = np.tile(np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1), (4000, 1, 1, 1))
    assert run(flip(p=0.3), images)[:, 0, 0, 0].mean() == pytest.approx(0.3, abs=0.03)
    assert run(flip(p=0), images)[:, 0, 0, 0].mean() == 0
    assert run(flip(p=1), images)[:, 0, 0, 0].mean() == 1


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_quarter_turns_are_those_of_numpy(quarter):
    images = faces(1, 7, 7)
    out = warp(images, affine_matrices((7, 7), np.array([90.0 * quarter])), (7, 7), "edge")
    np.testing.assert_allclose(out[0], np.rot90(images[0], quarter), atol=1e-3)


def test_shift_moves_right_and_down():
    images = faces(1)
    out = warp(images, affine_matrices((8, 8), np.zeros(1), np.array([[2.0, 3.0]])), (8, 8), "constant")
    np.testing.assert_array_equal(out[0, 3:, 2:], images[0, :5, :6])
    assert not out[0, :3].any()
    assert not out[0, :, :2].any()


def test_zoom_by_two_enlarges_about_the_centre():
    images = np.zeros((1, 9, 9, 1), np.float32)
    images[0, 4, 2:7] = 100  # a bar of 5 pixels, 9 after zooming
    out = warp(images, affine_matrices((9, 9), np.zeros(1), zoom=np.array([[2.0, 1.0]])), (9, 9), "constant")
    assert out[0, 4, :, 0].tolist() == [100] * 9
    assert not out[0, [3, 5]].any()


def test_shear_slants_rows_about_the_middle_one():
    images = np.zeros((1, 5, 5, 1), np.float32)
    images[0, :, 2] = 100
    out = warp(images, affine_matrices((5, 5), np.zeros(1), shear=np.array([[1.0, 0.0]])), (5, 5), "constant")
    assert out[0, :, :, 0].argmax(axis=1).tolist() == [4, 3, 2, 1, 0]


def test_affine_without_ranges_changes_nothing():
    images = faces()
    np.testing.assert_array_equal(run(affine(), images), images)
    np.testing.assert_array_equal(run(affine(rotation=30, shift=0.5, zoom=1, shear=1, p=0), images), images)


def drawn(op, count=20_000, size=(40, 20)):
    return op.draw(count, size, np.random.default_rng(3))[0]


def test_affine_draws_angles_up_to_its_limit():
    angle = np.degrees(np.arctan2(drawn(affine(rotation=10))[:, 1, 0], drawn(affine(rotation=10))[:, 0, 0]))
    assert abs(angle).max() == pytest.approx(10, abs=0.05)
    assert angle.mean() == pytest.approx(0, abs=0.2)
    assert abs(angle).mean() == pytest.approx(5, abs=0.1)


def test_affine_draws_shifts_as_fractions_of_each_side():
    matrices = drawn(affine(shift=0.2))
    assert abs(matrices[:, 0, 2]).max() == pytest.approx(0.2 * 20, abs=0.02)
    assert abs(matrices[:, 1, 2]).max() == pytest.approx(0.2 * 40, abs=0.02)
    assert np.corrcoef(matrices[:, 0, 2], matrices[:, 1, 2])[0, 1] == pytest.approx(0, abs=0.03)


def test_affine_zoom_is_a_factor_or_its_inverse():
    factor = 1 / drawn(affine(zoom=0.5))[:, 0, 0]
    assert factor.max() == pytest.approx(1.5, abs=0.01)
    assert factor.min() == pytest.approx(1 / 1.5, abs=0.01)
    assert (factor > 1).mean() == pytest.approx(0.5, abs=0.02)
    assert factor[factor > 1].mean() == pytest.approx(1.25, abs=0.01)


def test_affine_applies_each_part_with_its_own_probability():
    matrices = drawn(affine(rotation=10, shear=0.1, p=0.5))
    turned, slanted = matrices[:, 1, 0] != 0, abs(matrices[:, 0, 1] + matrices[:, 1, 0]) > 1e-9
    still = (matrices == np.eye(3)).all(axis=(1, 2))
    assert still.mean() == pytest.approx(0.25, abs=0.02)
    assert (turned | slanted).mean() == pytest.approx(0.75, abs=0.02)


def test_random_crop_copies_windows_and_reaches_every_offset():
    image = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    out = run(random_crop(size=4), np.repeat(image, 400, axis=0))
    corners = set(out[:, 0, 0, 0].astype(int).tolist())
    assert corners == {6 * y + x for y in range(3) for x in range(3)}
    first = int(out[0, 0, 0, 0])
    np.testing.assert_array_equal(out[0, ..., 0], image[0, first // 6 :, first % 6 :, 0][:4, :4])


def test_random_crop_pads_with_black():
    out = run(random_crop(size=6, padding=2), np.ones((500, 6, 6, 1), np.float32))
    assert set(out.sum(axis=(1, 2, 3)).astype(int)) == {h * w for h in (4, 5, 6) for w in (4, 5, 6)}


def test_center_crop_starts_at_the_offsets_of_the_ten_crop():
    image = np.arange(48 * 48, dtype=np.float32).reshape(1, 48, 48, 1)
    np.testing.assert_array_equal(run(center_crop(size=40), image), image[:, 4:44, 4:44])
    np.testing.assert_array_equal(run(center_crop(size=44), image), image[:, 2:46, 2:46])


def test_a_crop_larger_than_the_face_says_so():
    with pytest.raises(UserError, match="9×9 does not fit in 8×8"):
        run(center_crop(size=9), faces())


def test_windows_lie_inside_and_keep_area_and_aspect():
    x0, y0, width, height = draw_windows(20_000, (48, 48), (0.8, 1.0), (3 / 4, 4 / 3), np.random.default_rng(0)).T
    assert (x0 >= 0).all() and (y0 >= 0).all() and (x0 + width <= 48).all() and (y0 + height <= 48).all()
    assert (width * height / 48**2).min() > 0.77
    assert (width / height).max() < 1.39
    assert np.corrcoef(x0[width == 44], y0[width == 44])[0, 1] == pytest.approx(0, abs=0.1)


def test_a_window_that_never_fits_is_the_whole_face():
    windows = draw_windows(10, (48, 48), (1.1, 1.2), (1.0, 1.0), np.random.default_rng(0))
    assert (windows == [0, 0, 48, 48]).all()


def window_of_torchvision(rng):
    """One draw of its RandomResizedCrop.get_params for 48×48, as a loop."""
    for _ in range(10):
        area, ratio = 48 * 48 * rng.uniform(0.8, 1.2), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        width, height = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < width <= 48 and 0 < height <= 48:
            return width, height
    return 48, 48


def test_the_studys_windows_are_distributed_as_torchvisions():
    rng = np.random.default_rng(1)
    theirs = np.array([window_of_torchvision(rng) for _ in range(4000)])
    ours = draw_windows(20_000, (48, 48), (0.8, 1.2), (3 / 4, 4 / 3), np.random.default_rng(0))[:, 2:]
    whole = (ours == 48).all(axis=1).mean()
    assert 0.03 < whole < 0.2
    assert whole == pytest.approx((theirs == 48).all(axis=1).mean(), abs=0.02)
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), atol=0.15)


@pytest.mark.parametrize("window", [(0, 0, 8, 8), (2, 1, 5, 6)])
def test_resized_crop_is_pillows_bilinear_enlargement(window):
    images = faces(1)
    out = warp(images, window_matrices(np.array([window], float), (12, 16)), (12, 16))
    x0, y0, width, height = window
    part = Image.fromarray(images[0, y0 : y0 + height, x0 : x0 + width, 0])
    wanted = np.asarray(part.resize((16, 12), Image.Resampling.BILINEAR))
    inner = (slice(2, -2), slice(2, -2))  # Pillow stops at the window's border, we may look one pixel further
    np.testing.assert_allclose(out[0, ..., 0][inner], wanted[inner], atol=1e-3)


def test_resize_of_a_whole_face_is_pillows():
    images = faces(1)
    wanted = np.asarray(Image.fromarray(images[0, ..., 0]).resize((16, 12), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(run(resize(size=(12, 16)), images)[0, ..., 0], wanted, atol=1e-3)


def test_random_resized_crop_keeps_the_size_unless_told():
    assert run(random_resized_crop(), faces(2, 8, 6)).shape == (2, 8, 6, 1)
    assert run(random_resized_crop(size=5), faces(2, 8, 6)).shape == (2, 5, 5, 1)


def test_fused_flip_and_crop_equal_one_after_the_other():
    images = faces(16, 9, 9, 3)
    ops = [flip(), random_crop(size=6), flip(), center_crop(size=4)]
    (together,) = fuse(ops)
    rng, apart = np.random.default_rng(5), images
    for op in ops:
        apart, _ = op(apart, ROWS, rng)
    np.testing.assert_array_equal(run(together, images, seed=5), apart)


def test_fused_turn_there_and_back_loses_nothing():
    images = faces(3, 15, 15)
    there, back = affine(rotation=0), affine(rotation=0)
    turn = affine_matrices((15, 15), np.full(3, 25.0))
    there = there.__class__(lambda n, size, rng: (turn, size), "constant")
    back = back.__class__(lambda n, size, rng: (np.linalg.inv(turn), size), "constant")
    (together,) = fuse([there, back])
    np.testing.assert_allclose(run(together, images), images, atol=0.01)


def test_ops_with_different_fills_stay_apart():
    assert len(get(["affine(fill='edge')", "flip()", "affine(fill='reflect')"]).ops) == 2
    assert len(get(["affine()", "flip()", "random_crop(size=4, padding=1)", "erasing()", "flip()"]).ops) == 3
