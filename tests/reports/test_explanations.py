import numpy as np
import pytest

from fer_tf.explain.pictures import FaceView
from fer_tf.reports import explanations

CLASSES = ("angry", "happy", "sad")


def view(box=(10, 20, 50, 70), explained="happy", heat=1.0, name="a.png"):
    image = np.full((32, 32, 3), 100, np.uint8)
    return FaceView(image, np.full((8, 8), heat), np.array([0.2, 0.7, 0.1]), explained, box, name)


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def photograph(height=80, width=100):
    return np.zeros((height, width, 3), np.uint8)


def test_where_a_map_is_cold_the_face_is_gray_and_untouched():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:, :, 0] = 200
    heat = np.zeros((4, 4))
    heat[1, 1] = 1
    laid = explanations.overlay(image, heat).astype(int)
    gray = round(0.299 * 200)
    assert (np.abs(laid[3, 3] - gray) <= 1).all()
    assert laid[1, 1, 0] > laid[1, 1, 2] + 50, "the hottest pixel is warm"


def test_a_map_is_enlarged_to_the_face():
    laid = explanations.overlay(np.zeros((8, 8, 3), np.uint8), np.array([[1.0, 0], [0, 0]]))
    assert laid[0, 0].sum() > laid[4, 4].sum() > laid[7, 7].sum() == 0


def test_one_face_has_three_panels():
    figure = explanations.explanation(photograph(), [view()], CLASSES, "Grad-CAM", "img.jpg")
    assert titles(figure) == ["img.jpg", "Grad-CAM of happy", "probability, %"]
    assert texts(figure) == ["20.0", "70.0", "10.0"]
    boxes = figure.axes[0].patches
    assert {(b.get_x(), b.get_y(), b.get_width(), b.get_height()) for b in boxes} == {(10, 20, 40, 50)}
    bars = figure.axes[2].patches
    np.testing.assert_allclose([b.get_width() for b in bars], [20, 70, 10])
    assert bars[1].get_facecolor() != bars[0].get_facecolor() == bars[2].get_facecolor()


def test_the_explained_class_is_marked_though_another_is_more_probable():
    bars = explanations.explanation(photograph(), [view(explained="sad")], CLASSES, "x").axes[2].patches
    assert bars[2].get_facecolor() != bars[0].get_facecolor() == bars[1].get_facecolor()


def test_a_face_that_is_the_picture_has_no_box():
    assert not explanations.explanation(photograph(), [view(box=None)], CLASSES, "x").axes[0].patches


def test_a_map_of_zeros_says_so():
    axes = explanations.explanation(photograph(), [view(heat=0.0)], CLASSES, "x").axes[1]
    assert axes.get_xlabel() == "nothing speaks for this class"


@pytest.mark.parametrize(("count", "shape"), [(2, (80, 60)), (3, (40, 100)), (7, (80, 100))])
def test_several_faces_carry_numbers(count, shape):
    figure = explanations.explanation(photograph(*shape), [view()] * count, CLASSES, "Grad-CAM")
    assert [t for t in texts(figure) if t.isdigit()] == [str(i + 1) for i in range(count)]
    assert [t for t in titles(figure) if "Grad-CAM" in t] == [f"{i + 1}  Grad-CAM of happy" for i in range(count)]


def test_large_photographs_are_drawn_small_in_their_own_coordinates():
    (image,) = explanations.explanation(photograph(3000, 2400), [view()], CLASSES, "x").axes[0].images
    assert image.get_array().shape[:2] == (1200, 960) and list(image.get_extent()) == [0, 2400, 3000, 0]


def test_a_montage_names_class_and_file():
    faces = [view(name=f"{i}.png") for i in range(4)] + [view(name="a_name_of_many_letters$_and_digits.png")]
    figure = explanations.montage(faces, CLASSES, "Score-CAM")
    labels = [axes.get_xlabel() for axes in figure.axes[:5]]
    assert labels[0] == "happy 70%\n0.png" and labels[4] == "happy 70%\na_name_of_…_digits.png"
    assert figure.get_suptitle() == "Score-CAM of happy"
    mixed = explanations.montage([view(), view(explained="sad")], CLASSES, "Score-CAM")
    assert mixed.get_suptitle() == "Score-CAM"
