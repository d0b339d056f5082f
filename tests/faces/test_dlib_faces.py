import importlib.util
import sys

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.faces import detectors, dlib_faces
from fer_tf.faces.detectors import Detections
from fer_tf.faces.dlib_faces import HogDetector, PointFinder, five_points, landmarks68, landmarks68_from_five

installed = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
needs_dlib = pytest.mark.skipif(not installed, reason="needs the extra: pip install 'fer-tf[landmarks]'")


def brightest(patch):
    """Predict that all points are the middle of what is brightest in the patch."""
    assert patch.shape == (240, 240) and patch.dtype == np.uint8
    weights = np.where(patch > 0.6 * patch.max(), patch.astype(float), 0)
    y, x = (np.indices(patch.shape).reshape(2, -1) + 0.5) @ weights.ravel() / weights.sum()
    return np.tile([x, y], (68, 1))


def spot(x, y, shape=(100, 120), side=3):
    """Make a black picture with a bright square of odd side around the pixel whose middle is (x, y)."""
    picture = np.zeros(shape, np.uint8)
    x, y, half = int(x - 0.5), int(y - 0.5), side // 2
    picture[y - half : y + half + 1, x - half : x + half + 1] = 255
    return picture


def test_five_points_are_means_of_the_eyes_the_tip_of_the_nose_and_corners_of_the_mouth():
    points = np.zeros((2, 68, 2), np.float32)
    points[0, :, 0] = np.arange(68)
    points[1, :, 1] = np.arange(68) ** 2
    five = five_points(points)
    np.testing.assert_allclose(five[0, :, 0], [(36 + 41) / 2, (42 + 47) / 2, 30, 48, 54])
    eyes = [np.mean([k * k for k in range(first, first + 6)]) for first in (36, 42)]
    np.testing.assert_allclose(five[1, :, 1], [*eyes, 900, 48**2, 54**2], rtol=1e-6)
    assert five.dtype == np.float32 and (five[0, :, 1] == 0).all()


def test_points_of_an_upright_box_come_back_to_the_photograph():
    points = landmarks68(spot(40.5, 60.5), [[10, 30, 90, 110], [30, 50, 62, 82]], brightest)
    np.testing.assert_allclose(points, np.broadcast_to([40.5, 60.5], (2, 68, 2)), atol=0.15)
    assert points.dtype == np.float32


def test_the_patch_of_a_box_is_the_box_enlarged_to_its_place():
    seen = []

    def predict(patch):
        seen.append(patch)
        return np.array([[40, 40]] * 34 + [[200, 120]] * 34, float)

    photograph = np.tile(2 * np.arange(100, dtype=np.uint8), (100, 1))
    # The box begins 40 pixels inside the patch and is 160 wide there: 4 pixels of the patch are one of the photograph.
    points = landmarks68(photograph, [[20, 10, 60, 50]], predict)[0]
    np.testing.assert_allclose(points[[0, -1]], [[20, 10], [60, 30]], atol=1e-5)
    # A pixel x has its middle at x + ½ and the level 2x; patch pixel u has its middle at 20 + (u + ½ − 40) / 4.
    expected = 2 * (20 + (np.arange(240) + 0.5 - 40) / 4 - 0.5)
    # Pillow cuts fractions of levels off.
    below = expected - seen[0][120]
    assert below.min() > -0.01 and below.max() < 1


def test_a_patch_beyond_the_photograph_repeats_its_edges():
    seen = []
    picture = np.full((30, 30), 90, np.uint8)
    picture[:, -1] = 200
    landmarks68(picture, [[0, 0, 40, 40]], lambda patch: seen.append(patch) or np.zeros((68, 2)))
    assert set(np.unique(seen[0][:, :100])) == {90} and set(np.unique(seen[0][:, 165:])) == {200}


