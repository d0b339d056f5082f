"""What every row of MODELS promises, on a narrow copy of it."""

import functools
import inspect
import math
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from fer_tf import models, registry
from fer_tf.errors import UserError
from fer_tf.labels import LabelSet
from fer_tf.models import logits_of

SHAPES = [(64, 64, 1), (48, 48, 3), (40, 44, 1)]


# Rows of hundreds of layers: one block a stage; their own tests build them whole.
HUNDREDS = {"ghostface", "ghostnet", "efficientnet_b0", "efficientnet_b2"}


def parameters(row_name):
    """The arguments of the row's function."""
    return inspect.signature(models.MODELS[row_name].load()).parameters


def resized(row_name, **sizes):
    """The row's small configuration, with those of the sizes that its function takes."""
    name, keywords = registry.parse(models.small_configuration(row_name))
    return registry.render(name, {**keywords, **{k: v for k, v in sizes.items() if k in parameters(row_name)}})


def narrow(row_name, /, **keywords):
    """A narrow copy of the small configuration, as it was when first built: building takes longer than most tests."""
    sizes = {"width": 0.08, "depth": 1} if row_name in HUNDREDS else {"width": 0.08}
    model, weights = built(resized(row_name, **sizes), **{"num_classes": 5, "input_shape": (48, 48, 1), **keywords})
    model.set_weights(weights)
    return model


@functools.cache
def built(text, **keywords):
    model = models.get(text, **keywords)
    return model, model.get_weights()


def pixels(shape, n=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype("float32")


# Layers whose size the task sets.
HEADS = {
    "logits",
    "first_logits",
    "second_logits",
    "logits_norm",
    "alpha_score",
    "landmark_offsets",
    "region_score",
    "relation_score",
}
# Deeper rows of builders that other rows have too: the fast suite leaves them out.
DEEP = {"vgg16", "vgg19", "resnet18", "resnet18_imagenet", "ghostnet", "efficientnet_b2", "fusion"}


ROWS = [pytest.param(m, marks=pytest.mark.slow if m in DEEP else ()) for m in models.MODELS]


@pytest.fixture(params=ROWS)
def row(request):
    return models.MODELS[request.param]


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(3)
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gives_finite_logits_of_any_input_shape(row, shape):
    model = narrow(row.name, input_shape=shape)
    logits = np.asarray(logits_of(model(pixels(shape))))
    assert model.input_shape == (None, *shape)
    assert logits.shape == (4, 5) and logits.dtype == np.float32
    assert np.isfinite(logits).all()


def test_outputs_are_logits_not_probabilities(row):
    logits = np.asarray(logits_of(narrow(row.name, num_classes=20)(pixels((48, 48, 1)))))
    assert (logits < 0).any() and not np.allclose(logits.sum(axis=1), 1, atol=1e-2)


def test_default_shape_and_name_come_from_the_row(row):
    depth = ", depth=1" if row.name in HUNDREDS else ""
    model = models.get(f"{row.name}(width=0.05{depth})", num_classes=4)
    assert model.input_shape == (None, *parameters(row.name)["input_shape"].default)
    assert model.name == row.name
    assert narrow(row.name, name="mine").name == "mine"


# Trainable parameters of the published setting, which is that of the functions' defaults.
PUBLISHED = {
    "vgg": 29_890_759, "vgg13": 8_757_704, "vgg16": 14_726_727, "vgg19": 20_038_983, "resnet18": 11_172_423,
    "resnet10": 4_901_575, "scn": 11_180_616, "landmark_scn": 11_242_704, "dan": 19_723_733, "ran": 11_186_250,
    "resnet18_imagenet": 11_180_103, "ghostface": 1_278_091, "ghostnet": 5_182_508, "efficientnet_b0": 4_017_796,
    "efficientnet_b2": 7_712_266, "fusion": 31_211_511,
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(m, marks=pytest.mark.slow if m in DEEP else ()) for m in PUBLISHED])
def test_published_parameter_count(name):
    model = models.get(name)
    assert sum(np.prod(w.shape) for w in model.trainable_weights) == PUBLISHED[name]


@pytest.mark.parametrize("name", ROWS)
def test_small_configuration_takes_faces_of_fer2013(name):
    model = models.get(models.small_configuration(name), num_classes=7, input_shape=models.SMALL_SHAPE)
    assert model.input_shape == (None, 48, 48, 1) and logits_of(model.output).shape == (None, 7)
    height, width = model.get_layer(model.gradcam_layer).output.shape[1:3]
    assert height > 1 and width > 1


