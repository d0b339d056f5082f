import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from fer_tf.augment import get
from fer_tf.augment.photometric import OPERATIONS, autocontrast, equalize, posterize, sharpen, solarize, transform


def faces(count=4, side=24, channels=3, low=20, high=230):
    rng = np.random.default_rng(0)
    smooth = rng.integers(low, high, (count, side // 4, side // 4, channels)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.float32)


def pillow(images, function):
    return np.stack([np.asarray(function(Image.fromarray(i.astype(np.uint8))), np.float32) for i in images])


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        (lambda x: posterize(x, np.full(len(x), 3)), lambda p: ImageOps.posterize(p, 3), 0),
        (lambda x: solarize(x, np.full(len(x), 100)), lambda p: ImageOps.solarize(p, 100), 0),
        (autocontrast, ImageOps.autocontrast, 1),
        (equalize, ImageOps.equalize, 0),
        (lambda x: sharpen(x, np.full(len(x), 1.8)), lambda p: ImageEnhance.Sharpness(p).enhance(1.8), 1.6),
        (lambda x: sharpen(x, np.full(len(x), 0.1)), lambda p: ImageEnhance.Sharpness(p).enhance(0.1), 1.6),
    ],
    ids=["posterize", "solarize", "autocontrast", "equalize", "sharpen", "smooth"],
)
def test_operations_are_pillows(ours, theirs, tolerance):
    np.testing.assert_allclose(ours(faces()), pillow(faces(), theirs), atol=tolerance + 1e-3)


def test_constant_and_empty_histograms_stay():
    flat = np.full((1, 6, 6, 1), 77, np.float32)
    np.testing.assert_array_equal(autocontrast(flat), flat)
    np.testing.assert_array_equal(equalize(flat), flat)


def test_strength_nine_is_torchvisions():
    image, level = np.full((1, 1, 2, 1), 100, np.float32), np.array([0.3])
    assert transform(image, "brightness", level)[0, 0, 0, 0] == pytest.approx(127)
    assert transform(image, "brightness", -level)[0, 0, 0, 0] == pytest.approx(73)
    assert transform(image, "posterize", level)[0, 0, 0, 0] == 100  # 7 bits: even levels stay
    assert transform(image + 1, "posterize", level)[0, 0, 0, 0] == 100
    assert transform(image + 78, "solarize", level)[0, 0, 0, 0] == 178  # from 178.5 on
    assert transform(image + 79, "solarize", level)[0, 0, 0, 0] == 76


def test_translate_moves_by_its_share_of_331_pixels():
    image = np.arange(331, dtype=np.float32).reshape(1, 1, 331, 1) % 256
    out = transform(image, "translate_x", np.array([0.2]))  # 30 of 331 pixels
    np.testing.assert_allclose(out[0, 0, 30:, 0], image[0, 0, :-30, 0], atol=0.02)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_treats_images_one_by_one(name, channels):
    images, level = faces(4, channels=channels), np.array([-1, -0.3, 0.3, 1])
    before = images.copy()
    together = transform(images, name, level)
    alone = np.concatenate([transform(images[i : i + 1], name, level[i : i + 1]) for i in range(4)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(images, before)
    assert together.dtype == np.float32 and together.min() >= 0 and together.max() <= 255
    assert name in ("identity", "color") or not np.array_equal(together, images)


@pytest.mark.parametrize("name", ["brightness", "contrast", "sharpness", "rotate", "shear_x", "shear_y", "translate_x"])
def test_level_zero_changes_nothing(name):
    np.testing.assert_allclose(transform(faces(), name, np.zeros(4)), faces(), atol=1e-3)


def test_each_image_draws_its_own_operations():
    images = np.repeat(faces(1, channels=1), 400, axis=0)
    out, _ = get(["randaugment(n=1, m=9)"])(images, np.ones((400, 1), np.float32), np.random.default_rng(0))
    kinds = np.unique(out.reshape(400, -1), axis=0)
    # 13 operations; eight of them have two signs.
    assert len(kinds) == 21
    unchanged = (out == images).all(axis=(1, 2, 3)).mean()
    assert unchanged == pytest.approx(1 / 13, abs=0.05)


def test_no_operations_and_no_strength():
    images = faces()
    rows = np.ones((4, 1), np.float32)
    np.testing.assert_array_equal(get(["randaugment(n=0)"])(images, rows, np.random.default_rng(0))[0], images)
