"""The check of exports: it passes what the server would answer from, and fails what it would not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.serving import devices, savedmodel
from fer_tf.serving.signatures import FACES, Signatures

SPEC = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)


class FacesOnly(Signatures):
    """The signature that is traced in a second."""

    def functions(self):
        return {FACES: super().functions()[FACES]}

    def variables(self):
        return [v.value for v in self.classifier.network.variables]


@pytest.fixture(scope="module")
def signatures(classifier):
    return FacesOnly(classifier)


@pytest.fixture(scope="module")
def samples(classifier):
    return {FACES: devices.make_samples(classifier)[FACES]}


@pytest.fixture(scope="module")
def written(signatures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("version")
    savedmodel.write(signatures, folder)
    return folder


def test_raw_variables_pass_and_are_stored_once(written, signatures, samples):
    devices.check_export(written, signatures, samples)
    weights = sum(v.numpy().nbytes for v in signatures.variables())
    (stored,) = (written / "variables").glob("variables.data*")
    # The names of the variables are in the file too.
    assert weights <= stored.stat().st_size <= weights + 2000 < 1.5 * weights


def test_a_module_that_holds_keras_is_caught(signatures, samples, tmp_path):
    """What loads in Python and answers no request of the server, with its weights stored twice."""
    module = tf.Module()
    module.network = signatures.classifier.network
    tf.saved_model.save(module, str(tmp_path), signatures=signatures.functions())
    faces = samples[FACES]["faces"]
    again = tf.saved_model.load(str(tmp_path)).signatures[FACES](faces=tf.constant(faces))
    np.testing.assert_allclose(again["probabilities"], signatures.classifier.predict(faces), atol=1e-5)
    with pytest.raises(tf.errors.FailedPreconditionError, match="Could not find variable"):
        devices.check_export(tmp_path, signatures, samples)


def test_other_weights_are_caught(written, samples):
    other = FacesOnly(ExpressionClassifier(small.network(seed=4)))
    with pytest.raises(RuntimeError, match="predict_faces: probabilities is not what Keras gives"):
        devices.check_export(written, other, samples)


def test_outputs_are_compared_one_by_one():
    wanted = {"probabilities": np.array([[0.25, 0.75]]), "label": np.array([b"a"], object), "boxes": np.ones((1, 4))}
    devices.compare("x", {**wanted, "probabilities": wanted["probabilities"] + 9e-6}, wanted)
    devices.compare("x", {**wanted, "boxes": wanted["boxes"] + 0.009}, wanted)
    faults = {
        "probabilities is not": {"probabilities": wanted["probabilities"] + 1.1e-5},
        "difference nan": {"probabilities": np.array([[0.25, np.nan]])},
        "has shape": {"probabilities": np.array([[0.25]])},
        "label is not": {"label": np.array([b"b"], object)},
        "boxes is not": {"boxes": wanted["boxes"] + 0.02},
        "gives": {"further": np.zeros(1)},
    }
    for message, changed in faults.items():
        with pytest.raises(RuntimeError, match=message):
            devices.compare("x", {**wanted, **changed}, wanted)


def test_a_version_that_fails_its_check_is_not_put_into_place(classifier, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("not what Keras gives")

    monkeypatch.setattr(devices, "check_export", fails)
    monkeypatch.setattr(savedmodel, "write", lambda signatures, folder: (folder / "saved_model.pb").touch())
    with pytest.raises(RuntimeError, match="not what Keras"):
        savedmodel.export(classifier, tmp_path / "moods")
    assert [p.name for p in (tmp_path / "moods").iterdir()] == [".lock"] and not (tmp_path / "models.config").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "hog"}, "'hog' does not run inside a TensorFlow graph"),
        ({"detector": "nonsense"}, "Unknown detector"),
        ({"max_faces": 0}, "max_faces=0"),
        ({"max_pixels": 0}, "max_pixels=0"),
    ],
)
def test_wrong_options_leave_nothing(classifier, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        savedmodel.export(classifier, tmp_path / "moods", **options)
    assert not [p for p in (tmp_path / "moods").iterdir() if p.name != ".lock"]
