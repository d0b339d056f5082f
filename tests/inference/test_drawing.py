import numpy as np
import pytest

from fer_tf import labels
from fer_tf.inference.drawing import annotate, colors
from fer_tf.inference.output import Face

GRAY = np.full((480, 640, 3), 128, np.uint8)


def face(box, happy=0.75, index=0):
    return Face("x", None, None, index, box, 0.9, None, {"happy": happy, "sad": 1 - happy}, "happy")


def changed(picture, after):
    return np.any(picture != after, axis=-1)


def test_box_label_and_bars_are_drawn_beside_the_face():
    after = annotate(GRAY, [face((100, 100, 200, 220))])
    assert after.shape == GRAY.shape and (GRAY == 128).all()
    orange = (after == (230, 159, 0)).all(axis=-1)
    assert orange[150, 99:103].any() and orange[100, 120:180].all()
    # The face itself stays free, and the panel is at its right.
    mask = changed(GRAY, after)
    assert not mask[108:212, 108:192].any()
    assert mask[102:120, 205:300].mean() > 0.8
    # The first bar is 3/4 of the second's and its own track: 0.75 to 0.25.
    happy, sad = orange[:, 205:].sum(), (after == (86, 180, 233)).all(axis=-1)[:, 205:].sum()
    assert 2.5 < happy / sad < 3.5


def test_bars_are_left_out_where_they_would_hide_something():
    whole = annotate(GRAY, [face((0, 0, 640, 480))])
    assert not changed(GRAY, whole)[60:470, 10:630].any()
    grid = [face((x, y, x + 78, y + 58), index=i) for i, (x, y) in enumerate(np.ndindex(8, 8))]
    grid = [face((80.0 * (i % 8), 60.0 * (i // 8), 80.0 * (i % 8) + 78, 60.0 * (i // 8) + 58)) for i in range(64)]
    after = annotate(GRAY, grid)
    for f in grid:
        x0, y0, x1, y1 = (int(v) for v in f.box)
        assert not changed(GRAY, after)[y0 + 25 : y1 - 22, x0 + 8 : x1 - 8].any()


@pytest.mark.parametrize("box", [(-50, -50, 60, 60), (600, 440, 700, 500), (10, 10, 10, 10), (30, 30, 20, 20)])
def test_boxes_beyond_the_picture_and_empty_ones_are_no_trouble(box):
    assert annotate(GRAY, [face(tuple(map(float, box)))]).shape == GRAY.shape


def test_small_pictures_are_enlarged_but_not_video_frames():
    small = np.zeros((40, 48, 3), np.uint8)
    assert annotate(small, [face((5.0, 5.0, 40.0, 35.0))]).shape == (533, 640, 3)
    assert annotate(small, [face((5.0, 5.0, 40.0, 35.0))], enlarge=False).shape == small.shape
    assert annotate(np.zeros((1, 1, 3), np.uint8), []).shape == (640, 640, 3)


def test_every_label_set_has_a_color_a_class_and_synonyms_share_it():
    for label_set in labels.LABEL_SETS.values():
        assert len(set(colors(label_set.classes).values())) == len(label_set)
    assert colors(["happiness"])["happiness"] == colors(["happy"])["happy"]
    assert len(colors([f"class {i}" for i in range(9)])) == 9
