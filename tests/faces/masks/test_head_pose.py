import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.faces.masks import fit_head
from fer_tf.faces.masks import head_pose as heads

# A frontal face, 40 pixels between the eyes: eyes, nose, mouth corners.
FRONTAL = np.array([(40, 50), (80, 50), (60, 73.2), (43.2, 91.6), (76.8, 91.6)], float)


def test_a_frontal_face_is_placed_to_scale():
    head = fit_head(FRONTAL)
    np.testing.assert_allclose(head.place(heads.FIVE), FRONTAL, atol=1e-6)
    assert head.scale == pytest.approx(40)
    np.testing.assert_allclose(head.towards, (0, 0, 1), atol=1e-6)
    # The chin: 1.72 eye distances below the eyes.
    np.testing.assert_allclose(head.place([0, 1.72, 0]), (60, 50 + 1.72 * 40), atol=1e-6)


def test_a_head_turned_to_the_pictures_right_is_seen_from_its_other_side():
    turned = FRONTAL.copy()
    turned[2, 0] += 9
    assert fit_head(turned).towards[0] < -0.3
    turned[2, 0] -= 18
    assert fit_head(turned).towards[0] > 0.3


@pytest.mark.parametrize("angle", [0.4, -2.0])
def test_the_fit_turns_grows_and_moves_with_the_landmarks(angle):
    odd = FRONTAL + np.array([(1, -2), (0, 1), (3, 2), (-1, 2), (2, -1)])
    turn = 1.7 * np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    points = np.array([(0.3, 0.9, 0.4), (-1, 1.2, -0.5)])
    moved = fit_head(odd @ turn.T + (5, -8))
    np.testing.assert_allclose(moved.place(points), fit_head(odd).place(points) @ turn.T + (5, -8), atol=1e-6)


def test_a_smile_hardly_shortens_the_face():
    smile = FRONTAL.copy()
    smile[3:, 1] -= 8  # A fifth of the way from eyes to mouth.
    chin = fit_head(smile).place([0, 1.72, 0])[1]
    assert 50 + 1.72 * 40 * 0.8 + 5 < chin < 50 + 1.72 * 40


def sixty_eight():
    """Points on FRONTAL: eyes as octagons' worth of points around the eye, all else at the nose."""
    points = np.tile(FRONTAL[2], (68, 1))
    ring = np.array([(-4, 0), (-2, -2), (2, -2), (4, 0), (2, 2), (-2, 2)])
    points[36:42], points[42:48] = FRONTAL[0] + ring, FRONTAL[1] + ring
    points[48], points[54] = FRONTAL[3], FRONTAL[4]
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.array((60, 55)) + np.stack([46 * np.cos(angle), 80 * np.sin(angle)], axis=1)
    return points


def test_68_points_hold_the_jaw_and_leave_the_face_where_it_is():
    points = sixty_eight()
    head = fit_head(points)
    np.testing.assert_allclose(head.place(heads.JAW), points[:17], atol=1e-6)
    np.testing.assert_allclose(head.place(heads.FIVE[2]), FRONTAL[2], atol=1e-6)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.zeros((4, 2)), r"\(4, 2\)"),
        (np.zeros((68, 3)), r"\(68, 3\)"),
        (np.where(np.arange(10).reshape(5, 2) == 5, np.nan, FRONTAL), "NaN"),
        (np.full((68, 2), np.inf), "NaN"),
        (np.ones((5, 2)), "one line"),
        (np.outer(np.arange(5), (3, 1)), "one line"),
        (FRONTAL[[1, 0, 2, 4, 3]], "mirrored"),
    ],
)
def test_landmarks_that_are_no_face(landmarks, message):
    with pytest.raises(UserError, match=message):
        fit_head(landmarks)
