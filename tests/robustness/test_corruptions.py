"""Every corruption against what it must do to pixels that are known by hand."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.faces.masks import wearable
from fer_tf.robustness import CORRUPTIONS, SEVERITIES, canonical_landmarks, corrupt, corruptions, effects
from fer_tf.robustness.corruptions import FaceBatch

# These do the same to every face.
DRAWLESS = {"brighter", "darker", "contrast", "gaussian_blur", "defocus_blur", "pixelate", "eyes", "mouth"}
EXACT = [name for name in CORRUPTIONS if CORRUPTIONS[name].facts["exact"]]


@pytest.fixture(scope="module")
def table():
    return datasets.load_synthetic(faces=12, channels=1)


def flat(level, count=1, side=48, channels=1):
    return np.full((count, side, side, channels), level, np.uint8)


def faces(images, name="test", landmarks=None):
    return FaceBatch(images, corruptions.face_keys(0, name, range(len(images))), landmarks)


def worsened(table, name, severity, rows=slice(None), seed=0):
    return corrupt(table.images[rows], name, severity, seed, table.ids[rows], table.landmarks[rows])


# Light


def test_brighter_adds_levels_and_saturates():
    assert effects.brighter(faces(flat(100)), 51).mean() == 151
    assert effects.brighter(faces(flat(250)), 51).max() == 255


def test_darker_multiplies_and_rounds():
    # 0.25 is 64/256: 101 · 64 = 6464, and (6464 + 128) / 256 = 25.75.
    assert set(effects.darker(faces(flat(101)), 0.25).ravel()) == {25}
    np.testing.assert_array_equal(effects.darker(faces(flat(77)), 1), flat(77))


def test_contrast_keeps_the_mean_and_a_share_of_the_distance():
    images = flat(100)
    images[:, :24] = 140  # mean 120
    found = effects.contrast(faces(images), 0.25)
    assert set(found[0, :24].ravel()) == {125} and set(found[0, 24:].ravel()) == {115}
    np.testing.assert_array_equal(effects.contrast(faces(images), 1), images)


# Noise


def test_normal_draws_have_the_moments_of_a_normal_distribution():
    z = corruptions.normal(corruptions.face_keys(0, "moments", range(40)), (10_000,)) / corruptions.NORMAL_UNIT
    assert abs(z.mean()) < 0.006 and abs(z.var() - 1) < 0.01
    assert abs((z**3).mean()) < 0.02 and abs((z**4).mean() - 3) < 0.06
    assert abs(z).max() <= 4.33


def test_gaussian_noise_has_its_variance_and_no_bias():
    found = effects.gaussian_noise(faces(flat(128, 20)), 10).astype(float) - 128
    # Rounding to whole levels adds a twelfth.
    assert abs(found.mean()) < 0.15 and abs(found.var() - (100 + 1 / 12)) < 2


def test_shot_noise_counts_photons():
    # At 100 photons for white, level 51 has 20 of them in the mean: 2.55 levels each, variance 20 · 2.55² = 130.05.
    found = effects.shot_noise(faces(flat(51, 20)), 100).astype(float)
    assert abs(found.mean() - 51) < 0.25 and abs(found.var() - 130.05) < 3
    assert not effects.shot_noise(faces(flat(0)), 100).any()
    # Level 0 < 51 has no photon with probability e^-0.6 at 3 photons for white.
    assert abs((effects.shot_noise(faces(flat(51, 20)), 3) == 0).mean() - np.exp(-0.6)) < 0.01


def test_impulse_noise_makes_a_share_black_and_as_many_white():
    found = effects.impulse_noise(faces(flat(128, 20)), 0.1)
    assert abs((found == 0).mean() - 0.05) < 0.005 and abs((found == 255).mean() - 0.05) < 0.005
    assert set(np.unique(found)) == {0, 128, 255}


# Blur


def impulse(side=15):
    image = np.zeros((1, side, side, 1), np.uint8)
    image[0, side // 2, side // 2] = 255
    return image


@pytest.mark.parametrize("blur", [effects.gaussian_blur, effects.motion_blur, effects.defocus_blur])
def test_blurs_keep_flat_pictures_and_are_nothing_at_almost_zero(blur):
    np.testing.assert_array_equal(blur(faces(flat(201)), 3), flat(201))
    sharp = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3)).astype(np.uint8)
    np.testing.assert_array_equal(blur(faces(sharp), 0.05), sharp)


def test_a_gaussian_blur_is_that_of_scipy():
    from scipy.ndimage import gaussian_filter

    sharp = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype(np.uint8)
    wanted = gaussian_filter(sharp.astype(float), (0, 1.8, 1.8, 0), mode="nearest", radius=(0, 6, 6, 0))
    assert abs(effects.gaussian_blur(faces(sharp), 1.8) - wanted).max() < 1


def test_defocus_is_a_disc():
    wide = effects.defocus_blur(faces(impulse()), 3 * 48 / 15)[0, :, :, 0]
    # Radius 3 pixels of this picture: 255 / (9 π) = 9.02 inside, symmetric, nothing beyond.
    assert wide[7, 7] == wide[7, 9] == wide[9, 8] == 9 and wide[7, 11] == wide[10, 10] == 0
    np.testing.assert_array_equal(wide, wide.T)


def test_motion_blur_averages_along_its_line():
    one, diagonal = effects.motion_taps(3, 0.0), effects.motion_taps(3, np.pi / 4)
    share = {(y, x): w / 2**22 for y, x, w in one}
    assert {y for y, _ in share} == {0}
    # Three pixels long and each point split between two neighbors: 1/24, 7/24, 8/24 but for the sixteenths.
    assert share[0, 0] == pytest.approx(1 / 3 - 1 / 12 + 1 / 12, abs=0.02) and sum(share.values()) == 1
    assert all(abs(y - x) <= 1 for y, x, _ in diagonal) and sum(w for *_, w in diagonal) == 2**22


# Encoding


def test_jpeg_is_what_pillow_writes_and_nothing_happens_to_flat_faces():
    sharp = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(sharp[0, ..., 0]).save(buffer, "JPEG", quality=20)
    np.testing.assert_array_equal(effects.jpeg(faces(sharp), 20)[0, ..., 0], np.asarray(Image.open(buffer)))
    np.testing.assert_array_equal(effects.jpeg(faces(flat(128, 2, channels=3)), 20), flat(128, 2, channels=3))


def test_pixelate_shows_means_of_cells():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    # Cells (0, 1, 4, 5), (2, 3, 6, 7), …: means 2.5, 4.5, 10.5 and 12.5, halves rounded up.
    wanted = np.array([[3, 5], [11, 13]]).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(effects.pixelate(faces(image), 2)[0, ..., 0], wanted)
    np.testing.assert_array_equal(effects.pixelate(faces(image), 4), image)
    # Five pixels in two cells: two and three.
    five = np.array([[0, 10, 20, 30, 40]] * 5, np.uint8)[None, ..., None]
    assert effects.pixelate(faces(five), 2)[0, 0, :, 0].tolist() == [5, 5, 30, 30, 30]


# Framing


def test_a_shift_moves_pixels_and_repeats_the_edge():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    assert effects.shift(image, 1, 0)[0, ..., 0].tolist() == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]
    assert effects.shift(image, 0, -1)[0, ..., 0].tolist() == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]


def test_translation_goes_all_eight_ways():
    image = np.zeros((1, 48, 48, 1), np.uint8)
    image[0, 20, 20] = 255
    found = effects.translation(faces(image.repeat(200, axis=0)), 4)
    places = {tuple(np.argwhere(f[..., 0])[0] - 20) for f in found}
    assert places == {(y, x) for y in (-4, 0, 4) for x in (-4, 0, 4)} - {(0, 0)}


def test_rotation_by_a_right_angle_turns_pixels_either_way():
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1)).astype(np.uint8)
    found = effects.rotation(faces(image.repeat(20, axis=0)), 90)
    turned = {k: np.rot90(image[0], k) for k in (1, 3)}
    ways = [next(k for k, t in turned.items() if np.array_equal(t, f)) for f in found]
    assert {1, 3} == set(ways)
    np.testing.assert_array_equal(effects.rotation(faces(image), 0), image)


def test_scale_enlarges_and_shrinks_about_the_middle():
    image = flat(0)
    image[:, 16:32, 16:32] = 255  # 16 pixels wide
    found = effects.scale(faces(image.repeat(20, axis=0)), 2)
    widths = {round(float(f[24].sum() / 255)) for f in found}
    assert widths == {8, 32}
    np.testing.assert_array_equal(effects.scale(faces(image), 1), image)


# Occlusion


def test_bands_lie_where_fer2013_has_eyes_and_mouths():
    eyes = effects.eyes(faces(flat(7)), 1)
    assert (eyes[0, 13:24] == 128).all() and (eyes[0, :13] == 7).all() and (eyes[0, 24:] == 7).all()
    mouth = effects.mouth(faces(flat(7)), 1, fill=0)
    assert (mouth[0, 31:42] == 0).all() and (mouth[0, :31] == 7).all() and (mouth[0, 42:] == 7).all()


def test_a_patch_covers_its_share_by_one_rectangle():
    found = effects.patch(faces(flat(7, 50)), 0.25)[..., 0] == 128
    for hidden in found:
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert hidden.sum() == rows.sum() * columns.sum()
        assert abs(hidden.mean() - 0.25) < 0.015 and 0.6 < columns.sum() / rows.sum() < 1.6
    assert len({f.tobytes() for f in found}) > 40
    with pytest.raises(UserError, match="fill=300 is no level"):
        corrupt(flat(7), "patch(fill=300)", 1)


# Masks


def test_a_mask_slides_up_with_severity(table):
    images, bottom = worsened(table, "mask", 5), slice(30, 48)
    changed = images != table.images
    assert (changed.mean(axis=(1, 2, 3)) > 0.15).all()
    tops = [np.argmax((worsened(table, "mask", s) != table.images).any(axis=(2, 3)), axis=1).mean() for s in SEVERITIES]
    assert (np.diff(tops) < 0).all() and changed[:, bottom].mean() > changed[:, :20].mean()


def test_masks_need_landmarks():
    with pytest.raises(UserError, match="needs the landmarks of every face"):
        corrupt(flat(90), "mask", 1)
    points = canonical_landmarks(3, (48, 48))
    points[1] = np.nan
    points[2] = 5
    assert wearable(points).tolist() == [True, False, False]
    # Eyes at 0.385 of the height, 0.37 of it apart, the mouth 1.04 eye distances below them.
    np.testing.assert_allclose(points[0, [0, 1, 3]], [[15.12, 18.48], [32.88, 18.48], [16.5408, 36.9504]], rtol=1e-5)
    kinds = {k: corrupt(flat(90), f"mask(kind={k!r})", 5, landmarks=points[:1]) for k in ("n95", "cloth")}
    assert (kinds["n95"] != kinds["cloth"]).any()


# All of them


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_severity_grows_from_nothing(table, name):
    np.testing.assert_array_equal(worsened(table, name, 0), table.images)
    distance = [np.abs(worsened(table, name, s).astype(float) - table.images).mean() for s in SEVERITIES]
    assert distance[0] > 0 and (np.diff(distance) > 0).all(), distance


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_neither_batches_nor_order_nor_neighbors_matter(table, name):
    everything = worsened(table, name, 4)
    backwards = worsened(table, name, 4, slice(None, None, -1))
    alone = worsened(table, name, 4, slice(5, 6))
    np.testing.assert_array_equal(backwards[::-1], everything)
    np.testing.assert_array_equal(alone[0], everything[5])


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_color_faces_of_another_size_are_taken_and_left_alone(name):
    corruptions = np.random.default_rng(0)
    images = corruptions.integers(0, 256, (3, 61, 61, 3)).astype(np.uint8)
    before = images.copy()
    found = corrupt(images, name, 3, landmarks=canonical_landmarks(3, (61, 61)))
    assert found.shape == images.shape and found.dtype == np.uint8 and (found != images).any()
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", sorted(set(EXACT) - DRAWLESS))
def test_seed_and_id_draw(table, name):
    images = flat(100, 30)
    images[:, 10:20, 24:] = 200
    found = corrupt(images, name, 3)
    assert len({f.tobytes() for f in found}) > 1, "all faces draw alike"
    assert (corrupt(images, name, 3, seed=1) != found).any()


DIGESTS = {
    "brighter": "c2295abe46cd53ba",
    "darker": "7b0314ea822744e7",
    "contrast": "3e87132d555bf15a",
    "gaussian_noise": "ad7a33fb3e455d60",
    "shot_noise": "98b4c9840086c9cd",
    "impulse_noise": "176061cf2f1bc941",
    "gaussian_blur": "a542bc545cc345d9",
    "motion_blur": "82db669d9d37d8cd",
    "defocus_blur": "9846cb1fcccd3b9a",
    "pixelate": "713a6cb5b4cff114",
    "rotation": "7738dd3963b1be5b",
    "translation": "b760a1a073ae94bb",
    "scale": "91b87475406b30cc",
    "eyes": "0a3f02ea5e463fe2",
    "mouth": "ca744f084e9c3f50",
    "patch": "b8a6d8f4deb315b6",
}


@pytest.mark.parametrize("name", EXACT)
def test_bits_are_those_of_every_machine(name):
    """Stored digests of pictures made of whole numbers alone."""
    rows, columns, number = np.mgrid[:48, :48, :4].astype(np.int64)
    images = np.moveaxis((rows * 5 + columns * (3 + number) + (rows * columns) % 17) % 256, -1, 0)
    found = b"".join(corrupt(images[..., None].astype(np.uint8), name, s).tobytes() for s in SEVERITIES)
    assert hashlib.blake2b(found, digest_size=8).hexdigest() == DIGESTS[name]


def test_jpeg_and_masks_reproduce_here(table):
    for name in ("jpeg", "mask"):
        np.testing.assert_array_equal(worsened(table, name, 3), worsened(table, name, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((flat(1), "fog", 1), "Unknown corruption 'fog'. Available: brighter"),
        ((flat(1), "brighter", 6), "severity=6 is out of range"),
        ((flat(1), "brighter", 1.5), "severity=1.5 is out of range"),
        ((flat(1), "brighter", 1, -1), "seed=-1 is negative"),
        ((flat(1).astype(float), "brighter", 1), r"float64 \(1, 48, 48, 1\)"),
        ((flat(1), "brighter", 1, 0, ["a", "b"]), "2 ids for 1 images"),
        ((flat(1), "eyes(color=3)", 1), "takes no 'color'"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message):
        corrupt(*arguments)
