"""Keras metrics over batches against functions of the whole: scikit-learn's F1 and our calibration error."""

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from fer_tf import metrics
from fer_tf.errors import UserError


def case(n=64, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    targets, logits = rng.dirichlet(np.ones(classes), n).astype("float32"), rng.normal(size=(n, classes))
    targets[:, 4], logits[:, 4] = 0, -9  # a class that never occurs
    return targets, logits.astype("float32")


def macro_f1(targets, logits):
    return f1_score(targets.argmax(1), logits.argmax(1), average="macro")


def calibration_error(targets, logits):
    return metrics.expected_calibration_error(targets, metrics.softmax(logits))


CASES = [("macro_f1(num_classes=5)", macro_f1), ("expected_calibration_error", calibration_error)]


@pytest.mark.parametrize(("call", "whole"), CASES)
def test_batches_give_the_value_of_the_whole(call, whole):
    targets, logits = case()
    metric = metrics.get(call)
    assert float(metric.result()) == 0
    for start in range(0, 64, 20):
        metric.update_state(targets[start : start + 20], logits[start : start + 20])
    assert float(metric.result()) == pytest.approx(whole(targets, logits), rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize(("call", "whole"), CASES)
def test_a_weight_of_zero_leaves_a_face_out(call, whole):
    targets, logits = case()
    kept = np.arange(64) % 2 == 1
    metric = metrics.get(call)
    metric.update_state(targets, logits, sample_weight=kept.astype("float32"))
    assert float(metric.result()) == pytest.approx(whole(targets[kept], logits[kept]), rel=1e-5)


@pytest.mark.parametrize(("call", "whole"), CASES)
def test_works_in_compile_and_is_serializable(call, whole):
    targets, logits = case()
    model = keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(1.0)])
    metric = metrics.get(call)
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=[metric])
    found = model.evaluate(logits, targets, batch_size=10, verbose=0, return_dict=True)[metric.name]
    assert found == pytest.approx(whole(targets, logits), rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()


def test_probabilities_and_the_borders_of_bins():
    metric = metrics.ExpectedCalibrationError(bins=4, from_logits=False)
    # 0.5 belongs to the second bin (0.25, 0.5], 1 to the last, and a confidence of 0 to the first.
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]], "float32")
    targets = np.array([[1, 0], [0, 1], [1, 0]], "float32")
    metric.update_state(targets, probabilities)
    assert float(metric.result()) == pytest.approx((0.5 + 1 + 1) / 3)


def test_get_passes_metrics_through_and_refuses_the_rest():
    metric = metrics.MacroF1(3)
    assert metrics.get(metric) is metric
    for wrong, message in ((None, "Expected a call string"), ("macro_f2", "Unknown metric 'macro_f2'"),
                           ("expected_calibration_error(bins=0)", "bins must be at least 1")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            metrics.get(wrong)
