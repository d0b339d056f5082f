import keras
import numpy as np
import pytest

from fer_tf.metrics.classification import macro_f1
from fer_tf.metrics.macro_f1 import MacroF1


def case(n=64, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    targets, logits = rng.dirichlet(np.ones(classes), n).astype("float32"), rng.normal(size=(n, classes))
    targets[:, 4], logits[:, 4] = 0, -9  # a class that never occurs
    return targets, logits.astype("float32")


def test_equals_the_numpy_function_over_batches():
    targets, logits = case()
    metric = MacroF1(5)
    assert float(metric.result()) == 0
    for start in range(0, 64, 20):
        metric.update_state(targets[start : start + 20], logits[start : start + 20])
    assert float(metric.result()) == pytest.approx(macro_f1(targets.argmax(1), logits.argmax(1), 5), rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_a_weight_of_zero_leaves_a_face_out():
    targets, logits = case()
    weights = (np.arange(64) % 2).astype("float32")
    metric = MacroF1(5)
    metric.update_state(targets, logits, sample_weight=weights)
    kept = weights > 0
    assert float(metric.result()) == pytest.approx(
        macro_f1(targets[kept].argmax(1), logits[kept].argmax(1), 5), rel=1e-5
    )


def test_works_in_compile_and_is_serialisable():
    targets, logits = case()
    model = keras.Sequential([keras.Input((5,)), keras.layers.Rescaling(1.0)])
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=[MacroF1(5)])
    found = model.evaluate(logits, targets, batch_size=10, verbose=0, return_dict=True)["macro_f1"]
    assert found == pytest.approx(macro_f1(targets.argmax(1), logits.argmax(1), 5), rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(MacroF1(5, name="f")))
    assert (again.num_classes, again.name) == (5, "f")
