from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from fer_tf.augment.geometry import affine_matrices, scaling
from fer_tf.augment.warp import FILLS, PIECE_PIXELS, warp


def ramp(height=4, width=5, count=1, channels=1):
    return np.arange(count * height * width * channels, dtype=np.float32).reshape(count, height, width, channels)


def test_the_identity_returns_every_pixel_of_bytes_and_floats():
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 3), dtype=np.uint8)
    for given in (images, images.astype(np.float32)):
        out = warp(given, scaling(np.ones(3), 1.0), (6, 7))
        assert out.dtype == np.float32
        np.testing.assert_array_equal(out, images)


def test_a_shift_by_whole_pixels_is_exact_and_fills():
    image = ramp()
    move = scaling(np.ones(1), 1.0, -2.0, 1.0)  # two to the right, one up
    black = np.zeros((4, 5), np.float32)
    black[:3, 2:] = image[0, 1:, :3, 0]
    np.testing.assert_array_equal(warp(image, move, (4, 5), "constant")[0, ..., 0], black)
    edge = np.pad(image[0, ..., 0], ((0, 1), (2, 0)), mode="edge")[1:, :5]
    np.testing.assert_array_equal(warp(image, move, (4, 5), "edge")[0, ..., 0], edge)
    mirror = np.pad(image[0, ..., 0], ((0, 1), (2, 0)), mode="reflect")[1:, :5]
    np.testing.assert_array_equal(warp(image, move, (4, 5), "reflect")[0, ..., 0], mirror)


def test_half_a_pixel_is_the_mean_of_two():
    image = np.array([10, 20, 60], np.float32).reshape(1, 1, 3, 1)
    half = scaling(np.ones(1), 1.0, 0.5)
    assert warp(image, half, (1, 3), "edge").ravel().tolist() == [15, 40, 60]
    assert warp(image, half, (1, 3), "constant").ravel().tolist() == [15, 40, 30]
    assert warp(image, half, (1, 3), "reflect").ravel().tolist() == [15, 40, 40]


@pytest.mark.parametrize(("fill", "mode"), [("constant", "constant"), ("edge", "nearest"), ("reflect", "mirror")])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_scipy_under_any_matrix(fill, mode, channels):
    rng = np.random.default_rng(1)
    images = rng.random((8, 11, 9, channels), dtype=np.float32) * 255
    matrices = affine_matrices(
        (11, 9), rng.uniform(-180, 180, 8), rng.uniform(-6, 6, (8, 2)), rng.uniform(0.5, 2, (8, 2)),
        rng.uniform(-0.3, 0.3, (8, 2)),
    )  # fmt: skip
    out = warp(images, matrices, (10, 12), fill)
    y, x = np.mgrid[:10, :12]
    points = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    # scipy's "constant" jumps at the border; a black frame makes it blend as ours does.
    room = 30 if fill == "constant" else 0
    for image, matrix, got in zip(images, matrices, out, strict=True):
        sx, sy, _ = matrix @ points
        for c in range(channels):
            plane = np.pad(image[..., c], room)
            wanted = map_coordinates(plane, [sy + room, sx + room], order=1, mode=mode)
            np.testing.assert_allclose(got[..., c].ravel(), wanted, atol=0.02)


def test_a_batch_larger_than_a_piece_equals_its_images_one_by_one():
    rng = np.random.default_rng(2)
    side = 40
    count = 2 * (PIECE_PIXELS // side**2) + 3
    images = rng.random((count, side, side, 1), dtype=np.float32)
    matrices = affine_matrices((side, side), rng.uniform(-30, 30, count))
    together = warp(images, matrices, (side, side))
    alone = [warp(images[i : i + 1], matrices[i : i + 1], (side, side))[0] for i in range(count)]
    np.testing.assert_array_equal(together, np.stack(alone))


@pytest.mark.parametrize("fill", FILLS)
def test_stretches_and_shifts_have_the_bits_of_what_also_turns(fill):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (9, 11, 13, 3), dtype=np.uint8)
    straight = scaling(
        rng.uniform(-1.5, 1.5, 9), rng.uniform(0.5, 1.5, 9), rng.uniform(-9, 9, 9), rng.uniform(-9, 9, 9)
    )
    turned = straight.copy()
    turned[:, 0, 1] = turned[:, 1, 0] = 1e-30  # too little to move a pixel, and enough for the other way
    both = np.where((np.arange(9) % 2 == 0)[:, None, None], straight, turned)
    wanted = warp(images, turned, (12, 10), fill)
    for matrices in (straight, both):
        np.testing.assert_array_equal(warp(images, matrices, (12, 10), fill), wanted)


def test_a_single_pixel_can_be_reflected():
    assert warp(np.full((1, 1, 1, 1), 7, np.float32), scaling(np.ones(1), 1.0, 3.0), (2, 2), "reflect").mean() == 7


def test_one_threads_pieces_do_not_touch_anothers():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, side, side, 1)).astype(np.uint8) for side in (20, 48, 30)]
    turned = np.tile(np.array([[0.9, 0.2, 1.3], [-0.2, 1.1, -2.7], [0, 0, 1]]), (40, 1, 1))
    alone = [warp(image, turned, (25, 31), "reflect") for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: warp(images[i % 3], turned, (25, 31), "reflect"), range(60)))
    assert all(np.array_equal(found, alone[i % 3]) for i, found in enumerate(together))


def test_copied_windows_are_those_that_are_interpolated():
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 8, 2), dtype=np.uint8)
    matrices = np.tile(np.eye(3), (5, 1, 1))
    matrices[0, :2, 2] = 2, 1  # a window
    matrices[1, 0, 0], matrices[1, 0, 2] = -1, 6  # mirrored
    matrices[2, 1, 1], matrices[2, 1, 2] = -1, 4  # upside down
    matrices[3, :2, 2] = 5, 7  # leaves the image
    matrices[4, 0, 1] = 0.25  # slanted, so that the others are next to an interpolated one
    together = warp(images, matrices, (4, 5), "constant")
    np.testing.assert_array_equal(together[0], images[0, 1:5, 2:7])
    np.testing.assert_array_equal(together[1], images[1, :4, 6:1:-1])
    np.testing.assert_array_equal(together[2], images[2, 4:0:-1, :5])
    np.testing.assert_array_equal(together[3, :2, :3], images[3, 7:, 5:])
    assert not together[3, 2:].any() and not together[3, :, 3:].any()
    alone = [warp(images[i : i + 1], matrices[i : i + 1], (4, 5), "constant")[0] for i in range(5)]
    np.testing.assert_array_equal(together, alone)
