import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fer_tf import cli, models
from fer_tf.commands import models as command
from fer_tf.layers import GhostModule
from fer_tf.models.complexity import count_macs, measure_complexity, size_savings


@pytest.fixture(autouse=True)
def clean():
    yield
    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests


def test_each_kind_of_layer_by_hand():
    images = keras.Input((10, 8, 3))
    x = keras.layers.Conv2D(4, 3, 2, padding="same")(images)  # 5×4 places, 9·3 inputs, 4 outputs
    x = keras.layers.DepthwiseConv2D(5, depth_multiplier=2, padding="same")(x)  # 5×4 places, 25 inputs, 8 outputs
    x = keras.layers.Conv2D(6, 1, groups=2)(x)  # 5×4 places, 4 inputs, 6 outputs
    x = keras.layers.Dense(2)(x)  # on each of 5×4 places
    x = keras.layers.Dense(7)(keras.layers.Flatten()(keras.layers.BatchNormalization()(x)))
    expected = 20 * 27 * 4 + 20 * 25 * 8 + 20 * 4 * 6 + 20 * 6 * 2 + 40 * 7
    assert count_macs(keras.Model(images, x)) == expected


def test_shared_layers_count_at_each_call_and_nested_ones_too():
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dense(4)])
    images = keras.Input((6,))
    model = keras.Model(images, keras.layers.Add()([inner(images), inner(2 * images)]))
    assert count_macs(model) == 2 * (30 + 20)
    maps = keras.Input((3, 4, 8))
    module = keras.Model(maps, GhostModule(6)(maps))
    assert count_macs(module) == 12 * 8 * 3 + 12 * 9 * 3


def test_counting_leaves_no_trace():
    model = models.get("vgg(width=0.05, head='gap')", 7, (16, 16, 1))
    x = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 1)).astype("float32")
    before, weights = np.asarray(model(x)), model.get_weights()
    assert count_macs(model) == count_macs(model)
    np.testing.assert_array_equal(np.asarray(model(x)), before)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("call", "classes", "published"),
    [
        ("vgg", 7, 350_519_296),
        ("vgg13", 8, 875_831_296),
        pytest.param("vgg19", 7, 675_744_768 + 512 * 7, marks=SLOW),
        pytest.param("resnet18", 7, 1_098_320_896 + 512 * 7, marks=SLOW),
        pytest.param("resnet18_imagenet", 7, 1_813_561_344 + 512 * 7, marks=SLOW),
        pytest.param("ghostface", 7, 64_673_166, marks=SLOW),
        pytest.param("ghostface(variant='public')", 7, 64_673_166, marks=SLOW),
        pytest.param("ghostface(variant='ghostnet')", 7, 45_195_534, marks=SLOW),
    ],
)
def test_macs_are_the_published(call, classes, published):
    assert count_macs(models.get(call, num_classes=classes)) == published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "classes", "millions"),
    [("ghostnet", 1000, 141.15), ("ghostnet", 7, 139.88), ("efficientnet_b0", 8, 390), ("efficientnet_b2", 8, 1000)],
)
def test_macs_agree_with_rounded_figures(call, classes, millions):
    within = 0.015 if "efficientnet" in call else 1e-4  # the sources give these two in two digits
    assert count_macs(models.get(call, num_classes=classes)) / 1e6 == pytest.approx(millions, rel=within)


def test_measure_and_the_size_of_the_file(tmp_path):
    model = models.get("vgg(width=0.25)", 7)
    size = measure_complexity(model)
    assert size.parameters == sum(np.prod(w.shape) for w in model.trainable_weights)
    assert size.non_trainable == 3_840 // 4
    model.save(tmp_path / "m.keras")
    assert size.megabytes == pytest.approx((tmp_path / "m.keras").stat().st_size / 1e6, rel=0.05)


@pytest.mark.slow
def test_table_of_two_models():
    rows = command.table(["resnet10", "ghostface(variant='ghostnet')"], small=True)
    assert list(rows["model"]) == [
        "resnet10", "ghostface(strides=(1, 2, 1, 1, 2, 1, 1), variant='ghostnet')",
    ]  # fmt: skip
    assert list(rows["input"]) == ["48×48×1"] * 2 and list(rows["classes"]) == [7, 7]
    assert rows["parameters"][0] == 4_901_575
    assert (rows["macs"] > 1e6).all() and (rows["mb"] > 0.5).all()
    assert (rows["reference"] != "").all()


def test_command_prints_a_table(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["models", "--names", "vgg(width=0.25)"])
    assert end.value.code == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["model", "input", "classes", "parameters", "non_trainable", "macs", "mb", "reference"]
    assert "40×40×1" in line and "1,876,279" in line and "960" in line and "arXiv 2105.03588" in line


def test_command_knows_no_such_model(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["models", "--names", "vgg", "vgg17"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: Unknown model 'vgg17'. Available:")


def test_help_has_examples():
    ended = subprocess.run(
        [sys.executable, "-m", "fer_tf", "models", "--help"], capture_output=True, text=True, check=True,
        cwd=Path(models.__file__).parents[2],
    )  # fmt: skip
    assert "fer-tf models --small" in ended.stdout


def test_savings_are_of_macs_at_the_same_size_of_face():
    small, large = "vgg(filters=(4, 8), depth=1, head=(8,))", "vgg(filters=(8, 16), depth=1, head=(8,))"
    found = size_savings([small], [large], (16, 16, 1), 3).set_index("network")
    sizes = {text: measure_complexity(models.get(text, 3, (16, 16, 1))) for text in (small, large)}
    assert found.loc[large, "macs"] == sizes[large].macs and found.loc[large, "parameters"] == sizes[large].parameters
    saved = found["MACs that vgg saves, %"]
    assert saved[large] == pytest.approx(100 * (1 - sizes[small].macs / sizes[large].macs)) and np.isnan(saved[small])
    # What computes more saves nothing.
    assert size_savings([large], [small], (16, 16, 1), 3).iloc[:, -1].isna().all()
