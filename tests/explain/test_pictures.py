"""From photographs to explained faces, on a network that is sure where the left eye is."""

from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.explain.pictures import VIEW, PictureExplainer
from fer_tf.faces.detectors import Detections
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.labels import LabelSet

PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
SIDES = LabelSet("sides", ("left", "right"))


def sides(side=16, face=20):
    """Logits are the brightness of the left and of the right half, so that their maps are these halves."""
    images = keras.Input((side, side, 1))
    x = keras.layers.Rescaling(0.01, name="maps")(images)
    logits = keras.layers.Dense(2, use_bias=False)
    network = keras.Model(images, logits(keras.layers.Flatten()(x)), name="sides")
    left = np.zeros((side, side, 1), np.float32)
    left[:, : side // 2] = 0.1
    logits.set_weights([np.stack([left.ravel(), left[:, ::-1].ravel()], axis=1)])
    network.metadata = models.ModelMetadata(SIDES, face, gradcam_layer="maps", temperature=2.0)
    return network


class Two:
    """Finds two faces: one with points, and a larger one without."""

    def detect(self, photographs):
        points = np.array([[[40, 40], [60, 40], [50, 50], [42, 60], [58, 60]], np.full((5, 2), np.nan)], np.float32)
        boxes = np.array([[30, 25, 70, 75], [100, 20, 180, 100]], np.float32)
        return [Detections(np.array([0.9, 0.8], np.float32), boxes, points) for _ in photographs]


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)


def explainer(**options):
    return PictureExplainer(sides(), **{"method": "layercam", "detector": Two(), **options})


def test_each_face_has_its_box_map_and_distribution(photograph):
    views = explainer(faces="all").explain(photograph, "a.png")
    assert [view.box for view in views] == [(30, 25, 70, 75), (100, 20, 180, 100)]
    for view in views:
        assert view.image.shape == (VIEW, VIEW, 3) and view.heat.shape == (16, 16) and view.name == "a.png"
        assert view.explained == SIDES.classes[view.probabilities.argmax()]
        half = view.heat[:, :8] if view.explained == "right" else view.heat[:, 8:]
        assert not half.any() and view.heat.max() == 1
    assert [v.box for v in explainer(faces="largest").explain(photograph)] == [(100, 20, 180, 100)]


def test_a_named_class_is_explained_and_probabilities_stay(photograph):
    plain = explainer(faces="all").explain(photograph)
    for name in SIDES.classes:
        views = explainer(faces="all", explained=name).explain(photograph)
        assert {view.explained for view in views} == {name}
        np.testing.assert_allclose([v.probabilities for v in views], [v.probabilities for v in plain], rtol=1e-6)
    assert {v.explained for v in explainer(method="eigencam").explain(photograph)} == {""}


def test_what_is_drawn_is_what_the_network_sees():
    """A face of a bright center: 20 pixels of which the network sees 16, drawn at 224."""
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[10:90, 10:90] = 255  # what the network sees, to the pixel
    (view,) = explainer(detector=None).explain(picture)
    assert (view.image[2:-2, 2:-2] == 255).all() and view.box is None

    class Whole:
        def detect(self, photographs):
            box = np.array([[0, 0, 100, 100]], np.float32)
            return [Detections(np.ones(1, np.float32), box, np.full((1, 5, 2), np.nan, np.float32))]

    (found,) = PictureExplainer(sides(), detector=Whole()).explain(picture)
    assert (found.image[2:-2, 2:-2] == 255).all() and found.box == (0, 0, 100, 100)


def test_distributions_are_those_that_predict_gives():
    picture = np.asarray(Image.open(PORTRAIT).convert("RGB"))
    network = sides()
    (view,) = explainer(detector=None).explain(picture)
    np.testing.assert_allclose(view.probabilities, ExpressionClassifier(network).predict(picture[None])[0], rtol=1e-5)


def test_a_wrong_choice_of_faces_is_named():
    with pytest.raises(UserError, match="faces='some' is unknown"):
        explainer(faces="some")


@pytest.mark.slow
def test_a_photograph_s_distribution_is_that_of_analyze():
    from fer_tf.inference.pipeline import FacePipeline

    (view,) = PictureExplainer().explain(np.asarray(Image.open(PORTRAIT).convert("RGB")))
    (result,) = FacePipeline(faces="largest").analyze([(PORTRAIT, "hopper")])
    np.testing.assert_allclose(view.box, result.faces[0].box)
    np.testing.assert_allclose(view.probabilities, list(result.faces[0].distribution.values()), atol=1e-5)
