"""An export as TensorFlow Serving meets it: files, signatures, a version-1 session, and TensorFlow without us."""

import importlib.util
import io
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from tensorflow.core.protobuf import saved_model_pb2

from fer_tf import models
from fer_tf.faces.extraction import RetinaFaceDetector
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.inference.pipeline import FacePipeline
from fer_tf.io.video import InputImage
from fer_tf.serving import devices, savedmodel
from fer_tf.serving.signatures import ENCODED_FACES, FACES, PHOTOGRAPHS, Signatures

SPEC = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)
MOODS, encoded, network, strings = small.MOODS, small.encoded, small.network, small.strings

# The export itself takes a quarter of a minute.
pytestmark = pytest.mark.slow

OF_FACES = {"probabilities", "label", "label_id", "classes", "valid"}
OF_PHOTOGRAPHS = {
    "count", "scores", "boxes", "landmarks", "probabilities", "labels", "size", "classes", "valid",
}  # fmt: skip
CLASSES = [name.encode() for name in MOODS.classes]


@pytest.fixture(scope="session")
def graph(version):
    content = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    (meta,) = content.meta_graphs
    return meta


def nodes(graph):
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def test_the_folder_is_laid_out_as_the_server_expects(version):
    assert version.name == "1" and version.parent.name == "moods"
    assert {p.name for p in version.iterdir()} >= {"saved_model.pb", "variables", "assets", "assets.extra"}
    assert (version / "assets" / "labels.txt").read_text().split() == list(MOODS.classes)
    assert not [p for p in version.parent.iterdir() if p.name.startswith(".part")]


def test_the_signatures_have_names_and_rows(graph):
    signatures = {name: s for name, s in graph.signature_def.items() if not name.startswith("__")}
    inputs = {name: {k: v.dtype for k, v in s.inputs.items()} for name, s in signatures.items()}
    assert inputs == {
        ENCODED_FACES: {"image_bytes": tf.string.as_datatype_enum},
        FACES: {"faces": tf.uint8.as_datatype_enum},
        PHOTOGRAPHS: {"image_bytes": tf.string.as_datatype_enum},
    }
    outputs = {name: set(s.outputs) for name, s in signatures.items()}
    assert outputs == {ENCODED_FACES: OF_FACES, FACES: OF_FACES, PHOTOGRAPHS: OF_PHOTOGRAPHS}
    for signature in signatures.values():
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            assert not info.tensor_shape.unknown_rank and info.tensor_shape.dim[0].size == -1


def test_nothing_in_the_graph_needs_python_or_a_compiler(graph):
    used = {node.op for node in nodes(graph)}
    assert {"Conv2D", "IgnoreErrorsDataset", "NonMaxSuppressionV3"} <= used
    assert not {op for op in used if "PyFunc" in op} and not any("jit" in op.lower() or "Xla" in op for op in used)
    functions = graph.graph_def.library.function
    assert not any(f.attr["_XlaMustCompile"].b for f in functions if "_XlaMustCompile" in f.attr)
    assert sys.prefix.encode() not in graph.SerializeToString()


def test_the_weights_are_stored_once(version, classifier):
    weights = sum(v.numpy().nbytes for v in Signatures(classifier).variables())
    own = sum(np.prod(v.shape) * 4 for v in classifier.network.variables)
    stored = sum(p.stat().st_size for p in (version / "variables").glob("variables.data*"))
    assert own < weights and weights <= stored <= 1.1 * weights


def test_every_signature_equals_keras_in_a_version_1_session(run, classifier):
    given = devices.make_samples(classifier, 5)
    wanted = devices.expected(Signatures(classifier, max_faces=3), given)
    assert (wanted[PHOTOGRAPHS]["count"] >= 1).sum() >= 4
    for name, inputs in given.items():
        found = run(name, inputs)
        assert set(found) == set(wanted[name])
        for key, value in wanted[name].items():
            if value.dtype.kind == "f":
                tolerance = 0.01 if key in ("boxes", "landmarks") else 1e-5
                np.testing.assert_allclose(found[key], value, atol=tolerance, err_msg=f"{name} {key}")
            else:
                np.testing.assert_array_equal(found[key], value, err_msg=f"{name} {key}")
    assert np.ptp(wanted[FACES]["probabilities"], axis=0).max() > 0.01


