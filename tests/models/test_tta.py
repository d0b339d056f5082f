"""Networks that average crops: equal to asking about each crop."""

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.labels import FER2013
from fer_tf.models.composites import average_crops, crop_grid


@pytest.fixture(scope="module")
def network():
    inputs = keras.Input((44, 44, 1))
    maps = keras.layers.Conv2D(3, 5, 4, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    made = keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(maps)))
    made.metadata = models.ModelMetadata(FER2013, 48, "stage3_block1", temperature=1.5)
    return made


def test_a_grid_goes_from_corner_to_corner():
    assert crop_grid(2) == [(0, 0, False), (0, 1, True), (1, 0, True), (1, 1, False)]
    assert [v[:2] for v in crop_grid(3)][4] == (0.5, 0.5) and sum(v[2] for v in crop_grid(3)) == 4
    with pytest.raises(UserError, match="grid of 1 crops"):
        crop_grid(1)


def test_the_mean_of_the_crops_logits(network, tmp_path):
    model = average_crops(network, crop_grid(3))
    faces = np.random.default_rng(0).uniform(0, 255, (3, 48, 48, 1)).astype(np.float32)
    crops = [faces[:, y : y + 44, x : x + 44] for y in (0, 2, 4) for x in (0, 2, 4)]
    crops = [c[:, :, ::-1] if i % 2 else c for i, c in enumerate(crops)]
    wanted = np.mean([network.predict_on_batch(c) for c in crops], axis=0)
    np.testing.assert_allclose(model.predict_on_batch(faces), wanted, atol=1e-5)
    assert (
        model.metadata == models.ModelMetadata(FER2013, 48, None, temperature=1.5, views=9)
        and network.metadata.gradcam_layer
    )
    assert model.count_params() == network.count_params()
    models.save_model(model, tmp_path / "m.keras", model.metadata)
    again = models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict_on_batch(faces), wanted, atol=1e-5)


def test_networks_of_the_whole_face_are_refused():
    inputs = keras.Input((48, 48, 1))
    whole = keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(inputs)))
    whole.metadata = models.ModelMetadata(FER2013, 48)
    with pytest.raises(UserError, match="no room for several crops"):
        average_crops(whole, crop_grid(2))
