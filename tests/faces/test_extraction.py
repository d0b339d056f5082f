"""Faces out of photographs: pixels at known places, batches, tf.data, a saved graph."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fer_tf.errors import UserError
from fer_tf.faces import detectors
from fer_tf.faces.crop import crop_faces
from fer_tf.faces.detectors import EYE_DISTANCE, EYE_LINE, Detections, aligned_frames
from fer_tf.faces.extraction import (
    OVERLAP,
    SMALLEST,
    FaceExtractor,
    RetinaFaceDetector,
    non_max_suppression,
    resize_like_pillow,
)


@pytest.fixture(scope="module")
def detector():
    return RetinaFaceDetector()


def spots(shape, places, radius):
    """Draw a bright spot at each (x, y) of a black photograph."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    light = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)) for px, py in places)
    return np.repeat((255 * np.clip(light, 0, 1))[..., None], 3, axis=-1).astype(np.uint8)


def centroid(image):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(x * image).sum(), (y * image).sum()]) / image.sum()


@pytest.mark.parametrize("size", [48, 112, 224])
@pytest.mark.parametrize("distance", [15.0, 60.0, 300.0])
@pytest.mark.parametrize("degrees", [-40.0, 0.0, 25.0])
def test_eyes_of_aligned_faces_are_level_and_at_their_distance(size, distance, degrees):
    along = distance * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    down = np.array([-along[1], along[0]])
    middle = np.array([700.3, 610.8])
    right, left, mouth = middle - along / 2, middle + along / 2, middle + down
    landmarks = np.array([[right, left, middle + down / 2, mouth - along / 3, mouth + along / 3]], np.float32)
    photograph = spots((1200, 1400), [right, left], max(1.0, distance / 12))
    (face,) = crop_faces(photograph, np.asarray(aligned_frames(landmarks)), size)
    gray = face[..., 0].astype(float)
    half = size // 2
    r, left_half = centroid(gray[:, :half]), np.add(centroid(gray[:, half:]), (half, 0))
    between = left_half - r
    assert abs(np.degrees(np.arctan2(between[1], between[0]))) < 1
    assert abs(np.hypot(*between) / (EYE_DISTANCE * size) - 1) < 0.02
    assert np.allclose((r + left_half) / 2, (size / 2, EYE_LINE * size), atol=0.01 * size)


def test_an_upright_frame_of_the_same_size_copies_the_pixels(photographs):
    image = photographs["astronaut"]
    frames = np.array([[150, 120, 100, 0], [250, 300, 100, 0]], np.float32)
    faces = crop_faces(image, frames, 100)
    np.testing.assert_array_equal(faces[0], image[70:170, 100:200])
    np.testing.assert_array_equal(faces[1], image[250:350, 200:300])


def test_a_quarter_turn_turns_the_pixels(photographs):
    image = photographs["astronaut"]
    (face,) = crop_faces(image, np.array([[150, 120, 100, np.pi / 2]], np.float32), 100)
    # The face's right is the photograph's bottom.
    np.testing.assert_allclose(face.astype(int), np.rot90(image[70:170, 100:200]).astype(int), atol=1)


def test_shrinking_is_smooth_as_pillows(photographs):
    image = photographs["hopper"]
    frames = np.array([[256, 256, 512, 0]], np.float32)
    (face,) = crop_faces(image, frames, 48)
    expected = np.asarray(Image.fromarray(image[:512, :512]).resize((48, 48), Image.Resampling.BILINEAR))
    difference = np.abs(face.astype(int) - expected.astype(int))[2:-2, 2:-2]
    assert difference.mean() < 1.5


def test_a_crowd_is_cut_out_as_its_faces_one_by_one(photographs):
    rng = np.random.default_rng(0)
    frames = np.concatenate([rng.uniform(-20, 500, (20, 2)), rng.uniform(5, 300, (20, 1)),
                             rng.uniform(-2, 2, (20, 1))], axis=1).astype(np.float32)  # fmt: skip
    together = crop_faces(photographs["astronaut"], frames, 48)
    for face, frame in zip(together, frames, strict=True):
        off = np.abs(crop_faces(photographs["astronaut"], frame[None], 48)[0].astype(int) - face)
        # A pixel that lies in the middle between two levels may go to either.
        assert off.max() <= 1 and (off > 0).sum() <= 3


def test_beyond_the_edge_the_edge_is_repeated():
    image = np.full((40, 60, 3), 9, np.uint8)
    image[:, :30] = 200
    faces = crop_faces(image, np.array([[0, 20, 40, 0], [-500, -500, 30, 0.3], [59, 39, 400, 1.0]], np.float32), 40)
    assert (faces[0] == 200).all() and (faces[1] == 200).all() and set(np.unique(faces[2])) <= set(range(9, 201))


