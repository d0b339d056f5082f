"""Flips by hand: networks that look at one pixel."""

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.robustness import count_flips, prediction_flips
from fer_tf.robustness.corruptions import FaceBatch
from fer_tf.robustness.effects import jpeg


def looks_at(row, column):
    """A classifier: is this pixel white?"""
    return lambda images: np.stack([images[:, row, column, 0] < 128, images[:, row, column, 0] >= 128], axis=1) * 1.0


@pytest.fixture
def dot():
    """Two faces: a white pixel at (10, 10), and none."""
    images = np.zeros((2, 48, 48, 1), np.uint8)
    images[0, 10, 10] = 255
    return images


def test_the_perturbations_are_sixteen_shifts_and_three_jpegs(dot):
    made = prediction_flips.perturbations()
    assert [sum(p.kind == kind for p in made) for kind in prediction_flips.KINDS] == [8, 8, 3] and len(set(made)) == 19
    places = {tuple(np.argwhere(p.apply(dot)[0, :, :, 0] > 0)[0] - 10) for p in made if p.shift}
    assert places == {(y * k, x * k) for k in (1, 2) for y in (-1, 0, 1) for x in (-1, 0, 1)} - {(0, 0)}
    right = next(p for p in made if p.name == "right" and p.kind == "shift 2 px")
    assert right.apply(dot)[0, 10, 12] == 255
    saved = next(p for p in made if p.name == "quality 85")
    np.testing.assert_array_equal(saved.apply(dot), jpeg(FaceBatch(dot, ()), 85))


def test_flips_are_counted_by_kind_and_by_face(dot):
    flips = count_flips(looks_at(10, 10), dot)
    # Every shift moves the dot away from the pixel; a dot survives JPEG.
    assert flips.mean("shift 1 px") == flips.mean("shift 2 px") == 0.5 and flips.mean("JPEG") == 0
    assert flips.mean() == pytest.approx(16 / (19 * 2)) and flips.any() == 0.5 and flips.any("JPEG") == 0
    # Two faces with 16/19 and 0: their standard deviation is 16/19/√2, divided by √2.
    assert flips.standard_error() == pytest.approx(8 / 19)
    assert next(flips.rows()) == {"kind": "shift 1 px", "perturbation": "right", "flip_rate": 0.5}


def test_one_direction_alone(dot):
    flips = count_flips(looks_at(12, 10), dot)
    assert flips.mean("shift 1 px") == 0 and flips.mean("shift 2 px") == 1 / 16 and flips.any() == 0.5


def test_what_cannot_be_measured(dot):
    with pytest.raises(UserError, match="at least one face"):
        count_flips(looks_at(0, 0), dot[:0])
    with pytest.raises(UserError, match="Unknown kind of perturbation 'rain'"):
        count_flips(looks_at(0, 0), dot).mean("rain")
    assert np.isnan(count_flips(looks_at(0, 0), dot[:1]).standard_error())
