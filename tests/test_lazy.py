"""The package imports what is used, when it is used."""

import subprocess
import sys

import pytest

import fer_tf
from fer_tf import registry


def fresh(code):
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_tab_completion_shows_the_public_names_and_loads_nothing():
    shown = fresh("import sys, fer_tf; print(*dir(fer_tf)); print('numpy' in sys.modules, 'keras' in sys.modules)")
    names, loaded = shown.splitlines()
    assert loaded == "False False"
    assert set(names.split()) >= {
        "analyze", "augment", "datasets", "explain", "heatmaps", "layers", "load_model", "losses", "metrics", "models",
        "optimizers", "predict",
    }  # fmt: skip


def test_every_public_name_of_the_package_is_there():
    for name in fer_tf.__all__:
        assert getattr(fer_tf, name) is not None
    assert fer_tf.models.__name__ == "fer_tf.models" and callable(fer_tf.predict)


def test_an_unknown_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match=r"module 'fer_tf' has no attribute 'analyzer'"):
        _ = fer_tf.analyzer


def test_names_of_the_package_itself_are_listed_but_not_imported():
    getattribute, directory, names = registry.attach("fer_tf", "fer_tf.labels:LabelSet", own=["get"])
    assert directory() == names == ["LabelSet", "get"]
    with pytest.raises(AttributeError):
        getattribute("get")


EXAMPLE = """
import numpy as np
import fer_tf
net = fer_tf.models.VGG16(num_classes=7, input_shape=(48, 48, 1), width=0.1)
print(net.output_shape)
net = fer_tf.models.ResNet10(width=0.5, weights="ferplus")
print(net.input_shape, net.output_shape)
faces = np.random.default_rng(0).integers(0, 256, (4, 44, 44, 1)).astype("float32")
heat = fer_tf.explain.GradCAM(net)(faces)
print(heat.shape, heat.max())
print(set(fer_tf.predict(faces, model=net).labels) <= set(net.metadata.label_set.classes))
print(fer_tf.models.get("vgg16(width=0.1)", num_classes=5, input_shape=(48, 48, 1)).output_shape)
out, rows = fer_tf.augment.mixup()(faces, np.eye(4, dtype="float32"), np.random.default_rng(0))
loss = fer_tf.losses.JensenShannon()
net = fer_tf.models.ResNet10(num_classes=4, input_shape=(44, 44, 1), width=0.05)
net.compile("adam", loss, metrics=[fer_tf.metrics.ExpectedCalibrationError()])
print(len(net.fit(out, rows, epochs=2, verbose=0).history["loss"]))
"""


@pytest.mark.slow
def test_what_a_keras_user_guesses_works_in_a_fresh_interpreter():
    assert fresh(EXAMPLE).splitlines() == [
        "(None, 7)", "(None, 44, 44, 1) (None, 8)", "(4, 44, 44) 1.0", "True", "(None, 5)", "2",
    ]  # fmt: skip
