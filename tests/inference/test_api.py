"""``fer_tf.analyze`` and ``fer_tf.predict``: what they take, what they keep, and that nothing grows."""

import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from PIL import Image

import fer_tf
from fer_tf.errors import DataError, UserError
from fer_tf.inference import api


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()[:256, 60:380]


def test_an_array_a_file_and_a_list_give_the_same_face(astronaut, tmp_path):
    Image.fromarray(astronaut).save(tmp_path / "x.png")
    of_array = fer_tf.analyze(astronaut)
    assert [f.source for f in of_array] == ["0"] and of_array[0].label.startswith("happ")
    assert abs(sum(of_array[0].distribution.values()) - 1) < 1e-5
    x0, y0, x1, y1 = of_array[0].box
    assert (of_array[0].landmarks >= (x0, y0)).all() and (of_array[0].landmarks <= (x1, y1)).all()
    for given, names in (
        (tmp_path / "x.png", [str(tmp_path / "x.png")]),
        (str(tmp_path), [str(tmp_path / "x.png")]),
        ([tmp_path / "x.png", tmp_path], [str(tmp_path / "x.png")]),
        ([astronaut, np.zeros_like(astronaut), astronaut], ["0", "2"]),
    ):
        found = fer_tf.analyze(given)
        assert [f.source for f in found] == names
        for face in found:
            np.testing.assert_allclose(face.box, of_array[0].box, atol=0.01)
            np.testing.assert_allclose(
                list(face.distribution.values()), list(of_array[0].distribution.values()), atol=1e-4
            )


