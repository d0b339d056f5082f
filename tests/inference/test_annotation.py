import numpy as np

from fer_tf.inference import annotation
from fer_tf.inference.annotation import BINS, KEPT, Timeline
from fer_tf.inference.output import Face
from fer_tf.labels import LabelSet

TWO = LabelSet("two", ("happy", "sad"))


def face(time, p, track=0):
    return Face("v.mp4", 0, time, 0, (0.0, 0.0, 9.0, 9.0), 0.9, None, {"happy": p, "sad": 1 - p}, "happy", track)


def test_faces_of_one_bin_are_averaged():
    line = Timeline(TWO)
    line.add([face(0.001, 0.2), face(0.019, 0.4), face(0.021, 1.0)])
    ((track, times, shares),) = line.people()
    assert track == 0
    np.testing.assert_allclose(times, [0.01, 0.03])
    np.testing.assert_allclose(shares, [[0.3, 0.7], [1, 0]], atol=1e-12)


def test_a_long_video_has_no_more_bins_and_keeps_its_means():
    line = Timeline(TWO)
    for i in range(20_000):
        line.add([face(i / 25, (i % 2) / 1.0)])
    ((_, times, shares),) = line.people()
    assert len(times) <= BINS and 780 < times[-1] < 805
    np.testing.assert_allclose(shares[:-1, 0], 0.5, atol=0.03)


def test_a_crowd_is_bounded_and_those_seen_most_stay():
    line = Timeline(TWO)
    for i in range(1000):
        line.add([face(i / 25, 0.5, 0), face(i / 25, 0.5, i + 1)])
    assert len(line) <= 2 * KEPT
    assert line.people(1)[0][0] == 0


def test_photographs_have_no_place():
    line = Timeline(TWO)
    line.add([face(None, 0.5)])
    assert len(line) == 0


def test_gaps_are_left_white_and_people_have_rows():
    line = Timeline(TWO)
    for t in (0.0, 0.1, 0.2, 3.0):
        line.add([face(t, 0.5), *([face(t, 0.9, 1)] if t < 0.15 else [])])
    figure = annotation.draw_timeline(line, "v.mp4")
    first, second = figure.axes
    # Two stretches of two classes, the single moment among them as wide as its bin.
    assert len(first.collections) == 4 and len(second.collections) == 2
    widths = [np.ptp(c.get_paths()[0].vertices[:, 0]) for c in first.collections]
    np.testing.assert_allclose(widths, [0.2, 0.2, 0.02, 0.02], atol=1e-9)
    assert first.get_title(loc="left") == "v.mp4"


def test_people_that_are_not_drawn_are_counted_and_an_empty_video_says_so():
    line = Timeline(TWO)
    line.add([face(0.0, 0.5, k) for k in range(6)])
    assert annotation.draw_timeline(line, "v").axes[0].get_title(loc="left") == "v (2 more faces seen for less time)"
    empty = annotation.draw_timeline(Timeline(TWO), "v")
    assert empty.axes[0].texts[0].get_text() == "no face found"
