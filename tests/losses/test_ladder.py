"""The ladder that every row of LOSSES climbs, and the hand values and limits of each."""

import json
import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from fer_tf import losses
from fer_tf.errors import UserError
from fer_tf.losses import cross_entropy, focal, jensen_shannon, kl, multi_target

CALLS = [*losses.LOSSES, "cross_entropy(label_smoothing=0.1)", "focal(gamma=0.5)"]
FUNCTIONS = [cross_entropy, kl, jensen_shannon, multi_target, focal]


def random_case(n=6, classes=5, seed=0):
    """Targets with zeros in them (the first row one-hot), and logits."""
    rng = np.random.default_rng(seed)
    targets = rng.dirichlet(np.ones(classes), n) * (rng.uniform(size=(n, classes)) > 0.4)
    targets[:, 0] += 1e-3
    targets[0] = np.eye(classes)[2]
    return (targets / targets.sum(axis=1, keepdims=True)).astype("float32"), rng.normal(0, 2, (n, classes)).astype(
        "float32"
    )


def unreduced(call, targets, logits):
    loss = losses.get(call, reduction=None)
    return np.asarray(loss(targets, logits))


def log(*rows):
    with np.errstate(divide="ignore"):
        return np.log(np.array(rows, "float32"))


def test_get_builds_call_strings_and_passes_losses_through():
    loss = losses.JensenShannon()
    assert losses.get(loss) is loss
    assert losses.get("focal(gamma=1)").get_config() == losses.Focal(gamma=1).get_config()
    for wrong in (3, None):
        with pytest.raises(UserError, match="Expected a call string such as 'kl'"):
            losses.get(wrong)
    with pytest.raises(UserError, match="without more keywords"):
        losses.get(loss, name="other")