def test_bad_rows_are_flagged_and_the_others_answered(run, classifier, good, bad):
    files = [good["jpeg"], *bad.values(), good["gray jpeg"], good["palette"], good["progressive"]]
    found = run(ENCODED_FACES, {"image_bytes": strings(*files)})
    kept = [0, len(files) - 3, len(files) - 2, len(files) - 1]
    assert np.flatnonzero(found["valid"]).tolist() == kept
    np.testing.assert_allclose(found["probabilities"][kept].sum(1), 1, atol=1e-6)
    lost = ~found["valid"]
    assert not found["probabilities"][lost].any() and set(found["label"][lost]) == {b""}
    assert set(found["label_id"][lost]) == {-1} and (found["classes"] == CLASSES).all()
    for i in kept:
        alone = run(ENCODED_FACES, {"image_bytes": strings(files[i])})
        np.testing.assert_allclose(alone["probabilities"][0], found["probabilities"][i], atol=1e-6)
        assert found["label"][i] == CLASSES[found["probabilities"][i].argmax()] == CLASSES[found["label_id"][i]]


def test_bad_photographs_are_flagged_and_the_others_analyzed(run, classifier, portrait, bad):
    drawn = devices.make_samples(classifier)[PHOTOGRAPHS]["image_bytes"][0]
    found = run(PHOTOGRAPHS, {"image_bytes": strings(bad["empty"], portrait, bad["cut jpeg"], drawn)})
    assert found["valid"].tolist() == [False, True, False, True] and found["count"].tolist() == [0, 1, 0, 1]
    assert found["size"].tolist() == [[0, 0], [600, 512], [0, 0], [320, 320]]
    for key in ("scores", "boxes", "landmarks", "probabilities"):
        assert not found[key][[0, 2]].any() and not found[key][:, 1:].any() and found[key][[1, 3], 0].all()
    assert found["labels"][1].tolist()[1:] == [b"", b""] and found["labels"][1, 0] in CLASSES
    np.testing.assert_allclose(found["probabilities"][[1, 3], 0].sum(1), 1, atol=1e-6)
    x0, y0, x1, y1 = found["boxes"][1, 0]
    right, left = found["landmarks"][1, 0, :2]
    assert 100 < x0 < right[0] < left[0] < x1 < 400 and y0 < right[1] < y1


def test_all_bad_or_no_rows_at_all(run, bad):
    for name, keys in ((ENCODED_FACES, OF_FACES), (PHOTOGRAPHS, OF_PHOTOGRAPHS)):
        found = run(name, {"image_bytes": strings(bad["text"], b"")})
        assert not found["valid"].any() and not found["probabilities"].any()
        none = run(name, {"image_bytes": strings()})
        assert {k: len(v) for k, v in none.items()} == dict.fromkeys(keys, 0)
    assert run(FACES, {"faces": np.zeros((0, 9, 9, 3), np.uint8)})["probabilities"].shape == (0, 4)


def test_faces_of_any_size_gray_or_colored(run, classifier):
    rng = np.random.default_rng(2)
    for shape in ((2, 32, 32, 1), (3, 32, 32, 3), (1, 200, 150, 3), (2, 5, 7, 1), (1, 1, 1, 1)):
        faces = rng.integers(0, 256, shape).astype(np.uint8)
        found = run(FACES, {"faces": faces})
        np.testing.assert_allclose(found["probabilities"], classifier.predict(faces), atol=1e-5)
        assert found["valid"].all() and len(found["valid"]) == len(faces)
    for shape in ((1, 8, 8, 2), (1, 8, 8, 4), (1, 0, 8, 3)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="faces"):
            run(FACES, {"faces": np.zeros(shape, np.uint8)})


