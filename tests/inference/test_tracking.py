"""Numbers by overlap and smoothing over time, by hand."""

import math

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.faces.detectors import Detections
from fer_tf.inference.output import Face, ImageResult
from fer_tf.inference.tracking import check_gap, detect_key_frames, iou, tracked
from fer_tf.io.video import InputImage


def frame(time, *faces, source="v.mp4"):
    """Make a frame of faces (left, probability of a); they are 10 pixels wide and high."""
    made = [
        Face(source, 0, time, i, (left, 0.0, left + 10.0, 10.0), 0.9, None, {"a": p, "b": 1 - p}, "ab"[p <= 0.5])
        for i, (left, p) in enumerate(faces)
    ]
    return ImageResult(source, 0, time, None, tuple(made))


def tracks(*frames, smooth=0.0):
    return [[f.track for f in result.faces] for result in tracked(frames, smooth)]


def values(*frames, smooth):
    return [round(f.distribution["a"], 6) for result in tracked(frames, smooth) for f in result.faces]


def test_iou_by_hand():
    a = np.array([[0, 0, 10, 10]], float)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [0, 0, 0, 0]], float)
    np.testing.assert_allclose(iou(a, b), [[1, 50 / 150, 0, 0]])


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
    photograph = ImageResult("x.jpg", None, None, None, frame(None, (0, 1)).faces)
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


GRAY = np.full((60, 80, 3), 100, np.uint8)


def film(count, rate=25.0, pictures=None, source="v.mp4"):
    pictures = pictures or [GRAY] * count
    return [InputImage(source, i, picture, time=i / rate) for i, picture in enumerate(pictures)]


def faces(*places):
    """Return 10-pixel faces at (left, score); the first landmark is at the left edge, the rest are missing."""
    left = np.array([p for p, _ in places], np.float32).reshape(-1, 1)
    points = np.full((len(places), 5, 2), np.nan, np.float32)
    points[:, 0, 0], points[:, 0, 1] = left[:, 0], 5
    boxes = np.hstack([left, 0 * left, left + 10, 0 * left + 10]).astype(np.float32)
    return Detections(np.array([s for _, s in places], np.float32), boxes, points)


class Seen:
    """A detector that knows the faces of each frame by number and remembers what it was asked."""

    def __init__(self, rows, readings):
        self.rows, self.names, self.asked = rows, {id(r.picture): r.video_frame for r in readings}, []

    def detect(self, pictures):
        self.asked += [self.names[id(p)] for p in pictures]
        return [self.rows[self.names[id(p)]] for p in pictures]


def follow(rows, gap, rate=25.0):
    """Return what the detector was asked, and the (left, score) of every frame's faces."""
    readings = film(len(rows), rate, [GRAY.copy() for _ in rows])
    detector = Seen(rows, readings)
    found = detect_key_frames(readings, detector.detect, gap)
    return detector.asked, [list(zip(f.boxes[:, 0].tolist(), f.scores.tolist(), strict=True)) for f in found]


def key_frames(readings, gap):
    """Return the pictures that the detector is shown."""
    readings = [InputImage(r.source, r.video_frame, r.picture.copy(), time=r.time) for r in readings]
    asked, numbers = [], {id(r.picture): i for i, r in enumerate(readings)}
    detect_key_frames(
        readings, lambda pictures: asked.extend(numbers[id(p)] for p in pictures) or [faces()] * len(pictures), gap
    )
    return asked


@pytest.mark.parametrize(
    ("count", "rate", "gap", "expected"),
    [
        (8, 25, 0.12, [1, 4, 7]),
        (8, 25, 0.16, [1, 5]),
        (8, 30, 0.16, [1, 5]),
        (6, 25, 0.16, [1, 5]),
        (4, 25, 0.16, [0, 3]),
        (8, 30, 0.1, [1, 4, 7]),
        (8, 60, 0.12, [0, 7]),
        (7, 25, 0.12, [1, 4, 6]),
        (2, 25, 0.12, [0]),
        (1, 25, 0.12, [0]),
        (8, 25, 0.08, [0, 2, 4, 6]),
        (4, 10, 0.12, [0, 1, 2, 3]),
        (4, 25, 0.0, [0, 1, 2, 3]),
    ],
)
def test_key_frames_are_at_most_the_gap_apart(count, rate, gap, expected):
    assert key_frames(film(count, rate), gap) == expected


def test_photographs_and_each_video_stand_for_themselves():
    photographs = [InputImage(f"{i}.jpg", None, GRAY) for i in range(3)]
    assert key_frames(photographs, 0.12) == [0, 1, 2]
    assert key_frames([*film(4), *film(4, source="w.mp4")], 1.0) == [0, 3, 4, 7]


def test_another_scene_is_looked_at_again():
    dark = np.full_like(GRAY, 40)
    assert key_frames(film(8, pictures=[GRAY] * 2 + [dark] * 6), 0.12) == [0, 3, 6]
    # Forty levels in a quarter of the picture are movement, ten on average.
    moved = GRAY.copy()
    moved[:30, :40] += 40
    assert key_frames(film(8, pictures=[GRAY] * 2 + [moved] * 6), 0.12) == [1, 4, 7]


def test_a_face_goes_in_a_straight_line_between_two_sights_of_it():
    asked, found = follow([faces((1.5 * i, 0.9 - 0.1 * (i == 4))) for i in range(8)], 0.12)
    assert asked == [1, 4, 7]
    # Frame 0 is before the first sight, on the same line.
    np.testing.assert_allclose([f[0][0] for f in found], [0, 1.5, 3, 4.5, 6, 7.5, 9, 10.5], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose([f[0][1] for f in found], [0.8, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.9], rtol=1e-6)


def test_landmarks_go_along_and_missing_ones_stay_missing():
    readings = film(4, pictures=[GRAY.copy() for _ in range(4)])
    found = detect_key_frames(readings, Seen([faces((1.0 * i, 0.9)) for i in range(4)], readings).detect, 0.12)
    np.testing.assert_allclose(found[2].landmarks[0, 0], [2, 5])
    assert np.isnan(found[2].landmarks[0, 1:]).all() and found[2].boxes.dtype == np.float32


def test_who_is_seen_once_stays_for_the_nearer_frames():
    rows = [faces()] * 4 + [faces((50.0, 0.7), (0.0, 0.6))] * 1 + [faces()] * 2 + [faces((0.0, 0.9))]
    _, found = follow(rows, 0.12)
    assert [len(f) for f in found] == [0, 0, 0, 2, 2, 2, 1, 1]
    # The best-detected first: the one that is seen again has the lower score of both sights.
    np.testing.assert_allclose(found[5], [(50.0, 0.7), (0.0, 0.6)], rtol=1e-6)
    np.testing.assert_allclose(found[6], [(0.0, 0.6)], rtol=1e-6)


def test_two_faces_keep_their_own_lines():
    rows = [faces((0.0, 0.9), (40.0, 0.8))] * 2 + [faces((43.0, 0.9), (3.0, 0.8))] * 3
    _, found = follow(rows, 0.12)
    assert sorted(round(left, 4) for left, _ in found[2]) == [1.0, 41.0]


@pytest.mark.parametrize("gap", [-0.1, float("nan"), float("inf")])
def test_no_time_is_refused(gap):
    with pytest.raises(UserError, match="is no time"):
        check_gap(gap)
