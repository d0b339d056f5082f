"""Export LiteRT and ONNX files, and check exports as servers would run them."""

import contextlib
import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.inference.pipeline import FacePipeline
from fer_tf.io import atomic
from fer_tf.io.video import InputImage
from fer_tf.models import complexity, logits_of
from fer_tf.serving.signatures import ENCODED_FACES, FACES, PHOTOGRAPHS, Function, Signatures

TOLERANCE = 1e-5
# ``fer_tf.analyze`` detects with LiteRT; one level of a face's pixel may differ.
_ANALYZE_TOLERANCE = 1e-3
# Positions in a photograph are sums of large numbers, whose order differs between runs; in parts of the longer side.
_PIXEL_TOLERANCE = 0.01 / 320
_IN_PIXELS = ("boxes", "landmarks")
# Sides in pixels of a photograph that is scaled down for detection.
_LARGE = 4000, 3000
# The mean color of the detector, from which the drawn face stands out.
_BACKGROUND = (127, 117, 104)

Outputs = dict[str, np.ndarray]
Samples = Mapping[str, Mapping[str, np.ndarray]]


def make_samples(classifier: ExpressionClassifier, count: int = 3) -> dict[str, dict[str, np.ndarray]]:
    """Make inputs for each signature from synthetic faces.

    Args:
        classifier: its face size is that of the faces.
        count: number of faces.

    Returns:
        By signature, a dict from the name of the input to its value.
    """
    drawn = datasets.get(f"synthetic(faces={max(60, count)})").images[:count]
    gray = [Image.fromarray(face[..., 0]) for face in drawn]
    side = classifier.metadata.face_size
    faces = np.stack([np.asarray(face.resize((side, side)).convert("RGB")) for face in gray])
    return {
        ENCODED_FACES: {"image_bytes": _encode(Image.fromarray(face) for face in faces)},
        FACES: {"faces": faces},
        PHOTOGRAPHS: {"image_bytes": _encode(map(_photograph, gray))},
    }


def check_export(folder: Path, signatures: Signatures, given: Samples) -> None:
    """Run a written version in a session of TensorFlow 1, and compare it with Keras.

    Args:
        folder: of the version.
        signatures: that were written.
        given: from ``make_samples``; the images are PNG, which all decoders read alike.

    Raises:
        RuntimeError: an output differs.
    """
    cases = [*given.items()]
    if PHOTOGRAPHS in given:
        cases.append((PHOTOGRAPHS, {"image_bytes": _encode([_large_photograph()], compress_level=1)}))
    with open_session(folder) as run:
        for name, inputs in cases:
            compare(name, run(name, inputs), expected(signatures, {name: inputs})[name])


@contextlib.contextmanager
def open_session(folder: Path | str) -> Iterator[Callable[[str, Mapping[str, np.ndarray]], Outputs]]:
    """Load a version into a session of TensorFlow 1, as TensorFlow Serving does.

    ``tf.saved_model.load`` is less strict: it restores variables that a session, which restores by name only, does not
    find.

    Args:
        folder: of the version.

    Yields:
        ``run(signature, inputs)``, which returns the outputs of a signature. It raises a ``KeyError`` for an unknown
        signature, and for inputs that are not those of the signature.
    """
    graph = tf.Graph()
    # Neither becomes the default, so that eager execution goes on beside it.
    session = tf.compat.v1.Session(graph=graph)
    try:
        with graph.as_default(), _without_warnings():
            loaded = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
        signatures = loaded.signature_def

        def run(name: str, inputs: Mapping[str, np.ndarray]) -> Outputs:
            signature = signatures[name]
            if set(inputs) != set(signature.inputs):
                raise KeyError(f"{name} takes {sorted(signature.inputs)}, got {sorted(inputs)}")
            feed = {signature.inputs[key].name: value for key, value in inputs.items()}
            return session.run({key: info.name for key, info in signature.outputs.items()}, feed)

        yield run
    finally:
        session.close()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence TensorFlow's advice to use ``tf.saved_model.load``."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def expected(signatures: Signatures, given: Samples) -> dict[str, Outputs]:
    """Compute the expected outputs with Keras, Pillow, NumPy and ``FacePipeline``, without the signatures' graphs."""
    results = {}
    for name, inputs in given.items():
        (values,) = inputs.values()
        pictures = values if name == FACES else [np.asarray(Image.open(io.BytesIO(v)).convert("RGB")) for v in values]
        of = _of_photographs if name == PHOTOGRAPHS else _of_faces
        results[name] = of(signatures, pictures)
    return results


def _of_faces(signatures: Signatures, faces: np.ndarray | list[np.ndarray]) -> Outputs:
    found = np.concatenate([_probabilities(signatures.classifier, face[None]) for face in faces])
    number = found.argmax(axis=1)
    classes = np.array([name.encode() for name in signatures.classes], object)
    return {
        "probabilities": found,
        "label_id": number.astype(np.int32),
        "label": classes[number],
        "classes": np.stack([classes] * len(found)),
        "valid": np.ones(len(found), bool),
    }