def test_large_faces_are_shrunk_smoothly(run, classifier):
    """Without antialiasing, thin lines would become large faults."""
    rng = np.random.default_rng(0)
    large = Image.fromarray(rng.integers(0, 256, (320, 320)).astype(np.uint8))
    small = large.resize((32, 32), Image.Resampling.BILINEAR)
    found = run(ENCODED_FACES, {"image_bytes": strings(encoded(large, "PNG"), encoded(small, "PNG"))})["probabilities"]
    prepared = [classifier.prepare(np.asarray(p)[None, ..., None]).numpy() for p in (large, small)]
    assert np.abs(prepared[0] - prepared[1]).mean() < 0.6
    np.testing.assert_allclose(found[0], found[1], atol=0.02)


def test_a_lying_photograph_is_analyzed_upright(run, portrait):
    picture = Image.open(io.BytesIO(portrait)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = picture.rotate(90, expand=True)
    file = encoded(lying, "JPEG", exif=exif.tobytes(), quality=95)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(file))).size == picture.size
    found = run(PHOTOGRAPHS, {"image_bytes": strings(file, portrait)})
    assert found["size"].tolist() == [[600, 512]] * 2 and found["count"].tolist() == [1, 1]
    np.testing.assert_allclose(found["boxes"][0, 0], found["boxes"][1, 0], atol=3)


def test_the_warm_up_requests_are_replayed(version, graph, run):
    requests = list(savedmodel.read_warmup(version))
    assert [name for name, _ in requests] == [ENCODED_FACES] * 2 + [FACES] * 2 + [PHOTOGRAPHS] * 2
    for name, inputs in requests:
        signature = graph.signature_def[name]
        assert set(inputs) == set(signature.inputs)
        for key, value in inputs.items():
            assert tf.as_dtype(value.dtype).as_datatype_enum == signature.inputs[key].dtype
        found = run(name, inputs)
        assert all(len(v) == len(value) for v in found.values()) and found["valid"].all()
    assert {len(next(iter(inputs.values()))) for _, inputs in requests} == {1, 3}
    assert all(run(n, i)["count"].min() >= 1 for n, i in requests if n == PHOTOGRAPHS)
    with pytest.raises(KeyError, match="takes"):
        run(FACES, {"face": np.zeros((1, 8, 8, 3), np.uint8)})


PLAIN = """
import json, sys
class Blocked:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "fer_tf":
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
files = tf.constant([open(sys.argv[2], "rb").read(), b"?"])
results = {name: loaded.signatures[name](image_bytes=files) for name in ("serving_default", "analyze")}
assert not any(m.startswith("fer_tf") for m in sys.modules)
print(json.dumps({n: r["probabilities"].numpy().tolist() for n, r in results.items()}))
"""


