"""The copy with stable predictions: statistics of training faces, temperature of validation faces."""

import keras
import numpy as np
import pytest

from fer_tf import cli, datasets, models
from fer_tf.errors import UserError
from fer_tf.labels import FERPLUS
from fer_tf.models import ModelMetadata
from fer_tf.robustness import stabilize
from fer_tf.robustness.shift_stability import _crops


@pytest.fixture(scope="module")
def table():
    return datasets.load_synthetic(faces=120)


def test_crops_are_windows_of_faces_some_mirrored(table):
    (crops,) = _crops(table.select("test"), (44, 44, 1), 48, seed=0)
    faces = table.select("test").images.astype(np.float32)
    windows = {f[y : y + 44, x : x + 44].tobytes() for f in faces for y in range(5) for x in range(5)}
    straight = [c.tobytes() in windows for c in crops]
    mirrored = [np.ascontiguousarray(c[:, ::-1]).tobytes() in windows for c in crops]
    assert all(a or b for a, b in zip(straight, mirrored, strict=True)) and any(straight) and any(mirrored)


def test_statistics_are_those_of_the_copys_own_maps(table):
    network = models.get("resnet10(width=0.0625)", num_classes=7, input_shape=(44, 44, 1))
    network.metadata = ModelMetadata(table.label_set, 48, temperature=3.0)
    copy = stabilize(network, table.select("train"), table.select("validation"), side=1, filters=True)
    stem = keras.Model(copy.inputs, copy.get_layer("stem_conv").output)
    batches = list(_crops(table.select("train"), (44, 44, 1), 48, seed=0))
    maps = stem.predict_on_batch(np.concatenate(batches))
    norm = copy.get_layer("stem_norm")
    np.testing.assert_allclose(norm.moving_mean, maps.mean(axis=(0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, maps.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-6)
    assert copy.metadata.temperature != 3.0 and copy.metadata.label_set == table.label_set


def test_other_faces_are_refused(table):
    network = models.get("resnet10(width=0.0625)", num_classes=8, input_shape=(44, 44, 1))
    network.metadata = ModelMetadata(FERPLUS, 48)
    with pytest.raises(UserError, match="The network predicts neutral, happiness"):
        stabilize(network, table, table.select("validation"))
    color = models.get("resnet10(width=0.0625)", num_classes=7, input_shape=(44, 44, 3))
    color.metadata = ModelMetadata(table.label_set, 48)
    with pytest.raises(UserError, match="have 1 channels, the network takes 3"):
        stabilize(color, table, table.select("validation"))


def test_views_come_before_the_same_weights(table):
    network = models.get("resnet10(width=0.0625)", num_classes=7, input_shape=(44, 44, 1))
    network.metadata = ModelMetadata(table.label_set, 48)
    validation = table.select("validation")
    copy = stabilize(network, table.select("train"), validation)
    images = validation.images.astype(np.float32)
    crops = [images[:, :44, :44], images[:, :44, 4:, :][:, :, ::-1], images[:, 4:, :44][:, :, ::-1], images[:, 4:, 4:]]
    wanted = np.mean([network.predict_on_batch(c) for c in crops], axis=0)
    np.testing.assert_allclose(copy.predict_on_batch(images), wanted, atol=1e-4)
    assert copy.metadata.temperature != 1


def test_a_command_that_would_change_nothing(capsys, tmp_path):
    for arguments, message in (
        (["default", str(tmp_path / "x.keras"), "--grid", "1"], "changes nothing"),
        (["default", str(tmp_path / "x.h5")], "ends in .keras"),
        (["nothing", str(tmp_path / "x.keras")], "No model 'nothing'"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(["stabilize", *arguments])
        assert ended.value.code == 2 and message in capsys.readouterr().err
