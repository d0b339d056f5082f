"""Numbers by overlap and smoothing over time, by hand."""

import math

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.recognition.records import Analysed, Face
from fer_tf.recognition.tracking import overlaps, tracked


def frame(time, *faces, source="v.mp4"):
    """Make a frame of faces (left, probability of a); they are 10 pixels wide and high."""
    made = [
        Face(source, 0, time, i, (left, 0.0, left + 10.0, 10.0), 0.9, None, {"a": p, "b": 1 - p}, "ab"[p <= 0.5])
        for i, (left, p) in enumerate(faces)
    ]
    return Analysed(source, 0, time, None, tuple(made))


def tracks(*frames, smooth=0.0):
    return [[f.track for f in result.faces] for result in tracked(frames, smooth)]


def values(*frames, smooth):
    return [round(f.distribution["a"], 6) for result in tracked(frames, smooth) for f in result.faces]


def test_overlaps_by_hand():
    a = np.array([[0, 0, 10, 10]], float)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [0, 0, 0, 0]], float)
    np.testing.assert_allclose(overlaps(a, b), [[1, 50 / 150, 0, 0]])


def test_a_face_keeps_its_number_while_it_moves():
    assert tracks(frame(0.0, (0, 1)), frame(0.1, (3, 1)), frame(0.2, (6, 1)), frame(0.3, (40, 1))) == [
        [0],
        [0],
        [0],
        [1],
    ]


def test_the_largest_overlap_wins_whatever_the_order():
    assert tracks(frame(0.0, (0, 1), (20, 1)), frame(0.1, (21, 1), (1, 1))) == [[0, 1], [1, 0]]
    # One face may not be two people: the second, overlapping less, is new.
    assert tracks(frame(0.0, (0, 1)), frame(0.1, (3, 1), (1, 1))) == [[0], [1, 0]]


def test_a_short_absence_is_forgiven_a_long_one_not():
    assert tracks(frame(0.0, (0, 1)), frame(0.5), frame(0.9, (0, 1))) == [[0], [], [0]]
    assert tracks(frame(0.0, (0, 1)), frame(0.5), frame(1.1, (0, 1))) == [[0], [], [1]]


def test_sources_begin_anew_and_photographs_pass():
    photograph = Analysed("x.jpg", None, None, None, frame(None, (0, 1)).faces)
    assert tracks(frame(0.0, (0, 1)), frame(0.0, (0, 1), source="w.mp4"), photograph) == [[0], [0], [None]]


def test_smoothing_by_hand():
    # Weights of the new value: 1 − e^(−0.1/0.2) = 0.393469, then 1 − e^(−0.2/0.2) = 0.632121.
    found = values(frame(0.0, (0, 1.0)), frame(0.1, (0, 0.0)), frame(0.3, (0, 0.0)), smooth=0.2)
    assert found == [1.0, round(math.exp(-0.5), 6), round(math.exp(-1.5), 6)]


def test_smoothing_does_not_depend_on_frames_left_out():
    often = values(*(frame(t / 10, (0, float(t == 0))) for t in range(5)), smooth=0.3)
    seldom = values(frame(0.0, (0, 1.0)), frame(0.4, (0, 0.0)), smooth=0.3)
    assert often[-1] == seldom[-1]


def test_smoothing_is_by_person_and_changes_the_label():
    last = list(tracked([frame(0.0, (0, 0.9), (50, 0.1)), frame(0.1, (50, 0.4), (0, 0.4))], 10.0))[-1]
    assert [(f.track, f.label) for f in last.faces] == [(1, "b"), (0, "a")]


def test_without_smoothing_distributions_stay():
    assert values(frame(0.0, (0, 1.0)), frame(0.1, (0, 0.25)), smooth=0.0) == [1.0, 0.25]


@pytest.mark.parametrize("smooth", [-1, math.nan, math.inf])
def test_no_time_is_refused_before_anything_is_read(smooth):
    with pytest.raises(UserError, match="is no time"):
        tracked([], smooth)
