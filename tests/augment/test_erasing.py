import numpy as np
import pytest

from fer_tf.augment import get
from fer_tf.augment.mixing import draw_rectangles, draw_squares, erase


def white(count, side=40, channels=1):
    return np.full((count, side, side, channels), 200, np.float32)


def run(call, images, seed=0):
    return get([call])(images, np.ones((len(images), 1), np.float32), np.random.default_rng(seed))[0]


def test_erase_paints_exactly_the_box():
    images = np.arange(2 * 25, dtype=np.float32).reshape(2, 5, 5, 1)
    out = erase(images, np.array([[1, 2, 4, 3], [0, 0, 0, 0]]), np.float32(-1))
    wanted = images.copy()
    wanted[0, 2:3, 1:4] = -1
    np.testing.assert_array_equal(out, wanted)


def test_rectangles_lie_inside_and_keep_area_and_aspect():
    x0, y0, x1, y1 = draw_rectangles(20_000, (100, 100), (0.02, 0.33), (0.3, 3.3), np.random.default_rng(0)).T
    assert min(x0.min(), y0.min()) == 0 and max(x1.max(), y1.max()) == 100
    area = (x1 - x0) * (y1 - y0) / 100**2
    assert area.min() == pytest.approx(0.02, abs=0.002) and area.max() == pytest.approx(0.33, abs=0.01)
    assert area.mean() == pytest.approx((0.02 + 0.33) / 2, abs=0.005)
    ratio = np.log((x1 - x0) / (y1 - y0))
    assert ratio.mean() == pytest.approx(0, abs=0.02) and abs(ratio).max() == pytest.approx(np.log(3.3), abs=0.1)


def test_a_rectangle_that_never_fits_erases_nothing():
    boxes = draw_rectangles(5, (10, 10), (1.0, 1.0), (1.0, 1.0), np.random.default_rng(0))
    assert (boxes[:, 2] == boxes[:, 0]).all() and (boxes[:, 3] == boxes[:, 1]).all()


def test_erasing_takes_its_share_and_paints_black():
    out = run("erasing(p=0.5)", white(2000))
    assert set(np.unique(out)) == {0, 200}
    assert (out == 0).any(axis=(1, 2, 3)).mean() == pytest.approx(0.5, abs=0.03)
    assert (run("erasing(p=0)", white(10)) == 200).all()


def test_erasing_with_the_mean_of_each_face_and_channel():
    images = white(2, channels=3) * np.array([1, 0.5, 0.25], np.float32)
    images[1] += 20
    np.testing.assert_allclose(run("erasing(p=1, fill='mean')", images), images, rtol=1e-6)


def test_erasing_with_noise_covers_all_levels():
    out = run("erasing(p=1, fill='noise')", white(50))
    painted = out[out != 200]
    assert painted.min() < 2 and painted.max() > 253
    assert painted.mean() == pytest.approx(127.5, abs=3)


def test_cutout_squares_are_whole_inside_and_cut_at_the_border():
    boxes = draw_squares(5000, (30, 40), 8, np.random.default_rng(0))
    side = boxes[:, 2:] - boxes[:, :2]
    assert side.max() == 8 and side.min() == 4
    assert boxes.min() == 0 and boxes[:, 2].max() == 40 and boxes[:, 3].max() == 30
    out = run("cutout(size=8, fill=9)", white(1))
    assert 16 <= (out == 9).sum() <= 64
