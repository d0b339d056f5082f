import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from fer_tf.augment import get
from fer_tf.augment.photometric import (
    add_noise,
    apply_gamma,
    gaussian_blur,
    scale_brightness,
    scale_color,
    scale_contrast,
    to_gray,
)  # fmt: skip

ONE = np.ones((1, 1), np.float32)


def faces(count=3, side=16, channels=1):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels)).astype(np.float32)


def test_brightness_multiplies_and_clips():
    image = np.array([10, 100, 200], np.float32).reshape(1, 1, 3, 1)
    assert scale_brightness(image, np.array([1.5])).ravel().tolist() == [15, 150, 255]


def test_contrast_moves_about_the_mean():
    image = np.array([50, 100, 150], np.float32).reshape(1, 1, 3, 1)
    assert scale_contrast(image, np.array([0.5])).ravel().tolist() == [75, 100, 125]
    assert scale_contrast(image, np.array([0.0])).ravel().tolist() == [100, 100, 100]


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_color_and_contrast_are_pillows(factor):
    images = faces(1, channels=3)
    picture = Image.fromarray(images[0].astype(np.uint8))
    for apply, enhancer in ((scale_color, ImageEnhance.Color), (scale_contrast, ImageEnhance.Contrast)):
        wanted = np.asarray(enhancer(picture).enhance(factor), np.float32)
        np.testing.assert_allclose(apply(images, np.array([factor]))[0], wanted, atol=1.6)


def test_gray_faces_have_no_color():
    np.testing.assert_allclose(scale_color(faces(), np.array([0.2, 1, 1.8])), faces(), atol=1e-4)


def test_luma_weighs_red_green_and_blue():
    image = np.array([100, 0, 0, 0, 100, 0, 0, 0, 100], np.float32).reshape(1, 1, 3, 3)
    np.testing.assert_allclose(to_gray(image).ravel(), [29.9, 58.7, 11.4], rtol=1e-5)


def test_gamma_two_squares():
    image = np.array([0, 51, 255], np.float32).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(apply_gamma(image, np.array([2.0])).ravel(), [0, 10.2, 255], rtol=1e-5)


def test_noise_is_added_and_clipped():
    image = np.array([0, 128, 250], np.float32).reshape(1, 1, 3, 1)
    assert add_noise(image, np.array([-5.0, 5, 10]).reshape(1, 1, 3, 1)).ravel().tolist() == [0, 133, 255]


def test_blur_is_scipys_and_zero_leaves_a_face_alone():
    images = faces(2, channels=3)
    out = gaussian_blur(images, np.array([1.2, 0.0]))
    wanted = gaussian_filter(images[0], (1.2, 1.2, 0), mode="nearest", radius=(4, 4, 0))
    np.testing.assert_allclose(out[0], wanted, atol=0.01)
    np.testing.assert_allclose(out[1], images[1], atol=1e-4)


def levels(call, value=100.0, count=4000):
    images = np.full((count, 1, 2, 1), value, np.float32)
    return get([call])(images, np.ones((count, 1), np.float32), np.random.default_rng(7))[0]


def test_brightness_draws_factors_in_its_range_for_its_share():
    out = levels("brightness(delta=0.3, p=0.5)")[:, 0, 0, 0]
    assert out.min() == pytest.approx(70, abs=0.2) and out.max() == pytest.approx(130, abs=0.2)
    assert (out == 100).mean() == pytest.approx(0.5, abs=0.03)


def test_gamma_draws_darker_and_brighter_alike():
    exponent = np.log(levels("gamma(delta=0.5)")[:, 0, 0, 0] / 255) / np.log(100 / 255)
    assert exponent.max() == pytest.approx(1.5, abs=0.01) and exponent.min() == pytest.approx(1 / 1.5, abs=0.01)
    assert np.median(exponent) == pytest.approx(1, abs=0.02)


def test_noise_has_the_deviation_of_a_uniform_mixture():
    # the standard deviation is uniform in [0, 12]: variance 12² / 3
    out = levels("noise(std=12, p=1)", count=20_000)
    assert out.var() == pytest.approx(48, rel=0.05)
    assert (levels("noise(p=0.25)")[:, 0, 0, 0] != 100).mean() == pytest.approx(0.25, abs=0.03)


def test_contrast_draws_its_share():
    images = np.tile(np.array([50.0, 150.0], np.float32).reshape(1, 1, 2, 1), (4000, 1, 1, 1))
    out, _ = get(["contrast(delta=0.4, p=0.5)"])(images, np.ones((4000, 1), np.float32), np.random.default_rng(0))
    half = (out[:, 0, 1, 0] - out[:, 0, 0, 0]) / 2
    assert half.min() == pytest.approx(30, abs=0.2) and half.max() == pytest.approx(70, abs=0.2)
    assert (half == 50).mean() == pytest.approx(0.5, abs=0.03)
