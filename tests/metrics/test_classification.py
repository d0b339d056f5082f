import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from fer_tf import metrics
from fer_tf.errors import UserError


def case(seed, absent=()):
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 6, 80), rng.integers(0, 6, 80)
    for k, side in absent:
        (labels if side == "true" else predicted)[(labels if side == "true" else predicted) == k] = (k + 1) % 6
    return labels, predicted


CASES = {
    "all": (),
    "one missing": ((2, "true"),),
    "one never predicted": ((3, "predicted"),),
    "one nowhere": ((4, "true"), (4, "predicted")),
}


@pytest.mark.parametrize("absent", CASES.values(), ids=CASES)
def test_equals_scikit_learn(absent):
    labels, predicted = case(0, absent)
    confusion = metrics.confusion_matrix(labels, predicted, 6)
    np.testing.assert_array_equal(confusion, reference.confusion_matrix(labels, predicted, labels=range(6)))
    macro = reference.f1_score(labels, predicted, average="macro")
    assert np.nanmean(metrics.f1(confusion)) == pytest.approx(macro)
    per_class = reference.precision_recall_fscore_support(labels, predicted, labels=range(6), zero_division=np.nan)
    np.testing.assert_allclose(metrics.precision(confusion), per_class[0])
    np.testing.assert_allclose(metrics.recall(confusion), per_class[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted and never true
        balanced = reference.balanced_accuracy_score(labels, predicted)
    assert np.nanmean(metrics.recall(confusion)) == pytest.approx(balanced)


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [([0, 3], [0, 1], "Row 1 of labels is 3"), ([0, 1], [-1, 1], "Row 0 of predicted is -1"),
     ([0], [0, 1], "one shape"), ([], [], "N > 0")],
)  # fmt: skip
def test_mistakes(labels, predicted, message):
    with pytest.raises(UserError, match=message):
        metrics.confusion_matrix(np.array(labels, int), np.array(predicted, int), 3)
