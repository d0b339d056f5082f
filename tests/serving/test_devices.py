"""LiteRT and ONNX files give what Keras gives, and say what their columns are."""

import importlib.util
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.serving import devices

SPEC = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1)).astype(np.float32)


def test_litert(classifier, faces, tmp_path):
    path = devices.write_litert(classifier, tmp_path / "moods.tflite")
    for rows in (faces, faces[:1]):
        np.testing.assert_allclose(devices.run_litert(path.read_bytes(), rows), classifier.predict(rows), atol=1e-5)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split() == list(small.MOODS.classes)
    assert [p.name for p in tmp_path.iterdir()] == ["moods.tflite"]


def test_litert_of_8_bits_is_near(classifier, tmp_path):
    path = devices.write_litert(classifier, tmp_path / "moods.tflite", int8=True)
    drawn = devices.example_faces(classifier)[:5]
    found = devices.run_litert(path.read_bytes(), drawn)
    difference = np.abs(found - classifier.predict(drawn)).max()
    assert 0 < difference < 0.05 and found.dtype == np.float32


def test_onnx(classifier, faces, tmp_path):
    path = devices.write_onnx(classifier, tmp_path / "moods.onnx")
    for rows in (faces, faces[:1]):
        np.testing.assert_allclose(devices.run_onnx(path.read_bytes(), rows), classifier.predict(rows), atol=1e-5)
    model = onnx.load(path)
    assert {p.key: json.loads(p.value) for p in model.metadata_props} == {"labels": list(small.MOODS.classes)}
    assert [i.name for i in model.graph.input] == ["faces"]


def test_color_and_mirror(tmp_path):
    classifier = ExpressionClassifier(small.network(channels=3), flip=True)
    faces = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    for run, convert in ((devices.run_litert, devices.convert_litert), (devices.run_onnx, devices.convert_onnx)):
        np.testing.assert_allclose(run(convert(classifier), faces), classifier.predict(faces), atol=1e-5)


@pytest.mark.parametrize("keras_says", [np.nan, 0.0])
def test_a_file_that_gives_something_else_is_not_written(tmp_path, keras_says):
    """As the converter's own, where it is not told of the variables: it gives NaN without a word."""

    class Other(ExpressionClassifier):
        def probabilities(self, faces):
            return tf.fill((len(faces), 4), keras_says)

    other = Other(small.network())
    for write, name in ((devices.write_litert, "moods.tflite"), (devices.write_onnx, "moods.onnx")):
        with pytest.raises(RuntimeError, match=r"not compute what Keras computes \(difference (nan|0\.)"):
            write(other, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_named(classifier, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"ends in \.tflite"):
        devices.write_litert(classifier, tmp_path / "moods")
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        devices.write_onnx(classifier, tmp_path / "moods.pb")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"ONNX needs tf2onnx: pip install 'fer-tf\[export\]'"):
        devices.write_onnx(classifier, tmp_path / "moods.onnx")
