"""Averages of the iterates, by hand, and what evaluation may touch."""

import keras
import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.training import averaging, optimizers
from fer_tf.training.averaging import averaged_weights, recalibrated_batch_norm
from fer_tf.training.optimizer_mixin import batch_repeats


def numpy(values):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in values]


def iterates_and_average(text, steps, total_steps=None, **keywords):
    """Descend with gradient 1 and rate 1 from 0: the iterates are −1, −2, …; return the last average."""
    weights = keras.Variable(np.zeros(1, "float32"))
    optimizer = optimizers.get("sgd(momentum=0)", 1.0, averaging=text, total_steps=total_steps, **keywords)
    for _ in range(steps):
        optimizer.apply([keras.ops.ones((1,))], [weights])
    assert weights.numpy().item() == -steps
    return averaging.evaluation_values(optimizer)[id(weights)].item()


def test_swa_is_the_mean_of_the_last_quarter():
    # 8 steps: the average holds iterates 7 and 8.
    assert iterates_and_average("swa(start=0.75)", 8, 8) == -7.5
    assert iterates_and_average("swa(start=0.0)", 4, 4) == -2.5


def test_swa_is_the_weights_themselves_before_it_starts():
    assert [iterates_and_average("swa(start=0.75)", n, 8) for n in (1, 5, 6, 7)] == [-1, -5, -6, -7]


def test_ema_without_warm_up_begins_with_a_copy():
    # −1; 0.75·(−1) + 0.25·(−2) = −1.25; 0.75·(−1.25) + 0.25·(−3) = −1.6875.
    assert [iterates_and_average("ema(decay=0.75, warmup=False)", n) for n in (1, 2, 3)] == [-1, -1.25, -1.6875]


def test_ema_warms_up():
    # Shares 1, 10/11, 10/12, … until 1 − decay is larger.
    expected = [-1.0, -1 / 11 - 20 / 11]
    assert [iterates_and_average("ema(decay=0.999)", n) for n in (1, 2)] == pytest.approx(expected)
    assert iterates_and_average("ema(decay=0.05)", 2) == pytest.approx(-0.05 - 0.95 * 2)


def test_asgd_averages_the_second_half():
    weights = keras.Variable(np.zeros(1, "float32"))
    optimizer = optimizers.get("asgd", 1.0, total_steps=4)
    for _ in range(4):
        optimizer.apply([keras.ops.ones((1,))], [weights])
    assert averaging.evaluation_values(optimizer)[id(weights)].item() == -3.5


def network(batch_norm=True, dropout=0.5):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,)), keras.layers.Dense(5)]
    layers += [keras.layers.BatchNormalization(momentum=0.9)] if batch_norm else []
    return keras.Sequential([*layers, keras.layers.Dropout(dropout), keras.layers.Dense(2)])


