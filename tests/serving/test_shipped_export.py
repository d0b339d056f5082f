"""The export that lies in saved_models is of the network that ships, and complete."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from PIL import Image

import fer_tf
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


@pytest.mark.slow
def test_the_shipped_export_analyzes_a_photograph_of_4000_pixels_as_fer_tf_does():
    newest = max((ROOT / "faces").glob("[0-9]*"), key=lambda p: int(p.name))
    astronaut = Image.fromarray(skimage.data.astronaut()).resize((4000, 4000), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).integers(-40, 41, (4000, 4000, 3))
    photograph = np.clip(np.asarray(astronaut) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(photograph).save(file, "PNG", compress_level=1)
    found = tf.saved_model.load(newest).signatures["analyze"](image_bytes=tf.constant([file.getvalue()]))
    (face,) = fer_tf.analyze(photograph)
    assert found["count"].numpy().tolist() == [1]
    np.testing.assert_allclose(found["probabilities"][0, 0], list(face.distribution.values()), atol=1e-3)
    np.testing.assert_allclose(found["boxes"][0, 0], face.box, atol=0.05)