def test_saved_and_loaded_model_is_equal(row, tmp_path):
    model = narrow(row.name, kernel_regularizer="l2(l2=0.5)")
    x = pixels((48, 48, 1))
    model(x, training=True)  # moves the batch-norm statistics away from their start
    model.save(tmp_path / "m.keras")
    again = models.load_model(tmp_path / "m.keras")
    for ours, theirs in zip(keras.tree.flatten(model(x)), keras.tree.flatten(again(x)), strict=True):
        np.testing.assert_array_equal(np.asarray(theirs), np.asarray(ours))
    assert float(sum(again.losses)) == float(sum(model.losses))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_every_trainable_weight_gets_a_gradient(row):
    model = narrow(row.name, dropout=0.0)
    x, y = pixels((48, 48, 1), n=16), np.eye(5, dtype="float32")[np.arange(16) % 5]
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, logits_of(outputs)))
        if isinstance(outputs, dict):
            loss += sum(tf.reduce_mean(tf.square(output)) for output in outputs.values())
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before_norm = {norm.input._keras_history.operation.name for norm in norms}
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), weight.path
        # Batch-norm subtracts the bias before it, whose gradient is therefore 0 but for rounding.
        normed = weight.path.split("/")[-2] in before_norm or (norms and "_conv" in weight.path)
        if not (weight.name == "bias" and normed):
            assert np.abs(gradient).max() > 0, weight.path


def test_two_evaluations_are_equal(row):
    model, x = narrow(row.name, dropout=0.5), pixels((48, 48, 1))
    first, second, unsaid = (
        np.asarray(logits_of(model(x, **how))) for how in ({"training": False}, {"training": False}, {})
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, unsaid)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dropout_acts_in_training_only_when_asked(row, rate):
    model, x = narrow(row.name, dropout=rate), pixels((48, 48, 1))
    first, second = (np.asarray(logits_of(model(x, training=True))) for _ in range(2))
    assert np.allclose(first, second) == (rate == 0)


