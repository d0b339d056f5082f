"""Frames by hand: where a face's square lies, and where points come to lie in it."""

import numpy as np

from fer_tf.faces.frames import EYE_DISTANCE, EYE_LINE, aligned_frames, square_frames, to_frame

# Eyes 37 apart at height 100, mouth 37 below them.
UPRIGHT = np.array([[[100, 100], [137, 100], [118, 120], [105, 137], [132, 137]]], np.float32)


def turned(points, degrees, about=(60.0, 80.0)):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points - about) @ rotation.T + about).astype(np.float32)


def test_an_upright_face():
    side = 37 / EYE_DISTANCE
    expected = [118.5, 100 + side * (0.5 - EYE_LINE), side, 0]
    np.testing.assert_allclose(np.asarray(aligned_frames(UPRIGHT))[0], expected, rtol=1e-6)
    wider = np.asarray(aligned_frames(UPRIGHT, margin=0.5))[0]
    np.testing.assert_allclose(wider, [*expected[:2], side * 1.5, 0], rtol=1e-6)


def test_eyes_come_to_their_place_however_the_head_is_tilted():
    for degrees in (-120, -45, 10, 90, 179):
        points = turned(UPRIGHT, degrees)
        eyes = np.asarray(to_frame(points, aligned_frames(points), 100))[0, :2]
        half = 50 * EYE_DISTANCE
        np.testing.assert_allclose(eyes, [[50 - half, 100 * EYE_LINE], [50 + half, 100 * EYE_LINE]], atol=1e-3)


def test_an_open_mouth_does_not_shrink_the_face_but_a_profile_is_not_blown_up():
    opened = UPRIGHT.copy()
    opened[0, 3:, 1] += 0.35 * 37
    np.testing.assert_allclose(np.asarray(aligned_frames(opened)), np.asarray(aligned_frames(UPRIGHT)), rtol=1e-6)
    profile = UPRIGHT.copy()
    profile[0, :, 0] = 118 + (profile[0, :, 0] - 118) * 0.2
    assert np.asarray(aligned_frames(profile))[0, 2] > 0.69 * np.asarray(aligned_frames(UPRIGHT))[0, 2]


def test_squares_around_boxes():
    boxes = np.array([[10, 20, 50, 100], [0, 0, 30, 10]], np.float32)
    np.testing.assert_allclose(np.asarray(square_frames(boxes)), [[30, 60, 80, 0], [15, 5, 30, 0]])
    np.testing.assert_allclose(np.asarray(square_frames(boxes, margin=0.1))[:, 2], [88, 33])


def test_no_faces_give_no_frames():
    assert np.asarray(aligned_frames(np.zeros((0, 5, 2), np.float32))).shape == (0, 4)
    assert np.asarray(square_frames(np.zeros((0, 4), np.float32))).shape == (0, 4)
