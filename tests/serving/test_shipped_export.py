"""The export that lies in saved_models is of the network that ships, and complete."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fer_tf.inference.classifier import ExpressionClassifier

ROOT = Path(__file__).parents[2] / "saved_models"


@pytest.mark.slow
def test_the_shipped_export_answers_as_the_shipped_network():
    newest = max((ROOT / "faces").glob("[0-9]*"), key=lambda p: int(p.name))
    classifier = ExpressionClassifier()
    faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1)).astype(np.uint8)
    loaded = tf.saved_model.load(newest)
    found = loaded.signatures["predict_faces"](faces=tf.constant(faces))
    np.testing.assert_allclose(found["probabilities"], classifier.predict(faces), atol=1e-5)
    labels = (newest / "assets" / "labels.txt").read_text().split()
    assert tuple(labels) == classifier.label_set.classes


def test_every_exported_model_has_its_line_in_the_servers_configuration():
    text = (ROOT / "models.config").read_text()
    names = [p.name for p in ROOT.iterdir() if p.is_dir()]
    assert names and all(f'base_path: "/models/{name}"' in text for name in names)