def check_penalty(row_name, penalty, factor):
    model = narrow(row_name, kernel_regularizer=penalty)
    kernels = [w for w in model.trainable_weights if w.name == "kernel"]
    assert len(model.losses) == len(kernels) > 0
    expected = factor * sum(float(np.square(np.asarray(w)).sum()) for w in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


def test_kernel_regularizer_acts_on_every_kernel(row):
    check_penalty(row.name, "l2(l2=0.5)", 0.5)
    assert narrow(row.name).losses == []


@pytest.mark.parametrize(
    ("penalty", "factor"), [("l2", 0.01), (keras.regularizers.L2(0.5), 0.5)], ids=["name", "object"]
)
def test_kernel_regularizer_is_a_name_or_an_object(penalty, factor):
    check_penalty("resnet10", penalty, factor)


def test_gradcam_layer_is_spatial(row):
    model = narrow(row.name, input_shape=(64, 64, 1))
    height, width = model.get_layer(model.gradcam_layer).output.shape[1:3]
    assert height > 1 and width > 1


def test_no_two_kernels_start_alike(row):
    kernels = [np.asarray(w) for w in narrow(row.name).trainable_weights if w.name == "kernel"]
    for i, a in enumerate(kernels):
        assert not any(a.shape == b.shape and np.array_equal(a, b) for b in kernels[:i])


def test_width_scales_every_hidden_layer(row):
    widths = (1.0, 0.5) if row.name in HUNDREDS else (0.25, 0.125)
    sizes = {"depth": 1} if row.name in HUNDREDS else {}
    whole, half = (models.get(resized(row.name, width=w, **sizes), num_classes=5) for w in widths)
    for a, b in zip(whole.trainable_weights, half.trainable_weights, strict=True):
        if row.name in HUNDREDS:  # their maps are rounded, and depthwise kernels end in 1
            of_fixed_size = "attention/" in a.path or a.path.startswith(("logits/", "embedding/bias"))
            assert of_fixed_size or math.prod(a.shape) > math.prod(b.shape), a.path
        elif a.path.split("/")[-2] not in HEADS:
            assert a.shape[-1] == 2 * b.shape[-1]


@pytest.mark.parametrize(
    ("call", "keywords", "message"),
    [
        ("(no_such=1)", {}, "takes no 'no_such'"),
        ("(dropout=0.1)", {"dropout": 0.2}, "set by the caller"),
        ("", {"dropout": 1.0}, "below 1"),
        ("", {"dropout": -0.1}, "below 1"),
        ("", {"input_shape": (4, 4, 1)}, "too small"),
        ("", {"input_shape": (48, 48)}, "height, width, channels"),
        ("(width=0)", {}, "width"),
        ("(depth=(1, 2))", {}, "depth"),
        ("(depth=0)", {}, "depth"),
        ("", {"kernel_regularizer": "l3"}, "kernel_regularizer"),
    ],
)
def test_a_mistake_is_a_user_error(row, call, keywords, message):
    with pytest.raises(UserError, match=message):
        models.get(f"{row.name}{call}", num_classes=5, **keywords)


def test_the_function_says_what_it_builds(row):
    function, text = row.load(), row.load().__doc__
    first = text.splitlines()[0]
    assert first.startswith("Build ") and len(first) <= 79
    for part in ("Args:", "Returns:", "Raises:", "Example:", "References:"):
        assert f"\n    {part}\n" in text, part
    named = {n for line in re.findall(r"^ {8}([a-z_]+(?:, [a-z_]+)*): ", text, re.MULTILINE) for n in line.split(", ")}
    assert named >= set(parameters(row.name))
    assert getattr(models, function.__name__) is function and parameters(row.name)["name"].default == row.name


def test_weights_of_a_file_set_classes_and_shape(row, tmp_path):
    model = narrow(row.name)
    metadata = models.ModelMetadata(LabelSet("five", tuple("abcde")), 48, model=row.name)
    models.save_model(model, tmp_path / "m.keras", metadata)
    text = registry.parse(resized(row.name, width=0.08, **({"depth": 1} if row.name in HUNDREDS else {})))
    again = row.load()(weights=tmp_path / "m.keras", **text[1])
    assert again.metadata == metadata and again.input_shape == (None, 48, 48, 1)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_for_other_classes_leave_the_head_alone():
    shipped = models.load_model("ferplus")
    model = models.ResNet10(3, weights="ferplus", width=0.5)
    assert model.input_shape == shipped.input_shape and model.output_shape == (None, 3)
    assert getattr(model, "metadata", None) is None
    for layer in shipped.layers[:-1]:
        for ours, theirs in zip(model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_weights_of_another_network_are_a_user_error():
    with pytest.raises(UserError, match=r"cannot start 'resnet10'.*another shape.*built like 'resnet10\(width=0\.5\)'"):
        models.ResNet10(weights="ferplus")
    with pytest.raises(UserError, match=r"No model 'ferpluss'\. Expected one of default, .*there is none at /"):
        models.ResNet10(weights="ferpluss")


def test_a_network_trains_with_bare_keras():
    model = models.ResNet10(num_classes=5, input_shape=(24, 24, 1), width=0.05)
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
    history = model.fit(pixels((24, 24, 1), 20), np.eye(5)[np.arange(20) % 5], epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and len(history["loss"]) == 2


def test_get_returns_a_model_as_it_is():
    model = models.ResNet10(width=0.05)
    assert models.get(model, num_classes=9) is model
    with pytest.raises(UserError, match="Expected a call string such as"):
        models.get(3)


def test_unknown_model_lists_the_known():
    known = ", ".join(sorted(models.MODELS))
    with pytest.raises(UserError, match=rf"Unknown model 'vgg17'\. Available: {known}\."):
        models.get("vgg17", num_classes=7)


# A finder, not sys.modules["tensorflow"] = None: keras.layers.Rescaling takes the mere key for an installed TensorFlow.
ON_JAX_WITHOUT_TENSORFLOW = """
import pathlib, sys
class Blocked:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import numpy as np
from fer_tf import models
folder = pathlib.Path(sys.argv[1])
for path in folder.glob("*.keras"):
    network = models.load_model(path)
    np.save(path.with_suffix(".npy"), network.predict_on_batch(np.load(folder / "pixels.npy")))
"""


@pytest.mark.slow
def test_jax_without_tensorflow_reads_the_files_and_agrees(tmp_path):
    pytest.importorskip("jax")
    x, expected = pixels((32, 32, 1)), {}
    np.save(tmp_path / "pixels.npy", x)
    for name in ("vgg", "vgg13"):  # between them every kind of layer; a compilation on JAX takes many seconds
        model = narrow(name, input_shape=(32, 32, 1))
        for _ in range(8):
            model(x, training=True)  # lets the batch-norm statistics find the signal, else the logits are near 0
        model.save(tmp_path / f"{name}.keras")
        expected[name] = np.asarray(model(x))
        assert expected[name].std() > 1e-3
    subprocess.run(
        [sys.executable, "-c", ON_JAX_WITHOUT_TENSORFLOW, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}, check=True,
    )  # fmt: skip
    for name, logits in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), logits, atol=1e-4, err_msg=name)


def test_missing_model_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.keras"):
        models.load_model(tmp_path / "none.keras")
