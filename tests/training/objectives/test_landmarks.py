"""Landmarks as a second task: the masked loss, the mean shape, and mistakes."""

from dataclasses import replace

import numpy as np
import pytest
from keras import ops

from fer_tf import losses, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.layers import mean_shape
from fer_tf.training import objectives
from fer_tf.training.objectives.targets import landmark_loss

NAN = np.nan


def table(points=5, side=32):
    n = 6
    marks = np.random.default_rng(0).uniform(8, 24, (n, points, 2)).astype(np.float32)
    marks[1] = NAN
    marks[2, 3] = NAN
    return FaceTable(
        targets=one_hot(np.arange(n) % 3, 3), label_set=LabelSet("three", ("a", "b", "c")),
        split=np.full(n, "train"), ids=np.arange(n).astype(str), images=np.zeros((n, side, side, 1), np.uint8),
        landmarks=marks,
    )  # fmt: skip


def network(points=5, side=24):
    text = f"landmark_scn(width=0.03, depth=1, stem='strided', points={points}, dropout=0.0)"
    return models.get(text, num_classes=3, input_shape=(side, side, 1))


def objective(text="landmarks", faces=None, **sizes):
    made = objectives.get(text, network(**sizes), table() if faces is None else faces)
    made.compile("sgd", losses.get("cross_entropy"))
    return made


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


TRUTH = np.array([[[1, 2], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]], [[5, NAN], [3, 3]]], "float32")
PREDICTED = np.array([[[2, 4], [9, 9]], [[7, 7], [7, 7]], [[5, 9], [0, 3.5]]], "float32")


def test_distance_by_hand_over_what_is_known():
    # |1|, |2|, |0|, |3|, |0.5| over five known coordinates.
    assert float(landmark_loss(TRUTH, PREDICTED, 48.0)) == pytest.approx(6.5 / 5 / 48)
    assert float(landmark_loss(np.full_like(TRUTH, NAN), PREDICTED, 48.0)) == 0


def test_missing_landmarks_have_no_gradient(gradient):
    slopes = gradient(lambda p: landmark_loss(TRUTH, p, 48.0), PREDICTED)
    assert np.isfinite(slopes).all() and not slopes[np.isnan(TRUTH)].any()
    wrong = ~np.isnan(TRUTH) & (PREDICTED != TRUTH)
    np.testing.assert_allclose(np.abs(slopes[wrong]), 1 / 5 / 48, rtol=1e-5)


def test_mean_shape_is_over_the_faces_that_have_the_point():
    marks = np.array([[[1, 2], [NAN, NAN]], [[3, 6], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]], "float32")
    np.testing.assert_array_equal(mean_shape(marks), [[2, 4], [2, 4]])
    before = table().landmarks.copy()
    np.testing.assert_allclose(mean_shape(before), np.nanmean(before, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(before, table().landmarks)


def test_the_network_begins_at_the_mean_shape_of_the_central_crop(tmp_path):
    made = objective()
    layer = made.network.get_layer("landmarks")
    np.testing.assert_allclose(numbers(layer.mean_shape), np.nanmean(table().landmarks, axis=0) - 4, rtol=1e-5)
    assert not layer.trainable_variables
    given = made.network(np.zeros((2, 24, 24, 1), "float32"))
    assert given["landmarks"].shape == (2, 5, 2) and given["logits"].shape == (2, 3)
    made.network.save(tmp_path / "m.keras")
    again = models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numbers(again.get_layer("landmarks").mean_shape), numbers(layer.mean_shape))


@pytest.mark.parametrize("coefficient", [0.0, 3.0])
def test_total_adds_the_distance(coefficient):
    made = objective(f"landmarks(coefficient={coefficient}, gamma=1.0)")
    labels = {"targets": one_hot(np.array([0, 1, 2]), 3), "index": np.arange(3, dtype="int32")}
    labels["landmarks"] = TRUTH[:, [0, 1, 1, 1, 1]]
    outputs = {"logits": np.zeros((3, 3), "float32"), "alpha": np.array([[0.1], [0.5], [0.9]], "float32")}
    outputs["landmarks"] = PREDICTED[:, [0, 1, 1, 1, 1]]
    distance = float(landmark_loss(labels["landmarks"], outputs["landmarks"], 24.0))
    assert distance > 0
    total = float(made.compute_loss(None, labels, outputs))
    assert total == pytest.approx(np.log(3) + coefficient * distance, rel=1e-5)
    assert float(made.parts["landmark"].result()) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("text", "faces", "message"),
    [
        ("landmarks", replace(table(), landmarks=None), "The dataset has no landmarks"),
        ("landmarks", table(points=68), "The dataset has 68 landmarks a face, the network 5"),
        ("landmarks(coefficient=-1)", table(), "coefficient is -1"),
    ],
)
def test_mistakes(text, faces, message):
    with pytest.raises(UserError, match=message):
        objective(text, faces)


def test_a_network_without_landmarks():
    made = models.get("scn(width=0.03, depth=1, stem='strided')", num_classes=3, input_shape=(24, 24, 1))
    with pytest.raises(UserError, match="'landmarks' needs a network with output 'landmarks', such as landmark_scn"):
        objectives.get("landmarks", made, table())