def _of_photographs(signatures: Signatures, photographs: list[np.ndarray]) -> Outputs:
    pipeline = FacePipeline(
        signatures.classifier.network, signatures.extractor.detector, flip=signatures.classifier.flip
    )
    results = pipeline.analyze_batch([InputImage("photograph", None, p) for p in photographs])
    most, classes, rows = signatures.extractor.max_faces, len(signatures.classes), []
    for photograph, result in zip(photographs, results, strict=True):
        faces = result.faces[:most]
        columns = {
            "scores": ([f.score for f in faces], ()), "boxes": ([f.box for f in faces], (4,)),
            "landmarks": ([f.landmarks for f in faces], (5, 2)),
            "probabilities": ([list(f.distribution.values()) for f in faces], (classes,)),
        }  # fmt: skip
        row = {key: np.zeros((most, *shape), np.float32) for key, (_, shape) in columns.items()}
        for key, (values, shape) in columns.items():
            row[key][: len(faces)] = np.reshape(values, (-1, *shape))
        row["labels"] = np.array([f.label.encode() for f in faces] + [b""] * (most - len(faces)), object)
        count, size = np.array(len(faces), np.int32), np.array(photograph.shape[:2], np.int32)
        rows.append({**row, "count": count, "size": size, "valid": np.array(True)})
    names = np.array([[name.encode() for name in signatures.classes]] * len(rows), object)
    return {**{key: np.stack([row[key] for row in rows]) for key in rows[0]}, "classes": names}


def _probabilities(classifier: ExpressionClassifier, faces: np.ndarray) -> np.ndarray:
    """Return the softmax of the Keras model's logits, computed in double precision."""
    prepared = classifier.prepare(faces)
    views = [prepared, prepared[:, :, ::-1]] if classifier.flip else [prepared]
    found = [keras.ops.convert_to_numpy(logits_of(classifier.network(v, training=False))) for v in views]
    logits = np.mean(found, axis=0, dtype=np.float64) / classifier.metadata.temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def compare(name: str, found: Outputs, wanted: Outputs) -> None:
    """Raise a ``RuntimeError`` unless the outputs of a signature are the expected ones.

    Numbers may differ by ``TOLERANCE``, and those of photographs by a little more; names and counts must be equal.
    """
    tolerances = dict.fromkeys(wanted, _ANALYZE_TOLERANCE if name == PHOTOGRAPHS else TOLERANCE)
    tolerances |= dict.fromkeys(_IN_PIXELS, _PIXEL_TOLERANCE * max(320, np.max(wanted.get("size", 0))))
    if set(found) != set(wanted):
        raise RuntimeError(f"Signature {name} gives {sorted(found)} instead of {sorted(wanted)}.")
    for key, value in wanted.items():
        if found[key].shape != value.shape:
            raise RuntimeError(f"Signature {name}: {key} has shape {found[key].shape} instead of {value.shape}.")
        if value.dtype.kind == "f":
            difference = float(np.abs(found[key] - value).max(initial=0.0))
            # This comparison is false for NaN.
            good = difference <= tolerances[key]
        else:
            difference, good = int((found[key] != value).sum()), np.array_equal(found[key], value)
        if not good:
            raise RuntimeError(f"Signature {name}: {key} is not what Keras gives (difference {difference}).")


def _photograph(face: Image.Image) -> Image.Image:
    """Put a synthetic face on an empty background, large enough to be detected."""
    photograph = Image.new("RGB", (320, 320), _BACKGROUND)
    photograph.paste(face.resize((200, 200), Image.Resampling.BICUBIC).convert("RGB"), (60, 60))
    return photograph


def _large_photograph() -> Image.Image:
    """Make a large photograph of two faces, with the noise of a camera, which each way to shrink smooths otherwise."""
    faces = datasets.get("synthetic(faces=60)").images[:2]
    photograph = Image.new("RGB", _LARGE, _BACKGROUND)
    for face, side, place in zip(faces, (1500, 700), ((300, 500), (2700, 1100)), strict=True):
        drawn = Image.fromarray(face[..., 0]).resize((side, side), Image.Resampling.BICUBIC)
        photograph.paste(drawn.convert("RGB"), place)
    noise = np.random.default_rng(0).integers(-40, 41, (_LARGE[1], _LARGE[0], 1), np.int16)
    return Image.fromarray(np.clip(np.asarray(photograph) + noise, 0, 255).astype(np.uint8))


def _encode(images, **options) -> np.ndarray:
    files = []
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG", **options)
        files.append(file.getvalue())
    return np.array(files, object)


_LABELS = "labels.txt"
_CALIBRATION_FACES = 300
_OPSET = 17