# Hand values: t = (.5, .5, 0), p = (.5, .25, .25)
HALF, QUARTER = math.log(2), math.log(4)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (cross_entropy, 0.5 * HALF + 0.5 * QUARTER),
        (kl, 0.5 * HALF),
        # m = (.5, .375, .125): ½(½·0 + ½ ln 4/3) + ½(½·0 + ¼ ln 2/3 + ¼ ln 2)
        (jensen_shannon, 0.25 * math.log(4 / 3) + 0.125 * math.log(2 / 3) + 0.125 * math.log(2)),
        (multi_target, HALF),
        (focal, 0.5 * 0.25 * HALF + 0.5 * 0.5625 * QUARTER),
    ],
)
def test_hand_values(function, expected):
    value = function(np.array([[0.5, 0.5, 0]], "float32"), log([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(np.asarray(value), [expected], rtol=1e-6)


def test_label_smoothing_by_hand():
    value = cross_entropy(np.array([[1, 0]], "float32"), log([0.5, 0.25]), label_smoothing=0.2)
    np.testing.assert_allclose(np.asarray(value), [0.9 * HALF + 0.1 * QUARTER], rtol=1e-6)
    t, z = random_case()
    smoothed = unreduced("cross_entropy(label_smoothing=0.3)", t, z)
    np.testing.assert_allclose(smoothed, unreduced("cross_entropy", 0.7 * t + 0.3 / 5, z), rtol=1e-5)


def test_cross_entropy_equals_that_of_keras():
    t, z = random_case()
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)(t, z)
    np.testing.assert_allclose(unreduced("cross_entropy", t, z), np.asarray(expected), rtol=1e-5)


def test_limits():
    t, z = random_case(n=20)
    hard = np.eye(5, dtype="float32")[t.argmax(axis=1)]
    entropy = -np.sum(np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0), axis=1)
    ce = unreduced("cross_entropy", t, z)
    np.testing.assert_allclose(unreduced("kl", t, z), ce - entropy, atol=1e-5)
    np.testing.assert_allclose(unreduced("kl", hard, z), unreduced("cross_entropy", hard, z), rtol=1e-5)
    np.testing.assert_allclose(unreduced("focal(gamma=0)", t, z), ce, rtol=1e-5)
    sure = 3 * hard + 0.1 * z  # the right class is the most probable one
    np.testing.assert_allclose(unreduced("multi_target", hard, sure), unreduced("cross_entropy", hard, sure), rtol=1e-5)


@pytest.mark.parametrize("name", ["kl", "jensen_shannon"])
def test_divergences_are_zero_where_equal_and_only_there(name):
    t = np.random.default_rng(1).dirichlet(np.ones(6), 8).astype("float32")
    np.testing.assert_allclose(unreduced(name, t, np.log(t)), 0, atol=1e-6)
    assert (unreduced(name, t, np.log(t)[::-1].copy()) > 1e-3).all()


def test_jensen_shannon_is_symmetric_and_bounded():
    a, b = (np.random.default_rng(s).dirichlet(np.ones(6), 8).astype("float32") for s in (1, 2))
    there, back = (np.asarray(jensen_shannon(x, np.log(y))) for x, y in ((a, b), (b, a)))
    np.testing.assert_allclose(there, back, rtol=1e-5)
    one, other = np.eye(4, dtype="float32")[[0]], log([0, 1, 0, 0])
    np.testing.assert_allclose(np.asarray(jensen_shannon(one, other)), [math.log(2)], rtol=1e-6)


def test_jensen_shannon_equals_that_of_scipy():
    from scipy.spatial.distance import jensenshannon

    t, z = random_case(n=12)
    p = np.exp(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    np.testing.assert_allclose(unreduced("jensen_shannon", t, z), jensenshannon(t, p, axis=1) ** 2, atol=2e-6)


def test_multi_target_takes_the_best_allowed_class():
    allowed = np.array([[0.4, 0.6, 0.0, 0.0]], "float32")
    np.testing.assert_allclose(
        np.asarray(multi_target(allowed, log([0.3, 0.2, 0.4, 0.1]))), [-math.log(0.3)], rtol=1e-5
    )
    # A forbidden class wins only when it is a thousand times more probable.
    value = np.asarray(multi_target(allowed, log([1e-5, 1e-5, 0.99, 0.00998])))
    np.testing.assert_allclose(value, [-math.log(0.001 * 0.99)], rtol=1e-5)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_zero_targets_are_exact_against_probabilities_of_zero(function):
    """Classes of target 0 count nothing even at log p = −∞, and leave no NaN in the gradient."""
    targets = tf.constant([[0.0, 1.0, 0.0]])
    x = tf.constant(log([0.0, 0.5, 0.5]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(targets, x)
    gradient = tape.gradient(value, x)
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    assert gradient[0, 1] != 0


@pytest.mark.parametrize("call", CALLS)
def test_batch_equals_singles(call):
    t, z = random_case()
    singles = [unreduced(call, t[i : i + 1], z[i : i + 1])[0] for i in range(len(t))]
    np.testing.assert_allclose(unreduced(call, t, z), singles, rtol=1e-5, atol=1e-6)
    assert float(losses.get(call)(t, z)) == pytest.approx(np.mean(singles), rel=1e-5)


@pytest.mark.parametrize("call", CALLS)
def test_order_of_faces_and_of_classes_does_not_matter(call):
    t, z = random_case()
    faces, classes = np.random.default_rng(5).permutation(6), np.random.default_rng(6).permutation(5)
    expected = unreduced(call, t, z)
    np.testing.assert_allclose(unreduced(call, t[faces], z[faces]), expected[faces], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(unreduced(call, t[:, classes], z[:, classes]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("call", CALLS)
def test_a_constant_added_to_the_logits_changes_nothing(call):
    t, z = random_case()
    np.testing.assert_allclose(unreduced(call, t, z + 7), unreduced(call, t, z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("call", CALLS)
def test_sample_weights_weigh_faces(call):
    t, z = random_case()
    each = unreduced(call, t, z)
    weights = np.arange(6, dtype="float32")
    assert float(losses.get(call)(t, z, sample_weight=weights)) == pytest.approx((each * weights).sum() / 6, rel=1e-4)


def extreme_cases():
    one_hot = np.eye(4, dtype="float32")
    logits = np.array([[1e4, -1e4, 0, 0], [-1e4, 1e4, 0, 0], [0, 0, 0, 0], [1e4, 1e4, -1e4, -1e4]], "float32")
    return np.concatenate([one_hot, np.full((4, 4), 0.25, "float32")]), np.concatenate([logits, logits])


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("case", [random_case, extreme_cases])
def test_values_and_gradients_are_finite(call, case):
    t, z = case()
    x = tf.constant(z)
    loss = losses.get(call, reduction=None)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(t, x)
    gradient = tape.gradient(value, x).numpy()
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    if case is random_case:
        assert (np.abs(gradient).max(axis=1) > 0).all()


@pytest.mark.parametrize("call", CALLS)
def test_gradient_equals_finite_differences(call):
    t, z = random_case()
    x = tf.constant(z, tf.float64)
    row, _ = losses.LOSSES.resolve(call)
    loss = losses.get(call)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(loss.call(tf.constant(t, tf.float64), x))
    gradient = tape.gradient(value, x).numpy()
    for i, j in ((0, 2), (1, 0), (3, 4)):
        step = np.zeros_like(z, np.float64)
        step[i, j] = 1e-5
        up, down = (float(np.sum(loss.call(tf.constant(t, tf.float64), x + s))) for s in (step, -step))
        assert gradient[i, j] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-7), row.name


@pytest.mark.parametrize("call", CALLS)
def test_survives_serialisation(call):
    loss = losses.get(call)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()


@pytest.mark.parametrize("call", ["cross_entropy(label_smoothing=1.0)", "cross_entropy(label_smoothing=-0.1)",
                                  "focal(gamma=-1)", "hinge", "kl(alpha=1)"])  # fmt: skip
def test_a_mistake_is_a_user_error(call):
    with pytest.raises(UserError):
        losses.get(call)


ON_JAX = """
import json, sys
import jax, numpy as np
from fer_tf import losses
calls, cases = json.load(sys.stdin)
def each(call, t, z):
    loss = losses.get(call, reduction=None)
    value, pull = jax.vjp(lambda x: loss(np.float32(t), x), np.float32(z))
    return np.asarray(value).tolist(), np.asarray(pull(np.ones(len(t), "float32"))[0]).tolist()
print(json.dumps([[each(call, t, z) for t, z in cases] for call in calls]))
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_jax_gives_the_same_values_and_gradients():
    pytest.importorskip("jax")
    cases = [random_case(), extreme_cases()]
    given = json.dumps([CALLS, [[t.tolist(), z.tolist()] for t, z in cases]])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX], input=given, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for call, on_jax in zip(CALLS, json.loads(done.stdout), strict=True):
        loss = losses.get(call, reduction=None)
        for (t, z), (value, gradient) in zip(cases, on_jax, strict=True):
            x = tf.constant(z)
            with tf.GradientTape() as tape:
                tape.watch(x)
                here = loss(t, x)
            np.testing.assert_allclose(here, value, rtol=1e-5, atol=1e-6, err_msg=call)
            np.testing.assert_allclose(tape.gradient(here, x), gradient, rtol=1e-4, atol=1e-6, err_msg=call)