def test_a_box_that_is_no_square_counts_as_the_square_of_its_area():
    # The patch's middle 160 of 240 pixels are the square around (10, 50) of side √(20 · 80).
    corners = np.array([[40, 40]] * 34 + [[200, 200]] * 34, float)
    points = landmarks68(spot(40.5, 60.5), [[0, 10, 20, 90]], lambda patch: corners)[0]
    np.testing.assert_allclose(points[[0, -1]], [[-10, 30], [30, 70]], atol=1e-5)


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 10, 30],
        [30, 30, 10, 10],
        [np.nan, 0, 9, 9],
        [500, 0, 540, 40],
        [-90, -90, -50, -50],
        [1e30, 1e30, 2e30, 2e30],
    ],
)
def test_a_box_that_is_empty_or_elsewhere_has_no_points(box):
    assert np.isnan(landmarks68(spot(40.5, 60.5), [box], brightest)).all()


def test_no_boxes_give_no_points():
    assert landmarks68(spot(40.5, 60.5), np.empty((0, 4)), brightest).shape == (0, 68, 2)
    assert landmarks68_from_five(spot(40.5, 60.5), np.empty((0, 5, 2)), brightest).shape == (0, 68, 2)


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
def test_five_points_give_the_predictors_frame(degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Eyes 8 apart, mouth 18 below them: the unit is 12. The middle between eyes and mouth is (50, 40).
    upright = np.array([[-4, -9], [4, -9], [0, 0], [-3, 9], [3, 9]])
    further = np.array([[0, 0], [2.3 * 6, 0], [-2.3 * 6, 2.3 * 6]])
    predicted = in_patch(upright, 12)
    predicted[:3] = in_patch(upright, 12, further)
    points = landmarks68_from_five(spot(40.5, 60.5), (upright @ turn.T + (50, 40))[None], lambda patch: predicted)
    np.testing.assert_allclose(points[0, :3], further @ turn.T + (50, 40), atol=1e-4)


def in_patch(five, unit, points=None):
    """Return 68 points that have these five, or the given points, in the pixels of the patch of the five.

    The patch's middle 160 of 240 pixels are 2.3 units wide, and (0, 0) is between eyes and mouth.
    """
    if points is None:
        points = np.zeros((68, 2))
        for rows, point in zip((slice(36, 42), slice(42, 48), 30, 48, 54), five, strict=True):
            points[rows] = point
    return 120 + 160 / (2.3 * unit) * np.asarray(points)


@pytest.mark.parametrize(("shift", "fits"), [(2.3, True), (2.5, False)])
def test_points_that_do_not_fit_the_five_are_missing(shift, fits):
    five = np.array([[-4, -9], [4, -9], [0, 0], [-3, 9], [3, 9]], float)
    # The unit is 12, and 0.2 of it 2.4 pixels.
    predicted = in_patch(np.add(five, (shift, 0)), 12)
    found = landmarks68_from_five(np.zeros((99, 99), np.uint8), five[None] + 50, lambda patch: predicted)
    if fits:
        np.testing.assert_allclose(five_points(found)[0], np.add(five, (50 + shift, 50)), atol=1e-4)
    else:
        assert np.isnan(found).all()


@pytest.mark.parametrize("five", [np.full((1, 5, 2), np.nan), np.full((1, 5, 2), 7.0)])
def test_five_points_that_are_none_give_none(five):
    assert np.isnan(landmarks68_from_five(spot(40.5, 60.5), five, brightest)).all()


class _OneFace:
    """Finds a face in pictures that are not black; its five points are where FERs' usually are."""

    five = np.array([[16, 20], [32, 20], [24, 28], [18, 36], [30, 36]], np.float32)

    def detect(self, photographs):
        assert all(p.shape[2] == 3 for p in photographs)
        counts = [int(p.any()) for p in photographs]
        return [Detections(np.ones(n, np.float32), np.ones((n, 4), np.float32), self.five[None][:n]) for n in counts]


def fits_one_face(patch):
    """Predict points that fit ``_OneFace``, and a chin that is as many pixels of the patch down as it is bright."""
    # Eyes 16 apart, mouth 16 below them, and the middle between them at (24, 28): the unit is 16.
    points = in_patch(_OneFace.five - (24, 28), 16)
    points[8] = patch.max()
    return points


@pytest.mark.parametrize("channels", [1, 3])
def test_faces_without_a_detection_get_nan_and_others_keep_their_rows(channels):
    images = np.zeros((70, 48, 48, channels), np.uint8)
    images[[1, 65, 69]] = np.array([50, 120, 200], np.uint8)[:, None, None, None]
    points = dlib_faces.landmarks_of_faces(images, _OneFace(), fits_one_face)
    assert points.shape == (70, 68, 2) and points.dtype == np.float32
    assert np.flatnonzero(np.isfinite(points).all(axis=(1, 2))).tolist() == [1, 65, 69]
    # 2.3 · 16 / 160 = 0.23 pixels of the image are one of the patch, whose middle is (120, 120).
    np.testing.assert_allclose(points[[1, 65, 69], 8, 1], 28 + 0.23 * np.array([-70, 0, 80]), atol=1e-4)


def test_of_several_faces_the_largest_gets_its_points():
    class TwoFaces:
        def detect(self, photographs):
            boxes = np.float32([[0, 0, 10, 10], [10, 10, 40, 40]])
            return [Detections(np.float32([0.9, 0.8]), boxes, np.stack([_OneFace.five, _OneFace.five + 7]))]

    points = dlib_faces.landmarks_of_faces(np.zeros((1, 48, 48, 1), np.uint8), TwoFaces(), fits_one_face)
    np.testing.assert_allclose(five_points(points)[0], _OneFace.five + 7, atol=1e-4)


@pytest.fixture
def without_extra(monkeypatch):
    """Have Python refuse the extra's modules, as if they were not installed."""
    for name in ("dlib", "_dlib_pybind11", "face_recognition_models"):
        monkeypatch.setitem(sys.modules, name, None)


def test_a_finder_of_five_points_needs_no_dlib(without_extra):
    finder, picture = PointFinder(_OneFace(), 5), np.ones((48, 48, 3), np.uint8)
    (found,) = finder.detect([picture])
    np.testing.assert_array_equal(finder.points(picture, found), _OneFace.five[None])


@pytest.mark.parametrize(
    "use",
    [
        HogDetector,
        lambda: detectors.get("hog(threshold=-0.2)"),
        lambda: PointFinder("retinaface"),
        lambda: landmarks68(np.zeros((60, 60), np.uint8), [[0, 0, 40, 40]]),
        dlib_faces.find_model,
    ],
)
def test_without_the_extra_the_error_says_what_to_install(without_extra, use):
    with pytest.raises(UserError, match=r"pip install 'fer-tf\[landmarks\]'"):
        use()


def test_importing_the_module_imports_no_dlib(without_extra, monkeypatch):
    monkeypatch.delitem(sys.modules, "fer_tf.faces.dlib_faces")
    importlib.import_module("fer_tf.faces.dlib_faces")
    assert sys.modules["dlib"] is None


@needs_dlib
def test_the_model_is_found_without_importing_its_package(monkeypatch):
    monkeypatch.delitem(sys.modules, "face_recognition_models", raising=False)
    monkeypatch.setitem(sys.modules, "pkg_resources", None)  # without which the package cannot be imported
    assert dlib_faces.find_model().stat().st_size == 99_693_937
    assert "face_recognition_models" not in sys.modules


@pytest.mark.parametrize(
    "keywords",
    [
        {"upsample": 4},
        {"upsample": -1},
        {"upsample": 1.0},
        {"threshold": 9},
        {"size": 50},
        {"smallest": 0},
        {"size": 9999},
    ],
)
def test_values_out_of_range_are_refused(keywords):
    with pytest.raises(UserError, match=f"{next(iter(keywords))}={next(iter(keywords.values()))}"):
        HogDetector(**keywords)


def test_another_number_of_points_is_refused():
    with pytest.raises(UserError, match=r"points=21.*68 or 5"):
        PointFinder(_OneFace(), 21)


@pytest.mark.parametrize(
    "array", [np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8), np.zeros((0, 9, 3), np.uint8), np.zeros(9, np.uint8)]
)
def test_arrays_of_another_kind_are_refused(array):
    with pytest.raises(UserError, match="uint8"):
        landmarks68(array, [[0, 0, 4, 4]])


@pytest.mark.parametrize("shape", [(9, 9, 3), (1, 9, 9, 4), (1, 9, 9)])
def test_faces_of_another_kind_are_refused(shape):
    with pytest.raises(UserError, match="uint8"):
        dlib_faces.in_color(np.zeros(shape, np.uint8))
