import numpy as np
import pytest

from fer_tf.augment import get
from fer_tf.augment.mixing import draw_boxes, mix, paste, pick

IMAGES = np.array([0, 100, 200], np.float32).reshape(3, 1, 1, 1) * np.ones((1, 4, 4, 1), np.float32)
TARGETS = np.eye(3, dtype=np.float32)


def test_mix_is_the_weighted_sum_of_faces_and_targets():
    images, targets = mix(IMAGES, TARGETS, np.array([1, 2, 0]), np.array([0.75, 0.5, 1.0]))
    assert images[:, 0, 0, 0].tolist() == [25, 150, 200]
    assert targets.tolist() == [[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 1]]


def test_paste_counts_the_area_of_the_box():
    boxes = np.array([[0, 0, 4, 1], [1, 1, 3, 3], [0, 0, 0, 0]])
    images, targets = paste(IMAGES, TARGETS, np.array([1, 2, 0]), boxes)
    assert images[0, 0, :, 0].tolist() == [100] * 4 and not images[0, 1:].any()
    assert images[1, ..., 0].sum() == 12 * 100 + 4 * 200
    assert targets.tolist() == [[0.75, 0.25, 0], [0, 0.75, 0.25], [0, 0, 1]]


def test_cutmix_boxes_have_the_drawn_area_before_the_border_cuts_them():
    boxes = draw_boxes(np.full(4000, 0.75), (40, 60), np.random.default_rng(0))
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert width.max() == 30 and height.max() == 20  # a quarter of 40×60
    assert boxes.min() == 0 and boxes[:, 2].max() == 60 and boxes[:, 3].max() == 40
    none = draw_boxes(np.ones(5), (8, 8), np.random.default_rng(0))
    assert (none[:, :2] == none[:, 2:]).all()


def test_cutmix_targets_follow_the_pixels_shown():
    images = np.arange(64, dtype=np.float32).reshape(64, 1, 1, 1) * np.ones((1, 10, 10, 1), np.float32)
    out, targets = get(["cutmix()"])(images, np.eye(64, dtype=np.float32), np.random.default_rng(0))
    for face, row in zip(out, targets, strict=True):
        shares = np.bincount(face.astype(int).ravel(), minlength=64) / 100
        np.testing.assert_allclose(row, shares, atol=1e-6)
    assert (targets.max(axis=1) < 1).mean() > 0.5


def test_mixup_draws_shares_from_a_beta_an_image():
    n = 4000
    images = np.zeros((n, 1, 1, 1), np.float32)
    targets = np.eye(n, dtype=np.float32)
    _, mixed = get(["mixup(alpha=0.5)"])(images, targets, np.random.default_rng(0))
    share = np.diagonal(mixed)
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / 8, abs=0.01)  # 1 / (4 (2 alpha + 1))


def test_pick_takes_the_class_where_the_running_sum_passes():
    rows = np.array([[0.2, 0.5, 0.3]] * 5 + [[0, 1, 0]] * 2, np.float32)
    uniform = np.array([0, 0.19, 0.21, 0.69, 0.71, 0, 1 - 2**-24])
    assert pick(rows, uniform).argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 1, 1]


def test_sampled_targets_are_one_hot_with_the_rows_frequencies():
    row = np.array([0.1, 0, 0.6, 0.3], np.float32)
    _, targets = get(["sample_target()"])(
        np.zeros((20_000, 1, 1, 1), np.float32), np.tile(row, (20_000, 1)), np.random.default_rng(0)
    )
    assert set(np.unique(targets)) == {0, 1} and (targets.sum(axis=1) == 1).all()
    np.testing.assert_allclose(targets.mean(axis=0), row, atol=0.01)
    assert targets[:, 1].sum() == 0
