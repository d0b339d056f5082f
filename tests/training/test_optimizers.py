"""Optimizers against torch (constants computed with torch 2.13 in float64) and by hand."""

import keras
import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.training import optimizers
from fer_tf.training.averaging import evaluates_elsewhere
from fer_tf.training.optimizers import OPTIMIZERS

CURVATURE = np.array([1.0, 4.0, 10.0], "float32")
BOTTOM = np.array([2.0, -1.0, 0.5], "float32")
START = [1.0, -0.5, 0.25]


def walk(optimizer, steps=5):
    """Return the weights after ``steps`` on ½·Σ curvature·(w − bottom)²."""
    weights = keras.Variable(np.array(START, "float32"))
    for _ in range(steps):
        optimizer.apply([CURVATURE * (keras.ops.convert_to_tensor(weights) - BOTTOM)], [weights])
    return keras.ops.convert_to_numpy(weights)


def step_once(optimizer, weights, gradient):
    variable = keras.Variable(np.array(weights, "float32"))
    optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, "float32"))], [variable])
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.parametrize(
    ("text", "rate", "expected"),
    [
        ("sgd", 0.05, [1.5181736, -1.259906, 0.61970011]),
        ("nesterov", 0.05, [1.6027995, -1.1746858, 0.49638412]),
        ("adam", 0.3, [2.1921889, -1.2368464, 0.44502381]),
        ("adam(beta_2=0.5)", 0.3, [2.3473547, -1.248511, 0.40801946]),
        ("amsgrad(beta_2=0.5)", 0.3, [2.1226799, -1.2271471, 0.46101812]),
        ("adagrad", 0.3, [1.6867056, -0.97049203, 0.49512693]),
        ("adadelta", 1.0, [1.0163543, -0.51629745, 0.26616868]),
    ],
)
def test_five_steps_with_coupled_decay_as_in_torch(text, rate, expected):
    np.testing.assert_allclose(walk(optimizers.get(text, rate, l2=0.1)), expected, rtol=2e-5)


def test_five_steps_of_adamw_as_in_torch():
    walked = walk(optimizers.get("adamw", 0.3, weight_decay=0.1))
    np.testing.assert_allclose(walked, [2.128087, -1.2244295, 0.43639955], rtol=2e-5)


def test_coupled_decay_by_hand():
    # SGD: w − lr·(g + l2·w) = 2 − 0.1·(1 + 0.5·2); Adam's first step is lr·sign(g + l2·w).
    assert step_once(optimizers.get("sgd", 0.1, l2=0.5), [2.0], [1.0]) == pytest.approx(1.8)
    np.testing.assert_allclose(step_once(optimizers.get("adam", 0.1, l2=1.0), [2.0], [-1.0]), [1.9], rtol=1e-5)


def test_decoupled_decay_by_hand():
    # SGD: the same as coupled, w·(1 − lr·wd) − lr·g. Adam: the decay does not turn the step round, 2·(1 − 0.1) + 0.1.
    assert step_once(optimizers.get("sgd", 0.1, weight_decay=0.5), [2.0], [1.0]) == pytest.approx(1.8)
    walked = step_once(optimizers.get("adamw", 0.1, weight_decay=1.0), [2.0], [-1.0])
    np.testing.assert_allclose(walked, [1.9], rtol=1e-5)
    walked = step_once(optimizers.get("adamw", 0.1, weight_decay=2.0), [2.0], [-1.0])
    np.testing.assert_allclose(walked, [1.7], rtol=1e-5)
    np.testing.assert_allclose(step_once(optimizers.get("adam", 0.1, l2=2.0), [2.0], [-1.0]), [1.9], rtol=1e-5)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_without_decay_a_zero_gradient_moves_nothing(name):
    model = small_model()
    optimizer = optimizers.get(name, 0.1, total_steps=4)
    before = model.get_weights()
    for _ in range(2):
        optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("decay", ["l2", "weight_decay"])
def test_decay_reaches_every_variable(name, decay):
    model = small_model()
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    optimizer = optimizers.get(name, 0.1, total_steps=4, **{decay: 0.1})
    for _ in range(2):
        optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:
        assert (keras.ops.convert_to_numpy(variable) < 1).all(), variable.path


def test_clipping_comes_before_the_coupled_decay():
    # Norm 5 becomes 1: (0.6, 0.8); the decay 0.5·(2, 2) joins unclipped.
    walked = step_once(optimizers.get("sgd", 0.1, l2=0.5, clipnorm=1.0), [2.0, 2.0], [3.0, 4.0])
    np.testing.assert_allclose(walked, [2 - 0.16, 2 - 0.18], rtol=1e-6)