def fitted(
    averages="ema(decay=0.9)", text="nesterov", epochs=2, callbacks=(), jit_compile=False, dropout=0.5, **keywords
):
    model = network(dropout=dropout)
    keywords = {"averaging": averages, "total_steps": 4 * epochs, **keywords}
    model.compile(optimizers.get(text, 0.05, **keywords), "mse", jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 4)).astype("float32")
    model.fit(x, x[:, :2], batch_size=4, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model, x


CHOICES = [
    ("ema(decay=0.9)", "nesterov", {}),
    ("swa(start=0.5)", "adam", {}),
    (None, "asgd", {}),
    (None, "schedule_free_adamw", {}),
    ("swa(start=0.25)", "sgd", {"sharpness": 0.05}),
]


@pytest.mark.parametrize(("averages", "text", "keywords"), CHOICES)
def test_averaged_weights_are_lent_and_given_back_bit_by_bit(averages, text, keywords):
    model, _ = fitted(averages, text, **keywords)
    weights, state = numpy(model.variables), numpy(model.optimizer.variables)
    with averaged_weights(model, model.optimizer):
        values = averaging.evaluation_values(model.optimizer)
        inside = numpy(model.trainable_variables)
    assert any((a != b).any() for a, b in zip(inside, numpy(model.trainable_variables), strict=True))
    if text != "schedule_free_adamw":
        assert len(values) == len(model.trainable_variables)
    for before, after in zip(weights + state, numpy(model.variables) + numpy(model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_weights_come_back_after_an_error():
    model, _ = fitted()
    weights = numpy(model.variables)
    with pytest.raises(RuntimeError), averaged_weights(model, model.optimizer):
        raise RuntimeError
    for before, after in zip(weights, numpy(model.variables), strict=True):
        np.testing.assert_array_equal(before, after)


def test_nothing_happens_without_an_average():
    model, x = fitted(None)
    weights = numpy(model.variables)
    with averaged_weights(model, model.optimizer), recalibrated_batch_norm(model, model.optimizer, iter([x])):
        for before, inside in zip(weights, numpy(model.variables), strict=True):
            np.testing.assert_array_equal(before, inside)


def test_fit_leaves_the_trained_weights_in_the_network():
    plain, _ = fitted(None)
    for text in ("ema(decay=0.9)", "swa(start=0.0)"):
        averaged, _ = fitted(text)
        for a, b in zip(plain.get_weights(), averaged.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_evaluating_in_a_callback_does_not_change_training():
    class Peek(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            model = self.model
            with averaged_weights(model, model.optimizer), recalibrated_batch_norm(model, model.optimizer, [inputs]):
                peeked.append(numpy(model.trainable_variables)[0])

    peeked, inputs = [], np.ones((3, 4), "float32")
    watched, _ = fitted(callbacks=[Peek()])
    alone, _ = fitted()
    assert len(peeked) == 2 and (peeked[0] != peeked[1]).any()
    for a, b in zip(numpy(watched.variables), numpy(alone.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(numpy(watched.optimizer.variables), numpy(alone.optimizer.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_recalibration_averages_over_images_and_restores():
    model, x = fitted()
    before = numpy(model.variables)
    batches = [x[:8], x[8:12], x[12:16]]
    kernel, bias = model.layers[0].get_weights()
    hidden = [batch @ kernel + bias for batch in batches]
    with recalibrated_batch_norm(model, model.optimizer, batches):
        norm = model.layers[1]
        mean = sum(w * h.mean(0) for w, h in zip((0.5, 0.25, 0.25), hidden, strict=True))
        variance = sum(w * h.var(0) for w, h in zip((0.5, 0.25, 0.25), hidden, strict=True))
        np.testing.assert_allclose(norm.moving_mean.numpy(), mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(norm.moving_variance.numpy(), variance, rtol=1e-4)
        assert norm.momentum == 0.9
    for old, new in zip(before, numpy(model.variables), strict=True):
        np.testing.assert_array_equal(old, new)


def test_recalibration_reads_no_batch_when_there_is_no_batch_norm():
    model = network(batch_norm=False)
    batches = iter([np.ones((2, 4))])
    with recalibrated_batch_norm(model, optimizers.get("sgd", 0.1, averaging="ema"), batches):
        assert len(list(batches)) == 1


def test_batch_norm_is_found_in_nested_networks():
    inner = network()
    outer = keras.Sequential([keras.Input((4,)), inner])
    optimizer = optimizers.get("sgd", 0.1, averaging="ema")
    with recalibrated_batch_norm(outer, optimizer, [np.full((2, 4), 3.0, "float32")]):
        assert inner.layers[1].moving_variance.numpy().max() == pytest.approx(0, abs=1e-6)


def test_before_the_first_step_the_weights_are_evaluated():
    model = network()
    for keywords in ({"averaging": "ema"}, {"averaging": "ema", "sharpness": 0.1}):
        optimizer = optimizers.get("sgd", 0.1, **keywords)
        assert averaging.evaluation_values(optimizer) == {}
        optimizer.build(model.trainable_variables)
        assert averaging.evaluation_values(optimizer) == {}


@pytest.mark.slow
def test_xla_takes_the_same_steps():
    # Without dropout: on TensorFlow XLA draws other random numbers.
    keywords = {"averages": "ema(decay=0.9)", "text": "sgd", "sharpness": 0.05, "dropout": 0.0}
    plain, _ = fitted(**keywords)
    compiled, _ = fitted(**keywords, jit_compile=True)
    for model in (plain, compiled):
        assert int(model.optimizer.iterations) == 4
    with averaged_weights(plain, plain.optimizer), averaged_weights(compiled, compiled.optimizer):
        for a, b in zip(plain.get_weights(), compiled.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_keras_loss_scaling_hides_nothing():
    scaled = keras.optimizers.LossScaleOptimizer(optimizers.get("sgd", 0.1, averaging="ema", sharpness=0.1))
    assert averaging.evaluates_elsewhere(scaled) and batch_repeats(scaled) == 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("ema(decay=1.0)", "decay must be"),
        ("ema(momentum=0.9)", "takes no 'momentum'"),
        ("swa(start=1.0)", "start must be"),
        ("swa(start=0.5)", "total_steps"),
    ],
)
def test_mistakes(text, part):
    with pytest.raises(UserError, match=part):
        optimizers.get("sgd", 0.1, averaging=text)
