import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.faces.masks import MASKS, cut_face, put_mask

# Millimetres on a head: eyes, nose tip, mouth corners; x to the picture's right, y down, z to the camera.
HEAD = np.array([(-31, 0, 0), (31, 0, 0), (0, 37, 27), (-26, 66, 6), (26, 66, 6)], float)
KINDS = sorted(MASKS)


def landmarks(turn=0.0, tilt=0.0, scale=1.0, center=(112, 80)):
    """Project the head, one pixel a millimetre: turned to the picture's right, then tilted clockwise, in degrees."""
    turn, tilt = np.radians([turn, tilt])
    x = HEAD[:, 0] * np.cos(turn) + HEAD[:, 2] * np.sin(turn)
    y = HEAD[:, 1]
    flat = np.stack([x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)], axis=1)
    return flat * scale + center


def skin(size=224, level=(200, 160, 140)):
    return np.broadcast_to(np.array(level, np.uint8), (size, size, 3)).copy()


def at(picture, point):
    return picture[int(point[1]), int(point[0])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("turn", "tilt"), [(0, 0), (0, 30), (0, -30), (35, 0), (-35, 0), (50, 20), (-25, -30)])
def test_nose_and_mouth_are_covered_and_eyes_are_not(kind, turn, tilt):
    points = landmarks(turn, tilt)
    masked = put_mask(skin(), points, kind)
    right_eye, left_eye, *covered = points
    for point in (*covered, (points[3] + points[4]) / 2):
        assert at(masked.alpha, point) == 1
    for point in (right_eye, left_eye):
        x, y = point.astype(int)
        assert not masked.alpha[y - 6 : y + 7, x - 9 : x + 10].any()
        # The mask's shadow may reach a corner.
        assert np.abs(masked.image[y - 6 : y + 7, x - 9 : x + 10].astype(int) - skin()[0, 0]).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_half_that_turns_away_is_narrower(kind):
    for turn, narrow in ((30, 1), (-30, -1)):
        points = landmarks(turn)
        row = put_mask(skin(), points, kind).alpha[int(points[3, 1])] == 1
        covered = np.flatnonzero(row)
        middle = points[3:, 0].mean()
        right, left = covered.max() - middle, middle - covered.min()
        assert (right - left) * narrow < -5
    even = np.flatnonzero(put_mask(skin(), landmarks(), kind).alpha[int(landmarks()[3, 1])] == 1)
    assert even.min() + even.max() + 1 == pytest.approx(2 * 112, abs=1.01)


@pytest.mark.parametrize("kind", KINDS)
def test_cover_turns_by_90_degrees_with_the_landmarks(kind):
    points = landmarks(15, 10)
    turned = np.stack([224 - points[:, 1], points[:, 0]], axis=1)  # Clockwise.
    upright, lying = put_mask(skin(), points, kind).alpha, put_mask(skin(), turned, kind).alpha
    assert np.abs(np.rot90(upright, -1) - lying).mean() < 0.002
    assert upright.mean() > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [2, 8])
