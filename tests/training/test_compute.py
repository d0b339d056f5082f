"""The faster form of a network: the results of Keras' layers, and float32 wherever something is kept or scored."""

import json
import zipfile

import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.layers import FerPlusNormalization
from fer_tf.training import compute, processor

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's operation")
SHAPE = (44, 44, 1)


def maps(shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(0.5, 2, shape).astype("float32"))


def step(kind, x, **settings):
    """Outputs, gradients and moving statistics of two training steps."""
    layer = kind(**settings)
    layer.build(x.shape)
    for i, v in enumerate(layer.weights):
        v.assign(np.random.default_rng(i).uniform(0.5, 1.5, v.shape))

    # In a graph, as training runs: there TensorFlow chooses other kernels than outside.
    @tf.function
    def learn(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_weights)])

    learn(x)
    return [*learn(x), *(v.value for v in layer.non_trainable_weights)]


def assert_alike(x, **settings):
    ours, theirs = (step(k, x, **settings) for k in (compute.FusedBatchNormalization, keras.layers.BatchNormalization))
    for a, b in zip(ours, theirs, strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(b))))
        np.testing.assert_allclose(a / scale, b / scale, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 5, 7, 3), (1, 6, 6, 4), (2, 1, 1, 5), (64, 22, 22, 16)])
def test_a_step_is_that_of_the_keras_layer(shape):
    assert_alike(maps(shape), epsilon=1e-5, momentum=0.9)


def test_a_batch_of_one_value_a_channel():
    # Without variance both divide by √ε, which multiplies their rounding: a larger ε, for the comparison.
    assert_alike(maps((1, 1, 1, 3)), epsilon=0.1, momentum=0.9)


@pytest.mark.parametrize(
    "settings", [{"center": False}, {"scale": False}, {"center": False, "scale": False}, {"trainable": False},
                 {"epsilon": 0.1}, {"axis": 3}, {"axis": 1}, {"dtype": "float64"}, {"renorm": True}], ids=str,
)  # fmt: skip
def test_every_setting_does_what_it_does_in_the_keras_layer(settings):
    assert_alike(maps((4, 3, 3, 2)), **settings)


def test_vectors_and_masks_are_left_to_keras():
    assert_alike(maps((6, 3)))
    x, mask = maps((4, 3, 3, 2)), tf.constant(np.random.default_rng(0).random((4, 3, 3)) > 0.5)
    ours, theirs = (
        k()(x, training=True, mask=mask) for k in (compute.FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_training_takes_one_operation_and_inference_keras_own():
    layer = compute.FusedBatchNormalization()
    layer.build((None, 3, 3, 2))
    ops = {
        training: {o.type for o in tf.function(lambda x: layer(x, training=training)).get_concrete_function(  # noqa: B023
            tf.TensorSpec((None, 3, 3, 2))).graph.get_operations()}
        for training in (True, False)
    }  # fmt: skip
    assert "FusedBatchNormV3" in ops[True] and "Mean" not in ops[True]
    assert "FusedBatchNormV3" not in ops[False]


def network(precision, model="vgg(filters=(4, 8), depth=1, head=(8,))"):
    built = models.get(model, num_classes=3, input_shape=SHAPE)
    compute.speed_up(built, precision)
    return built


# Batch-norms of other widths than blocks of 16 compute in float32, for oneDNN has them slow in bfloat16.
@pytest.mark.parametrize(("filters", "norm"), [((16, 32), "bfloat16"), ((8, 24), "float32")])
def test_bfloat16_convolves_in_bfloat16_and_keeps_what_must_be_exact(filters, norm):
    net = network("bfloat16", f"vgg(filters={filters}, depth=1, head=(8,))")
    graph = tf.function(lambda x: net(x, training=True)).get_concrete_function(tf.TensorSpec((2, *SHAPE))).graph
    kinds = {(o.type, o.outputs[0].dtype.name) for o in graph.get_operations() if o.outputs}
    assert {("Conv2D", "bfloat16"), ("FusedBatchNormV3", norm), ("MaxPool", "bfloat16")} <= kinds
    assert not {("Conv2D", "float32"), ("MatMul", "bfloat16")} & kinds
    assert net(np.zeros((1, *SHAPE), "float32")).dtype == "float32"
    assert {v.dtype for v in net.variables if "seed" not in v.path} == {"float32"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_files_and_evaluation_are_those_of_a_plain_network(precision, tmp_path):
    net = network(precision)
    x = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype("float32")
    plain = models.get("vgg(filters=(4, 8), depth=1, head=(8,))", num_classes=3, input_shape=SHAPE, name=net.name)
    plain.set_weights(net.get_weights())
    with compute.as_built(net):
        np.testing.assert_array_equal(net.predict(x, verbose=0), plain.predict(x, verbose=0))
        net.save(tmp_path / "net.keras")
    assert any(type(layer) is compute.FusedBatchNormalization for layer in net.layers)
    config = zipfile.ZipFile(tmp_path / "net.keras").read("config.json").decode()
    assert "bfloat16" not in config and "fer_tf" not in config and "Fused" not in config
    norms = [layer for layer in json.loads(config)["config"]["layers"] if "norm" in layer["config"]["name"]]
    assert {(n["module"], n["class_name"]) for n in norms} == {("keras.layers", "BatchNormalization")}
    loaded = keras.saving.load_model(tmp_path / "net.keras", compile=False)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_an_error_inside_gives_the_faster_form_back():
    net = network("bfloat16")
    with pytest.raises(RuntimeError), compute.as_built(net):
        raise RuntimeError
    assert net.get_layer("block1_conv1").compute_dtype == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("row", list(models.MODELS))
def test_every_model_trains_a_step_in_bfloat16(row):
    net = network("bfloat16", models.small_configuration(row))
    # Depthwise convolutions are slow in bfloat16: processors leave their networks in float32, unless told otherwise.
    has_depthwise = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in net._flatten_layers())
    assert models.MODELS[row].load().bfloat16 != has_depthwise
    for layer in net._flatten_layers(include_self=False):
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            assert layer.compute_dtype == "bfloat16"
        if isinstance(layer, keras.layers.BatchNormalization):
            assert isinstance(layer, compute.FusedBatchNormalization)
        if isinstance(layer, (keras.layers.Dense, keras.layers.Softmax, FerPlusNormalization)):
            assert layer.compute_dtype == "float32"

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            outputs = net(x, training=True)
            loss = tf.add_n([tf.reduce_mean(tf.cast(o, "float32") ** 2) for o in tf.nest.flatten(outputs)])
        return tf.nest.flatten(outputs), tape.gradient(loss, [v.value for v in net.trainable_variables])

    outputs, found = gradients(np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype("float32"))
    assert {o.dtype.name for o in outputs} == {"float32"}
    assert all(g is not None and g.dtype == "float32" and np.isfinite(g).all() for g in found)


def test_auto_is_bfloat16_where_the_processor_computes_in_it():
    has = processor.has_bfloat16() or bool(tf.config.list_physical_devices("GPU"))
    assert compute.resolve_precision("auto", "vgg(width=0.5)") == ("bfloat16" if has else "float32")
    assert compute.resolve_precision("auto", "ghostnet(width=0.5)") == (
        "bfloat16" if tf.config.list_physical_devices("GPU") else "float32"
    )
    assert [compute.resolve_precision(p, "vgg") for p in ("float32", "bfloat16")] == ["float32", "bfloat16"]
