"""Export a network as LiteRT or ONNX file."""

import json
import logging
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io import atomic
from fer_tf.models import litert
from fer_tf.serving.check import TOLERANCE
from fer_tf.serving.signatures import Function

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
    converter = litert.litert_converter(face_function(classifier), classifier.network.variables, eight_bit=int8)
    if int8:
        faces = _synthetic(classifier, _CALIBRATION_FACES)
        converter.representative_dataset = lambda: ({"faces": face[None]} for face in faces)
    return litert.convert_to_litert(converter)


def run_litert(content: bytes, faces: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) that a LiteRT file computes for faces, float32 (N, S, S, channels)."""
    return litert.LiteRTRunner(content)({"faces": faces})["probabilities"]


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