def test_cover_grows_with_the_landmarks(kind, scale):
    size = 160
    small = put_mask(skin(size), landmarks(center=(80, 50)), kind).alpha
    large = put_mask(skin(size * scale), landmarks(center=(80, 50)) * scale, kind).alpha
    shrunk = large.reshape(size, scale, size, scale).mean(axis=(1, 3))
    assert np.abs(shrunk - small).mean() < 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_48_pixels_suffice(kind):
    points = landmarks(scale=0.33, center=(24, 17))
    masked = put_mask(skin(48), points, kind)
    assert at(masked.alpha, points[2]) == 1 and at(masked.alpha, points[0]) == 0
    soft = (masked.alpha > 0.1) & (masked.alpha < 0.9)
    assert soft.sum() > 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_another_mask(kind):
    first, again = (put_mask(skin(), landmarks(), kind, seed=(3, 5)) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes() and first.alpha.tobytes() == again.alpha.tobytes()
    others = {put_mask(skin(), landmarks(), kind, seed=seed).image.tobytes() for seed in range(6)}
    assert len(others) == 6


def test_the_picture_given_is_not_changed():
    picture = skin()
    put_mask(picture, landmarks())
    assert (picture == skin()).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gray_pictures_get_gray_masks(kind):
    shaded = np.tile(np.linspace(90, 220, 224).astype(np.uint8), (224, 1))
    gray = put_mask(shaded[..., None], landmarks(), kind, seed=1)
    color = put_mask(np.repeat(shaded[..., None], 3, axis=-1), landmarks(), kind, seed=1)
    assert gray.image.shape == (224, 224, 1) and gray.image.dtype == np.uint8
    assert (color.image == color.image[..., :1]).all()
    assert np.abs(color.image[..., :1].astype(int) - gray.image).max() <= 1  # Rounded once more.
    assert (gray.image[gray.alpha == 1].mean() - shaded[gray.alpha == 1].mean()) ** 2 > 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_dark_face_gets_a_dark_mask(kind):
    # Four tenths of the light give (0.4)^0.85 = 0.46 of the brightness.
    bright = put_mask(skin(level=(180, 140, 120)), landmarks(), kind, color="white")
    dark = put_mask(skin(level=(72, 56, 48)), landmarks(), kind, color="white")
    covered = bright.alpha == 1
    ratio = dark.image[covered].mean() / bright.image[covered].mean()
    assert 0.4 < ratio < 0.55


def test_light_from_one_side_lies_on_the_mask():
    lit = (skin() * np.linspace(0.5, 1.2, 224)[:, None]).clip(0, 255).astype(np.uint8)
    masked = put_mask(lit, landmarks(), "surgical", color="white")
    assert masked.image[130:150, 135:150].mean() > 1.12 * masked.image[130:150, 75:90].mean()


def test_a_color_is_taken():
    masked = put_mask(skin(), landmarks(), "cloth", color="#20a040")
    red, green, blue = masked.image[masked.alpha == 1].mean(axis=0)
    assert green > 1.8 * blue > 1.8 * red
    same = put_mask(skin(), landmarks(), "cloth", color=(0x20, 0xA0, 0x40))
    assert (same.image == masked.image).all()


def test_the_mask_follows_the_jaw_of_68_points():
    five = landmarks()
    points = np.tile(five[2], (68, 1))
    points[36:42], points[42:48], points[48], points[54] = five[0], five[1], five[3], five[4]
    angle = np.linspace(np.pi, 0, 17)
    alphas = {}
    for chin in (100, 130):
        points[:17] = five[:2].mean(axis=0) + np.stack([66 * np.cos(angle), chin * np.sin(angle)], axis=1)
        alphas[chin] = put_mask(skin(256), points, "surgical").alpha
        lowest = np.flatnonzero(alphas[chin][:, 112] == 1).max()
        assert lowest == pytest.approx(80 + chin, abs=8)


def test_bands_are_seen_on_the_near_side_only():
    for turn, side in ((40, -1), (-40, 1)):
        points = landmarks(turn)
        alpha = put_mask(skin(), points, "n95", color="white").alpha
        # Beside the eyes, where only straps are.
        beside = alpha[80:95]
        near, far = (beside[:, :80], beside[:, 144:]) if side < 0 else (beside[:, 144:], beside[:, :80])
        assert near.any() and not far.any()


def test_pleats_and_valves_are_options():
    flat, pleated = (put_mask(skin(), landmarks(), f"surgical(pleats={n})", color="white") for n in (0, 4))
    column = [np.diff(p.image[120:170, 112].mean(axis=-1)) for p in (flat, pleated)]
    assert np.abs(column[1]).max() > 2 * np.abs(column[0]).max()
    with_valve, without = (put_mask(skin(), landmarks(), f"n95(valve={v})", color="white") for v in (True, False))
    assert (with_valve.image != without.image).any() and (with_valve.alpha == without.alpha).all()


def test_a_face_outside_the_picture_changes_nothing():
    masked = put_mask(skin(), landmarks() + 1000)
    assert (masked.image == skin()).all() and not masked.alpha.any()
    partly = put_mask(skin(), landmarks(center=(2, 80)))
    assert partly.alpha.any() and partly.image.shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((9, 9, 3))}, "float64"),
        ({"image": np.zeros((9, 9), np.uint8)}, r"\(9, 9\)"),
        ({"landmarks": np.full((5, 2), np.nan)}, "NaN"),
        ({"landmarks": np.zeros((17, 2))}, r"\(17, 2\)"),
        ({"kind": "scarf"}, "Unknown mask 'scarf'. Available: cloth, n95, surgical"),
        ({"kind": "surgical(folds=3)"}, "takes no 'folds'"),
        ({"kind": "surgical(pleats=9)"}, "pleats=9"),
        ({"kind": "n95(valve='maybe')"}, "valve='maybe'"),
        ({"kind": "cloth(seam=2)"}, "seam=2"),
        ({"color": ""}, "color ''"),
        ({"color": "sort of red"}, "sort of red"),
        ({"color": (1, 2, 300)}, "300"),
        ({"seed": -1}, "-1"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(UserError, match=message):
        put_mask(**{"image": skin(), "landmarks": landmarks(), **change})


def test_cutting_removes_all_below_the_line_and_nothing_above():
    # Eyes 62 pixels apart, 80.0 down; the line is 0.3 of that below, but the mouth lies 66 instead of 1.04 · 62 = 64.5
    # below the eyes, which the fit takes for a face a little longer.
    picture = np.random.default_rng(0).integers(1, 255, (224, 224, 3), np.uint8)
    cut = cut_face(picture, landmarks(), fill=0)
    line = np.flatnonzero((cut == 0).all(axis=(1, 2))).min()
    assert line == pytest.approx(80 + 0.3 * 62, abs=1.5)
    assert (cut[:line] == picture[:line]).all() and not cut[line:].any()
    assert (cut_face(picture, landmarks(), fill=7)[line:] == 7).all()


@pytest.mark.parametrize("tilt", [30, -60, 180])
def test_the_cut_lies_square_to_the_faces_axis(tilt):
    cut = cut_face(np.full((224, 224, 1), 9, np.uint8), landmarks(tilt=tilt))
    y, x = np.mgrid[:224, :224] + 0.5
    tilt = np.radians(tilt)
    below = (x - 112) * -np.sin(tilt) + (y - 80) * np.cos(tilt)
    assert (cut[below < 0.3 * 62 - 2] == 9).all() and (cut[below > 0.3 * 62 + 2] == 0).all()


@pytest.mark.parametrize("tilt", [0, 25])
def test_enlarging_turns_the_upper_face_upright(tilt):
    points = landmarks(tilt=tilt)
    picture = np.zeros((224, 224, 3), np.uint8)
    for channel, (x, y) in enumerate(points[:2].astype(int)):
        picture[y - 3 : y + 4, x - 3 : x + 4, channel] = 255
    upper = cut_face(picture, points, enlarge=True)
    assert upper.shape == picture.shape
    for channel, across in enumerate((-0.5, 0.5)):
        y, x = np.nonzero(upper[..., channel] > 128)
        # 2 eye distances across and 1.4 down; eyes are 1.1 below the upper edge.
        assert x.mean() == pytest.approx(224 * (0.5 + across / 2), abs=4)
        assert y.mean() == pytest.approx(224 * 1.1 / 1.4, abs=4)


def test_a_face_larger_than_the_picture_is_smoothed():
    # The part shown is 500 pixels wide, the picture 200: single black and white pixels become gray.
    checks = (np.indices((200, 200)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    seen = cut_face(checks, landmarks(scale=4, center=(100, 100)), enlarge=True)[100:190, 75:125].astype(int)
    assert abs(seen.mean() - 127.5) < 10 and seen.std() < 75


def test_cutting_names_mistakes():
    with pytest.raises(UserError, match="fill=256"):
        cut_face(skin(), landmarks(), fill=256)
    with pytest.raises(UserError, match="NaN"):
        cut_face(skin(), np.full((5, 2), np.nan))
