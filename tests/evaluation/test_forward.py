import keras
import numpy as np
import pytest

from fer_tf import evaluation, models
from fer_tf.errors import UserError


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return models.get("vgg(width=0.1, batch_norm=False)", num_classes=7)


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(0).integers(0, 256, (7, 48, 48, 1), dtype=np.uint8)


def corner_reader(height, width, kind=keras.Model):
    """A network whose 'logits' are its crop's top-left and top-right pixel, to see which crops it was given."""
    inputs = keras.Input((height, width, 1))
    return kind(inputs, keras.ops.concatenate([inputs[:, 0, 0], inputs[:, 0, -1]], axis=-1))


def test_center_is_the_central_crop(network, faces):
    found = evaluation.logits(network, faces)
    np.testing.assert_allclose(found, np.asarray(network(faces[:, 4:44, 4:44].astype("float32"))), atol=1e-5)
    assert found.shape == (7, 7) and found.dtype == np.float32


def test_ten_crop_is_the_mean_over_ten_explicit_crops(network, faces):
    crops = []
    for side in (faces, faces[:, :, ::-1]):
        for y, x in ((0, 0), (0, 8), (8, 0), (8, 8), (4, 4)):
            crops.append(np.asarray(network(side[:, y : y + 40, x : x + 40].astype("float32"))))
    np.testing.assert_allclose(evaluation.logits(network, faces, view="ten_crop"), np.mean(crops, axis=0), atol=1e-5)


# An odd margin has no exact center, so there only the ten crops are the same crops for both.
@pytest.mark.parametrize(("view", "size"), [("ten_crop", 48), ("ten_crop", 47), ("flip", 48)])
def test_a_face_and_its_mirror_have_identical_logits(network, view, size):
    faces = np.random.default_rng(1).integers(0, 256, (5, size, size, 1), dtype=np.uint8)
    there, back = (evaluation.logits(network, x, view=view) for x in (faces, faces[:, :, ::-1]))
    np.testing.assert_array_equal(there, back)
    center = evaluation.logits(network, faces)
    assert not np.allclose(center, evaluation.logits(network, faces[:, :, ::-1]), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batch_size_changes_nothing(network, faces, batch_size):
    found = evaluation.logits(network, faces, batch_size=batch_size, view="flip")
    np.testing.assert_allclose(found, evaluation.logits(network, faces, view="flip"), atol=1e-5)


class Watched(keras.Model):
    """A network that keeps the shapes of the batches that it is asked about."""

    def predict_on_batch(self, x):
        self.__dict__.setdefault("shapes", []).append(x.shape)
        return super().predict_on_batch(x)


def test_only_one_shape_is_ever_compiled(faces):
    network = corner_reader(40, 40, Watched)
    evaluation.logits(network, faces, batch_size=3, view="ten_crop")
    assert len(network.shapes) == 3 * 10 and set(network.shapes) == {(3, 40, 40, 1)}


def test_a_whole_image_has_one_crop_only(faces):
    network = corner_reader(48, 48, Watched)
    ten = evaluation.logits(network, faces, view="ten_crop")
    assert len(network.shapes) == 2
    np.testing.assert_array_equal(ten, evaluation.logits(network, faces, view="flip"))


def test_crop_of_a_network_of_any_size(faces):
    network = corner_reader(None, None)
    np.testing.assert_array_equal(evaluation.logits(network, faces)[:, 0], faces[:, 0, 0, 0])
    np.testing.assert_array_equal(evaluation.logits(network, faces, crop=44)[:, 0], faces[:, 2, 2, 0])
    np.testing.assert_array_equal(evaluation.logits(network, faces, crop=(40, 48))[:, 1], faces[:, 4, 47, 0])


def test_float_images_are_taken_as_they_are(faces):
    found = evaluation.logits(corner_reader(48, 48), faces / 4)
    np.testing.assert_array_equal(found[:, 0], faces[:, 0, 0, 0] / 4)


@pytest.mark.parametrize(
    ("shape", "keywords", "message"),
    [
        ((2, 32, 32, 1), {}, "Images of 32×32 are smaller than the crop of 40×40"),
        ((2, 48, 48, 3), {}, "Images have 3 channels, the network takes 1"),
        ((2, 48, 48, 1), {"view": "nine_crop"}, "Unknown view 'nine_crop'. Available: center, flip, ten_crop"),
        ((2, 48, 48, 1), {"crop": 44}, "crop 44×44 does not fit the network's input 40×40"),
        ((0, 48, 48, 1), {}, "N > 0"),
        ((48, 48, 1), {}, "channels"),
        ((2, 48, 48, 1), {"batch_size": 0}, "batch_size"),
    ],
)
def test_mistakes(network, shape, keywords, message):
    with pytest.raises(UserError, match=message):
        evaluation.logits(network, np.zeros(shape, np.uint8), **keywords)