def test_one_face_each_wherever_it_is(photographs, detector):
    found = detector.detect([photographs["astronaut"], photographs["hopper"], photographs["chelsea"]])
    assert [len(f) for f in found] == [1, 1, 0]
    assert found[0].landmarks.shape == (1, 5, 2) and found[2].boxes.shape == (0, 4)
    (right, left, nose, *mouth), (x0, y0, x1, y1) = found[0].landmarks[0], found[0].boxes[0]
    assert x0 < right[0] < nose[0] < left[0] < x1
    assert y0 < right[1] < nose[1] < min(m[1] for m in mouth) < y1


@pytest.mark.parametrize("most", [3, 50])
def test_suppression_keeps_what_tensorflows_keeps(most):
    rng = np.random.default_rng(0)
    start, side = rng.uniform(0, 100, (200, 2)), rng.uniform(10, 40, (200, 2))
    boxes = np.concatenate([start, start + side], axis=1).astype(np.float32)
    scores = rng.uniform(0.5, 1, 200).astype(np.float32)
    expected = tf.image.non_max_suppression(boxes, scores, most, OVERLAP).numpy()
    assert non_max_suppression(boxes, scores, most) == expected.tolist() and 3 <= len(expected) < 200
    assert non_max_suppression(boxes[:0], scores[:0], most) == []


def test_overlap_by_hand():
    # Of 10 × 10 pixels each: the second shares 6 × 10 of 14 × 10 with the first, the third 5 × 10 of 15 × 10.
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [-5, 0, 5, 10]], np.float32)
    assert non_max_suppression(boxes, np.array([0.9, 0.8, 0.95], np.float32), 9) == [2, 0]
    assert non_max_suppression(boxes[:2], np.array([0.8, 0.9], np.float32), 9) == [1]


def test_arrays_and_graphs_find_the_same_faces(photographs, detector):
    detector.load()
    for name in ("astronaut", "hopper", "chelsea"):
        image = photographs[name]
        prepared, scale = detector.prepare(image)
        graph = {k: v[0].numpy() for k, v in detector.detect_batch(prepared[None], scale[None]).items()}
        (found,) = detector.detect([image])
        assert len(found) == graph["count"]
        # Pillow's scaling and TensorFlow's differ by half a level; of these, hopper is scaled.
        for key, off in (("scores", 0.01), ("boxes", 1.0), ("landmarks", 1.0)):
            np.testing.assert_allclose(getattr(found, key), graph[key][: len(found)], atol=off)


def test_fast_finds_the_same_faces_nearly_where_they_are(photographs, detector):
    images = [photographs[name] for name in ("astronaut", "hopper", "chelsea", "coffee")]
    exact, fast = detector.detect(images), detectors.get("retinaface(fast=True)").detect(images)
    assert [len(f) for f in fast] == [len(f) for f in exact] == [1, 1, 0, 0]
    for found, expected in zip(fast[:2], exact[:2], strict=True):
        side = (expected.boxes[0, 2:] - expected.boxes[0, :2]).max()
        off = np.abs(found.boxes - expected.boxes).max()
        assert 0 < off < 0.03 * side and np.abs(found.landmarks - expected.landmarks).max() < 0.03 * side
        assert abs(found.scores[0] - expected.scores[0]) < 0.02


def test_results_do_not_depend_on_what_else_is_asked(photographs, detector):
    image, other = photographs["astronaut"], photographs["hopper"]
    (alone,) = detector.detect([image])
    together = detector.detect([other, image, other[:300], image])
    for again in (together[1], together[3]):
        np.testing.assert_allclose(again.boxes, alone.boxes, atol=0.01)
        np.testing.assert_allclose(again.landmarks, alone.landmarks, atol=0.01)


def test_large_and_small_photographs_are_scaled_for_detection_only(photographs, detector):
    image = photographs["astronaut"]
    large = np.asarray(Image.fromarray(image).resize((2048, 2048), Image.Resampling.BICUBIC))
    small = np.asarray(Image.fromarray(image[30:230, 120:320]).resize((48, 48), Image.Resampling.LANCZOS))
    once, fourfold, little = detector.detect([image, large, small])
    np.testing.assert_allclose(fourfold.boxes / 4, once.boxes, atol=3)
    assert len(little) == 1 and (little.boxes > -8).all() and (little.boxes < 56).all()
    assert detector.prepare(small)[0].shape == (SMALLEST, SMALLEST, 3)
    assert detector.prepare(large)[0].shape == (640, 640, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (5000, 7), (31, 33)])