def face_function(classifier: ExpressionClassifier) -> Function:
    """Return the graph function of a network, from ``faces`` to ``probabilities``.

    Args:
        classifier: the network.

    Returns:
        A function of float32 (N, S, S, channels) in 0 to 255, S being the face size, to float32 (N, C).
    """
    side, channels = classifier.metadata.face_size, classifier.input_shape[-1]
    spec = tf.TensorSpec((None, side, side, channels), tf.float32, name="faces")

    def probabilities(faces: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(classifier.logits(classifier.central(faces)))}

    return tf.function(probabilities, input_signature=[spec], autograph=False)


def write_litert(classifier: ExpressionClassifier, path: Path | str, int8: bool = False) -> Path:
    """Write a network as a LiteRT file.

    The names of the classes are in the file as ``labels.txt``, which ``unzip`` reads.

    Args:
        classifier: the network.
        path: of the file, which ends in ``.tflite``.
        int8: use weights and activations of 8 bits, calibrated on synthetic faces: a quarter of the size. Input and
            output stay float32.

    Returns:
        The path.

    Raises:
        UserError: another suffix.
        RuntimeError: the file does not compute what Keras computes; it is not written.
    """
    path = Path(path)
    if path.suffix != ".tflite":
        raise UserError(f"{path}: expected a name that ends in .tflite.")
    content = convert_litert(classifier, int8)
    if not int8:
        _check_answers(classifier, run_litert(content, example_faces(classifier)))
    with atomic.atomic_write(path) as part:
        part.write_bytes(content)
        # Readers of the format stop at the end of the network; labels are an archive after it, as the standard says.
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(zipfile.ZipInfo(_LABELS), "\n".join(classifier.label_set.classes) + "\n")
    return path


def convert_litert(classifier: ExpressionClassifier, int8: bool = False) -> bytes:
    """Return the content of a LiteRT file."""
    converter = complexity.litert_converter(face_function(classifier), classifier.network.variables, eight_bit=int8)
    if int8:
        faces = _synthetic(classifier, _CALIBRATION_FACES)
        converter.representative_dataset = lambda: ({"faces": face[None]} for face in faces)
    return complexity.convert_to_litert(converter)


def run_litert(content: bytes, faces: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) that a LiteRT file computes for faces, float32 (N, S, S, channels)."""
    return complexity.LiteRTRunner(content)({"faces": faces})["probabilities"]


def write_onnx(classifier: ExpressionClassifier, path: Path | str) -> Path:
    """Write a network as an ONNX file, whose property ``labels`` is a JSON list of the classes.

    Args:
        classifier: the network.
        path: of the file, which ends in ``.onnx``.

    Returns:
        The path. The input of the file is ``faces``, its output ``probabilities``, see ``face_function``.

    Raises:
        UserError: another suffix, or the extra ``export`` is not installed.
        RuntimeError: the file does not compute what Keras computes; it is not written.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise UserError(f"{path}: expected a name that ends in .onnx.")
    content = convert_onnx(classifier)
    _check_answers(classifier, run_onnx(content, example_faces(classifier)))
    with atomic.atomic_write(path) as part:
        part.write_bytes(content)
    return path


def convert_onnx(classifier: ExpressionClassifier) -> bytes:
    """Return the content of an ONNX file.

    Raises:
        UserError: the extra ``export`` is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 - the file is run before it is written
        import tf2onnx
    except ImportError as error:
        raise UserError(f"ONNX needs {error.name}: pip install 'fer-tf[export]'.") from None
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    function = face_function(classifier)
    model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=_OPSET)
    onnx.helper.set_model_props(model, {"labels": json.dumps(classifier.label_set.classes, ensure_ascii=False)})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run_onnx(content: bytes, faces: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) that an ONNX file computes for faces, float32 (N, S, S, channels)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"faces": faces})[0]


def example_faces(classifier: ExpressionClassifier) -> np.ndarray:
    """Return faces to test a file with, synthetic ones and noise: float32 (N, S, S, channels)."""
    drawn = _synthetic(classifier, 5)
    noise = np.random.default_rng(0).integers(0, 256, drawn.shape).astype(np.float32)
    return np.concatenate([drawn, noise])


def _check_answers(classifier: ExpressionClassifier, found: np.ndarray) -> None:
    """Raise a ``RuntimeError`` unless the probabilities for ``example_faces`` are those of Keras."""
    difference = float(np.abs(found - classifier.probabilities(example_faces(classifier)).numpy()).max())
    if not difference <= TOLERANCE:
        raise RuntimeError(f"The written file does not compute what Keras computes (difference {difference}).")


def _synthetic(classifier: ExpressionClassifier, count: int) -> np.ndarray:
    """Return synthetic faces in the size and channels of the network."""
    images = datasets.get(f"synthetic(faces={max(60, count)})").images[:count]
    side, channels = classifier.metadata.face_size, classifier.input_shape[-1]
    faces = tf.clip_by_value(tf.image.resize(images, (side, side), antialias=True), 0.0, 255.0).numpy()
    return np.repeat(faces, channels, axis=-1) if faces.shape[-1] != channels else faces
