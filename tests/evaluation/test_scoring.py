import json

import numpy as np
import pytest

from fer_tf import evaluation
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import FER2013, LabelSet, one_hot

THREE = LabelSet("three", ("a", "b", "c"))
KEYS = {
    "faces", "accuracy", "macro_f1", "balanced_accuracy", "nll", "ece", "brier", "chebyshev", "clark", "canberra", "kl",
    "cosine", "intersection", "classes", "recall", "precision", "confusion",
}  # fmt: skip


def test_by_hand():
    targets = one_hot([0, 0, 1, 1], 3)
    probabilities = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25]])
    found = evaluation.scores(np.log(probabilities) + 3, targets, THREE)
    assert set(found) == KEYS
    assert found["faces"] == 4 and found["accuracy"] == 0.75
    assert found["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found["recall"] == {"a": 0.5, "b": 1.0, "c": None}
    assert found["precision"] == {"a": 1.0, "b": 2 / 3, "c": None}
    assert found["balanced_accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["nll"] == pytest.approx((3 * np.log(2) + np.log(4)) / 4)
    assert found["kl"] == pytest.approx(found["nll"])
    assert found["brier"] == pytest.approx((3 * 0.375 + 0.875) / 4)
    assert found["ece"] == pytest.approx(0.25)
    assert found["chebyshev"] == pytest.approx((3 * 0.5 + 0.75) / 4)
    assert found["intersection"] == pytest.approx((3 * 0.5 + 0.25) / 4)


def test_a_class_that_is_predicted_and_never_true_counts_in_macro_f1_alone():
    found = evaluation.scores(np.eye(3)[[0, 0, 2]], one_hot([0, 0, 1], 3), THREE)
    assert found["recall"] == {"a": 1.0, "b": 0.0, "c": None} and found["balanced_accuracy"] == 0.5
    assert found["precision"] == {"a": 1.0, "b": None, "c": 0.0} and found["macro_f1"] == pytest.approx(1 / 3)


def test_a_table_brings_targets_and_names():
    n = 6
    table = FaceTable(
        targets=one_hot(range(n), 7), label_set=FER2013, split=np.full(n, "test"),
        ids=np.arange(n).astype(str), images=np.zeros((n, 4, 4, 1), np.uint8),
    )  # fmt: skip
    logits = np.random.default_rng(0).normal(size=(n, 7)).astype(np.float32)
    assert evaluation.scores(logits, table) == evaluation.scores(logits, table.targets, FER2013)
    assert evaluation.scores(logits, table)["classes"] == list(FER2013.classes)


def test_is_strict_json_even_at_extreme_logits():
    logits = np.array([[1e4, -1e4, 0], [0, 1e4, -1e4]], np.float32)
    found = evaluation.scores(logits, one_hot([1, 1], 3), THREE)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["nll"] == 1e4


@pytest.mark.parametrize(
    ("logits", "targets", "label_set", "message"),
    [
        (np.zeros((2, 3)), one_hot([0, 1], 3), None, "label_set"),
        (np.zeros((2, 4)), one_hot([0, 1], 3), THREE, r"must both be \(N, 3\)"),
        (np.zeros((3, 3)), one_hot([0, 1], 3), THREE, r"must both be \(N, 3\)"),
        (np.array([[0, 0, 0], [0, np.nan, 0]]), one_hot([0, 1], 3), THREE, "row 1 are not finite"),
        (np.zeros((0, 3)), np.zeros((0, 3)), THREE, "N > 0"),
    ],
)
def test_mistakes(logits, targets, label_set, message):
    with pytest.raises(UserError, match=message):
        evaluation.scores(logits, targets, label_set)
