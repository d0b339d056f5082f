import keras
import numpy as np
import pytest

from fer_tf.layers import FerPlusNormalization


def reference(image):
    """The three steps on one (H, W) image in float64, by sorting and a general least-squares solver."""
    flat = np.rint(image).astype(int).ravel()
    equalised = 2 * np.searchsorted(np.sort(flat), flat, side="right") / flat.size - 1
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    design = np.stack([np.ones(flat.size), x.ravel(), y.ravel()], axis=1)
    rest = equalised - design @ np.linalg.lstsq(design, equalised, rcond=None)[0]
    return (rest / np.sqrt(np.mean(rest**2))).reshape(image.shape)


def faces(shape, seed=0):
    """Noise on a slope of light, so that the plane has something to remove."""
    rng = np.random.default_rng(seed)
    height, width = shape[1:3]
    slope = np.linspace(0, 120, width)[None, None, :, None] + np.linspace(0, 60, height)[None, :, None, None]
    return np.clip(slope + rng.normal(40, 25, shape), 0, 255).round().astype("float32")


@pytest.mark.parametrize("shape", [(3, 64, 64, 1), (2, 48, 40, 3)], ids=str)
def test_mean_rms_and_orthogonality(shape):
    out = np.asarray(FerPlusNormalization()(faces(shape)), np.float64)
    x = np.linspace(-1, 1, shape[2])[None, None, :, None]
    y = np.linspace(-1, 1, shape[1])[None, :, None, None]
    np.testing.assert_allclose(out.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.sqrt((out**2).mean(axis=(1, 2))), 1, atol=1e-5)
    np.testing.assert_allclose((out * x).mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose((out * y).mean(axis=(1, 2)), 0, atol=1e-5)


def test_equals_an_independent_implementation_image_by_image_and_channel_by_channel():
    images = faces((2, 24, 40, 3))
    out = np.asarray(FerPlusNormalization()(images))
    for n in range(2):
        for c in range(3):
            np.testing.assert_allclose(out[n, :, :, c], reference(images[n, :, :, c]), atol=2e-5)


@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("size", [48, 64, 45])
def test_a_constant_image_becomes_zeros(value, size):
    out = np.asarray(FerPlusNormalization()(np.full((2, size, size, 1), value, "float32")))
    np.testing.assert_array_equal(out, 0)


def test_values_outside_the_range_are_clipped():
    images = faces((1, 16, 16, 1))
    images[0, 0, :2, 0] = 0, 255
    wild = images.copy()
    wild[0, 0, :2, 0] = -50, 400
    np.testing.assert_array_equal(np.asarray(FerPlusNormalization()(wild)), np.asarray(FerPlusNormalization()(images)))


def test_fractions_of_a_level_are_rounded():
    images = faces((1, 16, 16, 1))
    shaken = np.clip(images + np.random.default_rng(1).uniform(-0.45, 0.45, images.shape), 0, 255).astype("float32")
    np.testing.assert_array_equal(
        np.asarray(FerPlusNormalization()(shaken)), np.asarray(FerPlusNormalization()(images))
    )


def test_a_brighter_and_steeper_copy_of_a_face_comes_out_the_same():
    image = np.random.default_rng(1).integers(0, 100, (1, 32, 32, 1)).astype("float32")
    layer = FerPlusNormalization()
    np.testing.assert_allclose(np.asarray(layer(2 * image + 30)), np.asarray(layer(image)), atol=1e-6)


def test_config_and_unknown_batch_size():
    layer = FerPlusNormalization(epsilon=1e-3, name="n")
    again = FerPlusNormalization.from_config(layer.get_config())
    assert (again.epsilon, again.name) == (1e-3, "n")
    inputs = keras.Input((20, 30, 1))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 20, 30, 1)
    images = faces((5, 20, 30, 1))
    np.testing.assert_allclose(model.predict(images, batch_size=2, verbose=0), np.asarray(layer(images)), atol=1e-6)
