"""The package imports what is used, when it is used."""

import subprocess
import sys

import pytest

import fer_tf
from fer_tf import _lazy


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
    with pytest.raises(AttributeError, match=r"module 'fer_tf' has no attribute 'analyse'"):
        _ = fer_tf.analyse


def test_names_of_the_package_itself_are_listed_but_not_imported():
    getattribute, directory, names = _lazy.attach("fer_tf", "fer_tf.labels:LabelSet", own=["get"])
    assert directory() == names == ["LabelSet", "get"]
    with pytest.raises(AttributeError):
        getattribute("get")
