"""Frames by hand: where a face's square lies, and where points come to lie in it."""

import numpy as np
import pytest
from keras import ops

from fer_tf.faces.detectors import EYE_DISTANCE, EYE_LINE, aligned_frames, face_frames, square_frames, to_frame
from fer_tf.faces.retinaface import anchors, decode

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


def test_faces_without_landmarks_are_square_and_the_others_aligned():
    boxes = np.array([[100, 90, 140, 150], [0, 0, 30, 10]], np.float32)
    points = np.concatenate([turned(UPRIGHT, 20), np.full((1, 5, 2), np.nan, np.float32)])
    margin = np.array([0.1, 0.5], np.float32)
    found = face_frames(boxes, points, margin)
    np.testing.assert_array_equal(found[0], aligned_frames(points[:1], margin[:1])[0])
    np.testing.assert_allclose(found[1], [15, 5, 45, 0])
    np.testing.assert_array_equal(face_frames(boxes, points, margin, align=False), square_frames(boxes, margin))
    assert found.dtype == np.float32


@pytest.mark.parametrize("name", ["aligned", "square", "points", "anchors", "decode"])
def test_tensors_give_what_arrays_give(name):
    points = np.concatenate([turned(UPRIGHT, angle) for angle in (-100, 0, 33)])
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    places, offsets = anchors(40, 70), np.random.default_rng(0).normal(0, 1, (132, 14)).astype(np.float32)
    run = {
        "aligned": lambda as_: aligned_frames(as_(points), 0.2),
        "square": lambda as_: square_frames(as_(boxes), 0.2),
        "points": lambda as_: to_frame(as_(points), as_(aligned_frames(points)), 48),
        "anchors": lambda as_: anchors(as_(40), as_(70)),
        "decode": lambda as_: ops.concatenate(
            [ops.reshape(x, (132, -1)) for x in decode(as_(offsets[:, :4]), as_(offsets[:, 4:]), as_(places))], axis=1
        ),
    }[name]
    arrays, tensors = run(lambda x: x), run(ops.convert_to_tensor)
    assert name == "decode" or (isinstance(arrays, np.ndarray) and arrays.dtype == np.float32)
    assert ops.is_tensor(tensors) and np.size(arrays)
    np.testing.assert_allclose(np.asarray(tensors), np.asarray(arrays), rtol=1e-5, atol=1e-4)