def test_odd_sizes_have_no_faces_and_do_no_harm(shape, detector):
    (found,) = detector.detect([np.full((*shape, 3), 128, np.uint8)])
    assert len(found) == 0


def test_the_extractor_gives_fixed_shapes_and_the_same_faces(photographs, detector):
    extract = FaceExtractor(size=64, max_faces=3, detector=detector)
    image = np.concatenate([photographs["astronaut"]] * 2, axis=1)
    found = {k: v.numpy() for k, v in extract(image).items()}
    assert found["count"] == 2
    shapes = {"faces": (3, 64, 64, 3), "scores": (3,), "boxes": (3, 4), "landmarks": (3, 5, 2), "frames": (3, 4)}
    assert {k: found[k].shape for k in shapes} == shapes
    assert not any(found[k][2:].any() for k in shapes)
    # Sine and cosine of TensorFlow and NumPy differ in the last bit, so that a pixel in thousands may by a level.
    off = np.abs(found["faces"][:2] - crop_faces(image, found["frames"][:2], 64).astype(int))
    assert off.max() <= 1 and (off > 0).mean() < 1e-3
    none = extract(photographs["chelsea"])
    assert none["count"] == 0 and not none["faces"].numpy().any()
    one = FaceExtractor(size=64, max_faces=1, align=False, detector=detector)(image)
    assert one["count"] == 1 and one["frames"].numpy()[0, 3] == 0


def test_it_maps_over_a_dataset_and_is_traced_once(photographs, detector):
    extract = FaceExtractor(size=32, max_faces=2, detector=detector)
    images = [photographs[name] for name in ("astronaut", "coffee", "hopper")]
    signature = tf.TensorSpec((None, None, 3), tf.uint8)
    source = tf.data.Dataset.from_generator(lambda: iter(images), output_signature=signature)
    faces = source.map(lambda p: extract(p), num_parallel_calls=2)
    assert faces.element_spec["faces"].shape == (2, 32, 32, 3) and faces.element_spec["count"].shape == ()
    assert [f["count"].numpy().tolist() for f in faces.batch(3)] == [[1, 0, 1]]
    for image in images:
        extract(image)
    assert extract.__call__.experimental_get_tracing_count() == 1
    assert detector.detect_batch.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_saved_it_runs_in_a_version_1_session(photographs, detector, tmp_path):
    extract = FaceExtractor(size=32, max_faces=2, detector=detector)
    tf.saved_model.save(extract, str(tmp_path), signatures=extract.__call__.get_concrete_function())
    image = photographs["astronaut"]
    expected = extract(image)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = loaded.signature_def["serving_default"]
        outputs = {k: v.name for k, v in signature.outputs.items()}
        (given,) = signature.inputs.values()
        found = session.run(outputs, {given.name: image})
    for key, value in found.items():
        np.testing.assert_allclose(value, expected[key].numpy(), atol=1e-3, err_msg=key)


def test_the_registry_walks(photographs):
    for name in detectors.DETECTORS:
        row = detectors.DETECTORS[name]
        assert row.facts["landmarks"] in (0, 5, 68)
    (found,) = detectors.get("retinaface(threshold=0.8, size=320)").detect([photographs["astronaut"]])
    assert len(found) == 1 and len(found.take([0])) == 1


@pytest.mark.parametrize(
    "text", ["threshold=0", "threshold=1.0", "size=10", "max_faces=0", "max_faces=2.5", "size=100.0"]
)
def test_wrong_values_are_named(text):
    with pytest.raises(UserError, match=text.split("=")[0]):
        detectors.get(f"retinaface({text})")


def test_what_is_no_photograph_is_refused(detector):
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UserError, match="uint8"):
            detector.detect([wrong])
        with pytest.raises(UserError, match="uint8"):
            crop_faces(wrong, np.zeros((1, 4), np.float32), 8)


@pytest.mark.parametrize(
    "shape",
    [(3000, 4000), (4000, 3001), (641, 700), (1281, 1279), (2000, 37), (100, 150), (5, 576), (1, 5), (7000, 650)],
)
def test_graphs_shrink_to_the_last_bit_as_pillow_does(detector, shape):
    rng = np.random.default_rng(1)
    photograph = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    prepared, scale = detector.prepare(photograph)
    framed, wanted = detector._framed(photograph, detector.size)
    assert scale.numpy() == wanted
    np.testing.assert_array_equal(prepared, framed[1:-1, 1:-1])


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (33, 99), (64, 40), (150, 90)])
def test_resizing_like_pillow_to_any_size(size):
    image = np.random.default_rng(2).integers(0, 256, (97, 131, 3)).astype(np.uint8)
    expected = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=1.0)
    np.testing.assert_array_equal(resize_like_pillow(image, size), np.asarray(expected))


