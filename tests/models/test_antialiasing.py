"""Filters inside strided convolutions: equal to convolving, filtering, and leaving out every other position."""

import keras
import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.labels import FER2013
from fer_tf.models.composites import antialias, filter_kernel


def test_a_filtered_kernel_is_the_kernel_convolved_with_the_filter():
    kernel = np.random.default_rng(0).normal(size=(3, 5, 2, 4)).astype(np.float32)
    tent = np.outer([1, 2, 1], [1, 2, 1]) / 16
    np.testing.assert_allclose(filter_kernel(kernel)[..., 1, 2], convolve2d(kernel[..., 1, 2], tent), atol=1e-6)
    # A filter has no gain: flat pictures give what they gave.
    np.testing.assert_allclose(filter_kernel(kernel).sum(axis=(0, 1)), kernel.sum(axis=(0, 1)), atol=1e-5)


@pytest.mark.parametrize("side", [10, 11])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_steps_stay_where_they_were(side, kernel):
    inputs = keras.Input((side, side, 1))
    plain = keras.Model(inputs, keras.layers.Conv2D(2, kernel, 2, padding="same", name="c")(inputs))
    plain.get_layer("c").set_weights([w + 0.1 for w in plain.get_layer("c").get_weights()])
    picture = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    weights, bias = plain.get_layer("c").get_weights()
    # Convolved at every place of an endless picture of zeros, filtered, and taken where the plain one stands.
    reach = kernel + 2
    wide = np.pad(picture, reach)
    every = correlate2d(wide, weights[:, :, 0, 0], mode="valid")
    smooth = correlate2d(every, np.outer([1, 2, 1], [1, 2, 1]) / 16, mode="same")
    before = max(2 * (-(-side // 2) - 1) + kernel - side, 0) // 2
    places = reach - before + 2 * np.arange(-(-side // 2))
    known = every[np.ix_(places, places)] + bias[0]
    np.testing.assert_allclose(plain(picture[None, ..., None])[0, ..., 0], known, atol=1e-5)
    found = keras.ops.convert_to_numpy(antialias(plain)(picture[None, ..., None]))[0, ..., 0]
    np.testing.assert_allclose(found, smooth[np.ix_(places, places)] + bias[0], atol=1e-5)


def test_a_network_keeps_its_facts_and_layers_and_can_be_saved(tmp_path):
    network = models.get("resnet10(width=0.125)", num_classes=7, input_shape=(44, 44, 1))
    network.metadata = models.ModelMetadata(FER2013, 48, "stage3_block1")
    copy = antialias(network)
    assert [x.name for x in copy.layers] == [x.name for x in network.layers] and copy.metadata == network.metadata
    faces = np.random.default_rng(0).uniform(0, 255, (2, 44, 44, 1)).astype(np.float32)
    said = copy.predict_on_batch(faces)
    assert said.shape == (2, 7) and not np.allclose(said, network.predict_on_batch(faces))
    models.save_model(copy, tmp_path / "copy.keras", copy.metadata)
    np.testing.assert_array_equal(models.load_model(tmp_path / "copy.keras").predict_on_batch(faces), said)


def test_networks_without_strides_are_refused():
    inputs = keras.Input((8, 8, 1))
    with pytest.raises(UserError, match="no convolution of stride 2"):
        antialias(keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs)))