def test_clipping_per_variable_over_all_and_per_element():
    def stepped(**clip):
        pair = [keras.Variable([0.0]), keras.Variable([0.0])]
        gradients = [keras.ops.convert_to_tensor([3.0]), keras.ops.convert_to_tensor([4.0])]
        optimizers.get("sgd(momentum=0)", 1.0, **clip).apply(gradients, pair)
        return [-keras.ops.convert_to_numpy(v).item() for v in pair]

    assert stepped(clipnorm=3.5) == pytest.approx([3.0, 3.5])
    assert stepped(global_clipnorm=1.0) == pytest.approx([0.6, 0.8])
    assert stepped(clipvalue=0.1) == pytest.approx([0.1, 0.1])


def small_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))


def faces(n=24):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return (rng.random((n, 6, 6, 1)) + labels[:, None, None, None]).astype("float32"), np.eye(3, dtype="float32")[
        labels
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_row_lowers_the_loss_in_fit(name):
    model, rate = small_model(), OPTIMIZERS[name].facts["learning_rate"]
    optimizer = optimizers.get(name, rate * 3, l2=1e-4, total_steps=30)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    x, y = faces()
    losses = model.fit(x, y, batch_size=8, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_facts_tell_the_truth(name):
    facts = OPTIMIZERS[name].facts
    assert facts["decay"] in ("coupled", "decoupled") and facts["learning_rate"] > 0
    assert facts["averages"] == evaluates_elsewhere(optimizers.get(name, 0.1, total_steps=9))


def test_seven_rows_are_the_studys():
    study = {name for name in OPTIMIZERS if "study_learning_rate" in OPTIMIZERS[name].facts}
    assert study == {"sgd", "nesterov", "asgd", "adam", "amsgrad", "adagrad", "adadelta"}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_config_round_trip(name):
    optimizer = optimizers.get(name, 0.125, l2=0.5, clipvalue=0.1, total_steps=8, sharpness=0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.inner_optimizer.l2 == 0.5 and again.rho == 0.25


STATES = [(name, {}) for name in OPTIMIZERS]
STATES += [("nesterov", {"sharpness": 0.05, "averaging": "ema"}), ("sgd", {"averaging": "swa(start=0.5)"})]


@pytest.mark.parametrize(("name", "more"), STATES)
def test_the_state_is_all_in_the_variables(name, more):
    def gradients(model, seed):
        rng = np.random.default_rng(seed)
        return [
            keras.ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32")) for v in model.trainable_variables
        ]

    def make():
        model = small_model()
        optimizer = optimizers.get(name, 0.01, total_steps=8, **more)
        optimizer.build(model.trainable_variables)
        return model, optimizer

    (model, optimizer), (other, resumed) = make(), make()
    for seed in range(3):
        optimizer.apply(gradients(model, seed), model.trainable_variables)
    for a, b in zip(optimizer.variables, resumed.variables, strict=True):
        b.assign(keras.ops.convert_to_numpy(a))
    other.set_weights(model.get_weights())
    for seed in range(3, 7):
        optimizer.apply(gradients(model, seed), model.trainable_variables)
        resumed.apply(gradients(other, seed), other.trainable_variables)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(optimizer.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


@pytest.mark.parametrize(
    ("text", "keywords", "part"),
    [
        ("sdg", {}, "Unknown optimizer 'sdg'"),
        ("sgd(momentun=0.9)", {}, "takes no 'momentun'"),
        ("sgd(learning_rate=0.1)", {}, "takes no 'learning_rate'"),
        ("sgd(momentum=2)", {}, "momentum"),
        ("sgd", {"l2": 1e-4, "weight_decay": 1e-4}, "not both"),
        ("sgd", {"l2": -1.0}, "l2 must be at least 0"),
        ("sgd", {"clipnorm": 1.0, "clipvalue": 1.0}, "only one of clipnorm, clipvalue"),
        ("sgd", {"clipnorm": 0.0}, "clipnorm must be above 0"),
        ("sgd", {"sharpness": -0.1}, "sharpness must be at least 0"),
        ("asgd", {}, "total_steps"),
        ("asgd", {"averaging": "ema", "total_steps": 9}, "averages its weights by itself"),
        ("sgd", {"averaging": "mean"}, "Unknown averaging 'mean'"),
        ("schedule_free_adamw(beta_1=0)", {}, "beta_1 must be above 0"),
    ],
)
def test_mistakes(text, keywords, part):
    with pytest.raises(UserError, match=part) as caught:
        optimizers.get(text, 0.1, **keywords)
    assert "\n" not in str(caught.value)