def test_gray_pixels_are_taken_and_pictures_without_a_face_give_none(astronaut):
    assert len(fer_tf.analyze(astronaut[..., 1])) == 1
    assert fer_tf.analyze(np.zeros((60, 80, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \(4, 4, 4\)"),
        (np.full((4, 4, 3), 0.5), "got fractions up to 0.5. Multiply them by 255"),
        (np.full((4, 4, 3), np.nan), "NaN is no pixel"),
        (np.full((4, 4, 3), "x"), r"got <U1 \(4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\)"),
        ("nowhere.jpg", "nowhere.jpg: no such file or folder"),
        ([np.zeros((4, 4, 3), np.uint8), "x.jpg"], "Paths and images in memory are mixed"),
        (None, "None is no picture"),
        ([np.zeros((4, 4, 3), np.uint8), None], "None at place 1 of the list is no picture"),
        ("", "An empty path names nothing"),
        (["a.jpg", ""], "An empty path at place 1 of the list names nothing"),
        (7, "int is no picture"),
        ({"a": 1}, "dict is no picture"),
        (b"", "no bytes"),
        (b"nothing", "no picture. Expected one of PNG"),
        (io.StringIO("text"), "Open it in binary mode"),
    ],
)
def test_what_cannot_be_analyzed_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        fer_tf.analyze(given)


@pytest.mark.parametrize(
    "given", [None, [None], "", ["x.png", ""], 7, {"a": 1}, b"", [b"nothing"], io.StringIO("text")]
)
def test_what_holds_no_face_is_refused_in_one_line(given):
    with pytest.raises(UserError) as error:
        fer_tf.predict(given)
    assert "\n" not in str(error.value)


def kinds(picture):
    """The same picture in each way in which a picture can be given."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    data = file.getvalue()
    return {
        "array": picture, "integers": picture.astype(np.int32), "floats": picture.astype(np.float32),
        "tensor": tf.constant(picture), "Pillow": Image.fromarray(picture), "bytes": data,
        "bytearray": bytearray(data), "file": io.BytesIO(data), "written file": file,
    }  # fmt: skip


def test_all_kinds_of_input_give_the_same(astronaut):
    [expected] = fer_tf.analyze(astronaut)
    face = np.ascontiguousarray(astronaut[60:180, 110:230])
    of_face = fer_tf.predict(face[None]).probabilities
    for kind, given in kinds(astronaut).items():
        [found] = fer_tf.analyze(given, every=np.int64(1))
        assert (found.box, found.distribution) == (expected.box, expected.distribution), kind
    for one, other in zip(kinds(face).values(), kinds(face).values(), strict=True):
        np.testing.assert_allclose(fer_tf.predict(one).probabilities, of_face, atol=1e-6)
        np.testing.assert_allclose(fer_tf.predict(x for x in [other]).probabilities, of_face, atol=1e-6)
    assert [f.source for f in fer_tf.analyze(x for x in kinds(astronaut).values())] == list("012345678")


@pytest.mark.parametrize("shape", [(150, 150, 3), (48, 48, 1), (48, 48)])
def test_one_face_is_one_face(shape):
    face = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(fer_tf.predict(face).probabilities, fer_tf.predict([face]).probabilities)
    assert len(fer_tf.predict(tf.constant(face))) == 1


@pytest.mark.parametrize("mode", ["P", "HSV", "YCbCr", "CMYK", "RGBA", "PA", "I;16", "I", "1", "LA"])
def test_pillow_images_are_read_as_their_colors_are(astronaut, mode):
    face = Image.fromarray(astronaut[60:180, 110:230])
    if mode in ("I;16", "I"):
        gray = np.asarray(face.convert("L")).astype(np.int32) * 257
        given = Image.fromarray(gray if mode == "I" else gray.astype(np.uint16))
    else:
        given = face.convert("RGBA" if mode == "PA" else mode).convert(mode)
    expected = face.convert("L") if mode in ("I;16", "I") else given.convert("RGB")
    np.testing.assert_allclose(
        fer_tf.predict(given).probabilities, fer_tf.predict(np.asarray(expected)).probabilities, atol=1e-5
    )


def test_a_pillow_image_is_turned_as_its_file_is(astronaut, tmp_path):
    turned, path = Image.fromarray(astronaut).transpose(Image.Transpose.ROTATE_90), tmp_path / "t.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(path, exif=exif)
    with Image.open(path) as image:
        assert fer_tf.analyze(image)[0].box == fer_tf.analyze(path)[0].box
        assert image.getexif()[0x0112] == 6


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_face_is_recognized_as_the_upright_one(astronaut, quarter):
    [expected] = fer_tf.analyze(astronaut)
    [found] = fer_tf.analyze(np.ascontiguousarray(np.rot90(astronaut, quarter)))
    np.testing.assert_allclose(list(found.distribution.values()), list(expected.distribution.values()), atol=0.01)
    assert not found.doubtful


def test_what_may_be_missed_is_said(astronaut, caplog):
    assert len(fer_tf.analyze([np.hstack([astronaut] * 3)] * 2, detector="retinaface(max_faces=2)")) == 4
    assert fer_tf.analyze(np.zeros((1000, 1200, 3), np.uint8)) == []
    assert caplog.messages == [
        "0: 2 faces are the most that are kept; try the detector retinaface(max_faces=8).",
        "0: Small faces in 1200×1000 pixels may be missed; try the detector retinaface(size='auto').",
    ]


def test_options_are_checked(astronaut):
    for options, message in (
        ({"every": 0}, "every=0"), ({"smooth": -1}, "is no time"), ({"faces": "x"}, "faces='x'"),
        ({"model": "x"}, "No model"), ({"detector": "x"}, "Unknown detector"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            fer_tf.analyze(astronaut, **options)


def test_one_damaged_file_raises_and_among_others_warns(astronaut, tmp_path, caplog):
    (tmp_path / "bad.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"bad\.jpg: empty file"):
        fer_tf.analyze(tmp_path / "bad.jpg")
    Image.fromarray(astronaut).save(tmp_path / "x.png")
    assert len(fer_tf.analyze(tmp_path)) == 1
    assert caplog.messages == [f"{tmp_path / 'bad.jpg'}: empty file."]


def test_predict_takes_arrays_and_files(astronaut, tmp_path):
    faces = np.stack([astronaut[60:180, 110:230]] * 2)
    found = fer_tf.predict(faces)
    assert found.probabilities.shape == (2, len(found.label_set)) and found.labels[0].startswith("happ")
    Image.fromarray(faces[0]).save(tmp_path / "f.png")
    np.testing.assert_allclose(
        fer_tf.predict([tmp_path / "f.png", faces[0]]).probabilities, found.probabilities, atol=1e-6
    )
    np.testing.assert_allclose(
        fer_tf.predict(str(tmp_path / "f.png")).probabilities, found.probabilities[:1], atol=1e-6
    )
    with pytest.raises(DataError, match=r"gone\.png: no such picture"):
        fer_tf.predict([tmp_path / "gone.png"])


def test_networks_are_loaded_once_and_a_changed_file_again(astronaut, tmp_path):
    from fer_tf import models

    network = models.load_model()
    path = tmp_path / "m.keras"
    models.save_model(network, path, network.metadata)
    first = api.classifier(path)
    assert api.classifier(str(path)) is first and api.classifier("default") is api.classifier("default")
    os.utime(path, ns=(1, 1))
    assert api.classifier(path) is not first


def in_a_new_process(code):
    environment = {**os.environ, "PYTHONPATH": str(Path(fer_tf.__file__).parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.parametrize(
    "imports",
    ["import fer_tf", "import fer_tf.predict", "from fer_tf import predict; import fer_tf.predict; import fer_tf"],
)
def test_predict_is_a_function_and_a_module_whatever_was_imported(imports):
    code = f"""
    {imports}
    import sys
    assert not {{"tensorflow", "keras", "numpy"}} & set(sys.modules)
    assert callable(fer_tf.predict)
    import fer_tf.predict
    assert callable(fer_tf.predict) and callable(fer_tf.predict.main)
    from fer_tf.inference import api
    api.predict = lambda *a, **k: (a, k)
    assert fer_tf.predict([1], flip=True) == (([1],), {{"flip": True}})
    """
    in_a_new_process(code)


@pytest.mark.parametrize("call", ["new", *(pytest.param(c, marks=pytest.mark.slow) for c in ("predict", "analyze"))])
def test_a_process_forked_after_use_is_told_so_and_does_not_hang(call):
    code = f"""
    import multiprocessing, sys, warnings
    import numpy as np, fer_tf
    from fer_tf.errors import UserError
    from fer_tf.inference import ExpressionClassifier
    warnings.simplefilter("ignore")
    picture = np.zeros((48, 48, 3), np.uint8)
    calls = {{
        "predict": lambda: fer_tf.predict(picture), "analyze": lambda: fer_tf.analyze(picture),
        "new": lambda: ExpressionClassifier("default", flip=True),
    }}
    def child():
        try:
            calls[{call!r}]()
        except UserError as error:
            sys.exit(7 if "spawn" in str(error) else 8)
    fer_tf.predict(picture)
    if {call!r} == "analyze":
        fer_tf.analyze(picture)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    ended = process.exitcode
    process.kill()
    assert ended == 7, ended
    """
    in_a_new_process(code)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fer_tf.analyze(path)", "fer_tf.analyze([small, small])", "fer_tf.predict(faces)"])
def test_two_thousand_calls_leave_memory_flat(call, tmp_path):
    code = f"""
    import os, numpy as np, skimage.data, fer_tf
    from PIL import Image
    small = np.ascontiguousarray(skimage.data.astronaut()[:192, 120:312])
    path, faces = {str(tmp_path / "x.png")!r}, np.zeros((3, 48, 48), np.uint8)
    Image.fromarray(small).save(path)

    def resident():
        return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    for _ in range(100):
        {call}
    before = resident()
    for _ in range(2000):
        {call}
    print(resident() - before)
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    assert float(in_a_new_process(code)) < 20