def test_it_loads_with_plain_tensorflow(version, run, portrait, tmp_path):
    (tmp_path / "portrait.jpg").write_bytes(portrait)
    ended = subprocess.run([sys.executable, "-c", PLAIN, str(version), "portrait.jpg"], cwd=tmp_path,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    for name, value in json.loads(ended.stdout).items():
        wanted = run(name, {"image_bytes": strings(portrait, b"?")})["probabilities"]
        np.testing.assert_allclose(value, wanted, atol=1e-5)


def test_the_shipped_network_in_color_and_mirrored(tmp_path):
    shipped = savedmodel.export(ExpressionClassifier("default", flip=True), tmp_path / "faces", version=7)
    assert shipped == tmp_path / "faces" / "7"
    assert savedmodel.export(ExpressionClassifier(network(channels=3)), tmp_path / "faces").name == "8"


@pytest.mark.parametrize("side", [320, 1500, 4000])
def test_analyze_is_what_fer_tf_analyze_gives_for_large_photographs(run, classifier, portrait, side):
    person = Image.open(io.BytesIO(portrait)).convert("RGB")
    picture = np.asarray(person.resize((side * 3 // 4, side), Image.Resampling.BICUBIC)).astype(int)
    picture = np.clip(picture + np.random.default_rng(0).integers(-40, 41, picture.shape), 0, 255).astype(np.uint8)
    found = run(PHOTOGRAPHS, {"image_bytes": strings(encoded(Image.fromarray(picture), "PNG"))})
    (result,) = FacePipeline(classifier.network).analyze_batch([InputImage("x", None, picture)])
    (face,) = result.faces
    assert found["count"].tolist() == [1] and found["labels"][0, 0].decode() == face.label
    np.testing.assert_allclose(found["probabilities"][0, 0], list(face.distribution.values()), atol=1e-3)
    np.testing.assert_allclose(found["boxes"][0, 0], face.box, atol=1e-3 * side)
    np.testing.assert_allclose(found["boxes"][0, 0], face.box, atol=0.05)
    np.testing.assert_allclose(found["landmarks"][0, 0], face.landmarks, atol=0.05)
    np.testing.assert_allclose(found["scores"][0, 0], face.score, atol=1e-4)


def test_another_way_to_shrink_fails_the_check(version, classifier, monkeypatch):
    """The photograph of 4,000 pixels is there to see it."""
    signatures = Signatures(classifier, max_faces=3)
    devices.check_export(version, signatures, devices.make_samples(classifier))

    def framed(self, photograph, *more):
        prepared, scale = real(self, photograph, *more)
        return prepared + 8 * (photograph.shape[0] > 640), scale

    real = RetinaFaceDetector._framed
    monkeypatch.setattr(RetinaFaceDetector, "_framed", framed)
    with pytest.raises(RuntimeError, match=r"Signature analyze: .* is not what Keras gives"):
        devices.check_export(version, signatures, devices.make_samples(classifier))


def test_many_rows_take_the_memory_of_few():
    """A request of a few kilobytes became gigabytes: 4,000 inputs of the network, or the faces of 4,000 photographs."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((160, 160, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    large = keras.Model(inputs, keras.layers.Dense(len(MOODS))(pooled))
    large.metadata = models.ModelMetadata(MOODS, 160)
    classifier = ExpressionClassifier(large)
    functions = Signatures(classifier).functions()
    tiny = np.random.default_rng(0).integers(0, 256, (4000, 1, 1, 1)).astype(np.uint8)
    files = [encoded(Image.fromarray(face[..., 0]), "PNG") for face in tiny[:2000]]
    # What the graphs themselves take.
    for name, rows in ((FACES, tiny[:40]), (ENCODED_FACES, files[:40]), (PHOTOGRAPHS, [b"?"] * 9)):
        functions[name](tf.constant(rows))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = functions[FACES](tf.constant(tiny))["probabilities"]
    again = functions[ENCODED_FACES](tf.constant(files))
    none = functions[PHOTOGRAPHS](tf.constant([b"?"] * 4000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000
    np.testing.assert_allclose(found[::37], classifier.predict(tiny[::37]), atol=1e-5)
    np.testing.assert_allclose(again["probabilities"], found[:2000], atol=1e-5)
    assert again["valid"].numpy().all() and not none["valid"].numpy().any() and none["boxes"].shape == (4000, 16, 4)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 65, 100])
def test_rows_keep_their_order_however_many_there_are(run, classifier, count):
    faces = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 1)).astype(np.uint8)
    wanted = classifier.predict(faces)
    np.testing.assert_allclose(run(FACES, {"faces": faces})["probabilities"], wanted, atol=1e-5)
    files = [encoded(Image.fromarray(face[..., 0]), "PNG") for face in faces]
    files[count // 2] = b"?"
    found = run(ENCODED_FACES, {"image_bytes": strings(*files)})
    assert np.flatnonzero(~found["valid"]).tolist() == [count // 2]
    np.testing.assert_allclose(
        np.delete(found["probabilities"], count // 2, 0), np.delete(wanted, count // 2, 0), atol=1e-5
    )


def test_a_scan_bomb_delays_nobody(run, portrait):
    data = encoded(Image.new("L", (1500, 1500), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 3000 + b"\xff\xd9"
    start = time.process_time()
    found = run(PHOTOGRAPHS, {"image_bytes": strings(bomb, bomb, portrait, bomb)})
    assert found["valid"].tolist() == [False, False, True, False] and found["count"][2] == 1
    assert time.process_time() - start < 10