class Counting(RetinaFaceDetector):
    """Counts its detections."""

    count = 0

    def _at_size(self, photograph, size, alone):
        self.count += 1
        return super()._at_size(photograph, size, alone)


def placed(points, quarter, shape):
    """Turn points x, y of a photograph (H, W) as np.rot90 turns it."""
    height, width = shape[:2]
    for _ in range(quarter):
        points = np.stack([points[..., 1], width - points[..., 0]], axis=-1)
        height, width = width, height
    return points


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_face_is_found_as_the_upright_one(photographs, quarter):
    image, counting = photographs["astronaut"], Counting()
    [upright] = counting.detect([image])
    assert counting.count == 1, "no second look at a face that fits"
    [found] = counting.detect([np.ascontiguousarray(np.rot90(image, quarter))])
    assert len(found) == 1 and counting.count == 3, "the turn is guessed by the landmarks"
    np.testing.assert_allclose(found.scores, upright.scores, atol=1e-4)
    np.testing.assert_allclose(found.landmarks, placed(upright.landmarks, quarter, image.shape), atol=0.1)
    assert detectors.plausible(found.boxes, found.landmarks).all() and not detectors.upright(found.landmarks).any()


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_face_among_upright_ones_is_looked_at_alone(photographs, quarter):
    image, counting = photographs["astronaut"][:320, 60:380], Counting()
    turned = np.rot90(image, quarter)
    [found] = counting.detect([np.block([[[image], [image]], [[image], [turned]]])])
    [alone] = counting.detect([image])
    assert len(found) == 4 and (np.diff(found.scores) <= 0).all()
    last = found.landmarks[np.argmax(found.boxes[:, :2].sum(axis=1))]
    side = (alone.boxes[0, 2:] - alone.boxes[0, :2]).max()
    assert np.abs(last - placed(alone.landmarks[0], quarter, image.shape) - 320).max() < 0.06 * side


def test_landmarks_that_no_turn_explains_are_kept_and_doubtful():
    class Askew(Counting):
        def _at_size(self, photograph, size, alone):
            found = super()._at_size(photograph, size, alone)
            points = np.full((1, 5, 2), 40, np.float32) + np.arange(5)[:, None]
            return Detections(np.float32([0.95]), np.float32([[10, 10, 90, 90]]), points) if self.count == 1 else found

    counting = Askew()
    [found] = counting.detect([np.zeros((100, 100, 3), np.uint8)])
    assert counting.count == 4 and found.scores.tolist() == [np.float32(0.95)]
    assert not detectors.plausible(found.boxes, found.landmarks)[0]


def crowd(image, side, across):
    """A picture of a face ``across`` times in rows and columns, each of so many pixels."""
    face = Image.fromarray(image[20:260, 100:340]).resize((side, side))
    return np.tile(np.asarray(face), (across, across, 1))


def test_auto_finds_the_small_faces_of_large_photographs_and_looks_once_at_others(photographs):
    faces = crowd(photographs["astronaut"], 48, 22)
    plain, auto = RetinaFaceDetector(), Counting(size="auto", max_faces=1000)
    assert len(auto.detect([faces])[0]) > 300 and auto.count == 2 and len(plain.detect([faces])[0]) < 100
    auto.count = 0
    for name in ("astronaut", "hopper"):
        large = np.asarray(Image.fromarray(photographs[name]).resize((1500, 1700)))
        [expected], [found] = plain.detect([large]), auto.detect([large])
        np.testing.assert_array_equal(found.landmarks, expected.landmarks)
    assert auto.count == 2
    with pytest.raises(UserError, match="size='auto'"):
        RetinaFaceDetector(size="large")


def test_the_cap_and_what_may_be_missed_are_said(photographs):
    detector, faces = RetinaFaceDetector(max_faces=2), crowd(photographs["astronaut"], 160, 2)
    [found] = detector.detect([faces])
    assert len(found) == 2
    assert detectors.note_more(detector, found, faces.shape) == (
        "2 faces are the most that are kept; try the detector retinaface(max_faces=8)."
    )
    none = found.take([])
    assert "1100×1020 pixels may be missed; try the detector retinaface(size='auto')" in detectors.note_more(
        detector, none, (1020, 1100, 3)
    )
    for case in ((detector, none, (900, 900)), (detector, found.take([0]), (4000, 4000)), (object(), none, (9999, 9)),
                 (RetinaFaceDetector(size="auto"), none, (4000, 4000))):  # fmt: skip
        assert detectors.note_more(*case) == ""
