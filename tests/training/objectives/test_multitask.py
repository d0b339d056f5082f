"""Expression with valence and arousal: concordance by hand, missing values, the sum."""

import keras
import numpy as np
import pytest

from fer_tf import losses
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.losses import concordance
from fer_tf.training import objectives

NAN = np.nan


def table():
    labels = np.array([0, 0, 1, 2])
    return FaceTable(
        targets=one_hot(labels, 3), label_set=LabelSet("three", ("a", "b", "c")), split=np.full(4, "train"),
        ids=np.arange(4).astype(str), images=np.zeros((4, 8, 8, 1), np.uint8),
        valence_arousal=np.zeros((4, 2), np.float32),
    )  # fmt: skip


def objective(text="multitask"):
    images = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(images)
    outputs = {"logits": keras.layers.Dense(3)(x), "valence_arousal": keras.layers.Dense(2)(x)}
    made = objectives.get(text, keras.Model(images, outputs), table())
    made.compile("sgd", losses.get("cross_entropy"))
    return made


SERIES = np.array([-0.5, 0.25, 0.75, -0.25, 0.5], "float32")


def test_equal_series_agree_and_negated_ones_disagree():
    assert float(concordance(SERIES, SERIES)) == pytest.approx(1, abs=1e-6)
    centered = SERIES - SERIES.mean()
    assert float(concordance(centered, -centered)) == pytest.approx(-1, abs=1e-6)


def test_concordance_by_hand():
    # Means 2 and 4, variances 2/3 and 8/3, covariance 4/3: 2·4/3 / (10/3 + 4).
    assert float(concordance(np.array([1, 2, 3], "float32"), np.array([2, 4, 6], "float32"))) == pytest.approx(4 / 11)


def test_constant_series_and_unknown_ones_are_finite():
    assert float(concordance(np.ones(4, "float32"), np.ones(4, "float32"))) == 0
    assert float(concordance(np.full(4, NAN, "float32"), np.ones(4, "float32"))) == 0


def test_missing_values_count_nowhere(gradient):
    truth, predicted = np.array([1, NAN, 2, 3], "float32"), np.array([2, 99, 4, 6], "float32")
    assert float(concordance(truth, predicted)) == pytest.approx(4 / 11)
    slopes = gradient(lambda p: concordance(truth, p), predicted)
    assert np.isfinite(slopes).all() and slopes[1] == 0 and slopes[[0, 2, 3]].all()


def test_total_by_hand():
    made = objective("multitask(coefficient=0.5)")
    values = np.array([[1, NAN], [2, NAN], [3, NAN]], "float32")
    labels = {"targets": one_hot(np.array([0, 1, 2]), 3), "valence_arousal": values}
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.7, 0.2, 0.1]], "float32"))
    outputs = {"logits": logits, "valence_arousal": np.array([[2, 1], [4, 2], [6, 3]], "float32")}
    # Classes have 2, 1 and 1 faces: weights 1, 2, 2.
    cross_entropy = -(np.log(0.5) + 2 * np.log(0.5) + 2 * np.log(0.1)) / 5
    total = float(made.compute_loss(None, labels, outputs))
    assert total == pytest.approx(cross_entropy + 0.5 * (1 - 4 / 11) / 2, rel=1e-5)
    noted = {name: float(metric.result()) for name, metric in made.parts.items()}
    assert noted == {
        "weighted_ce": pytest.approx(cross_entropy, rel=1e-5), "ccc_valence": pytest.approx(4 / 11), "ccc_arousal": 0,
    }  # fmt: skip


def test_a_batch_that_knows_nothing_does_not_enter_the_mean():
    made = objective()
    metric = made.parts["ccc_valence"]
    outputs = {"logits": np.zeros((2, 3), "float32"), "valence_arousal": np.array([[1, 1], [2, 2]], "float32")}
    for values in ([[1, 0], [2, 0]], [[NAN, 0], [NAN, 0]]):
        labels = {"targets": one_hot(np.array([0, 1]), 3), "valence_arousal": np.array(values, "float32")}
        made.compute_loss(None, labels, outputs)
    assert float(metric.result()) == pytest.approx(1, abs=1e-5)


def test_a_network_without_the_output():
    images = keras.Input((8, 8, 1))
    plain = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    with pytest.raises(UserError, match=r"output 'valence_arousal', such as efficientnet_b0\(valence_arousal=True\)"):
        objectives.get("multitask", plain, table())
