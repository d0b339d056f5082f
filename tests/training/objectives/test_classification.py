"""Class weights: torch's weighted mean, and what the plain objective leaves as it is."""

import keras
import numpy as np
import pytest

from fer_tf import losses, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import objectives
from fer_tf.training.objectives import base


def table(labels=(0, 0, 0, 0, 1, 1)):
    n = len(labels)
    return FaceTable(
        targets=one_hot(np.array(labels), 3), label_set=LabelSet("three", ("a", "b", "c")),
        split=np.full(n, "train"), ids=np.arange(n).astype(str), images=np.zeros((n, 16, 16, 1), np.uint8),
    )  # fmt: skip


def objective(text, loss="cross_entropy", penalty=None):
    network = models.get(
        "vgg(filters=(2,), depth=1, head='gap')", num_classes=3, input_shape=(16, 16, 1), kernel_regularizer=penalty
    )
    made = objectives.get(text, network, table())
    made.compile("sgd", losses.get(loss))
    return made


TARGETS = one_hot(np.array([0, 1, 1, 0]), 3)
LOGITS = np.array([[2, 1, 0], [0, 1, 3], [1, 1, 1], [0, 0, 2]], "float32")


def negative_log(rows, labels):
    return np.log(np.exp(rows).sum(1)) - rows[np.arange(len(rows)), labels]


def test_a_rare_class_weighs_by_the_inverse_of_its_frequency():
    weights = base.inverse_frequencies(table().targets)
    np.testing.assert_allclose(weights, [1, 2, 0])
    soft = np.array([[0.5, 0.5, 0], [0.5, 0.25, 0.25]], "float32")
    np.testing.assert_allclose(base.inverse_frequencies(soft), [1, 4 / 3, 4])


def test_the_weighted_loss_is_divided_by_the_sum_of_the_weights():
    each, weights = negative_log(LOGITS, [0, 1, 1, 0]), np.array([1, 2, 2, 1])
    made = objective("classification(class_weights='balanced')")
    expected = (weights * each).sum() / weights.sum()
    assert float(made.compute_loss(None, TARGETS, LOGITS)) == pytest.approx(expected, rel=1e-6)
    assert float(objective("classification").compute_loss(None, TARGETS, LOGITS)) == pytest.approx(each.mean())


def test_a_factor_on_all_weights_changes_nothing():
    one, other = (np.asarray(base.face_weights(TARGETS, f * np.array([1, 2, 0], "float32"))) for f in (1, 9))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(one, [2 / 3, 4 / 3, 4 / 3, 2 / 3], rtol=1e-6)


def test_the_plain_objective_is_what_keras_computes():
    made = objective("classification", "cross_entropy(label_smoothing=0.1)", penalty="l2(l2=0.3)")
    plain = keras.Model(made.network.input, made.network.output)
    plain.compile("sgd", losses.get("cross_entropy(label_smoothing=0.1)"))
    ours, theirs = (float(m.compute_loss(None, TARGETS, LOGITS)) for m in (made, plain))
    assert ours == theirs > 0


def test_unknown_class_weights():
    with pytest.raises(UserError, match=r"Unknown class_weights 'max'\. Available: none, balanced"):
        objective("classification(class_weights='max')")
