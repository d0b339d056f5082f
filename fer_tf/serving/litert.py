"""A trained network as a LiteRT (TFLite) file, for telephones and small machines: faces in, probabilities out."""

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

LABELS = "labels.txt"
CALIBRATION_FACES = 300


def face_function(classifier: ExpressionClassifier) -> Function:
    """Return the graph function from ``faces``, float32 (N, S, S, channels) in 0 to 255, to ``probabilities`` (N, C);
    S is the network's face size."""
    side, channels = classifier.metadata.face_size, classifier.input_shape[-1]
    spec = tf.TensorSpec((None, side, side, channels), tf.float32, name="faces")

    def probabilities(faces: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(classifier.logits(classifier.central(faces)))}

    return tf.function(probabilities, input_signature=[spec], autograph=False)


def write(classifier: ExpressionClassifier, path: Path | str, int8: bool = False) -> Path:
    """Write a network as a LiteRT file; the names of the classes are ``labels.txt`` in it (``unzip`` shows it).

    Args:
        classifier: the network.
        path: of the file.
        int8: weights and activations of 8 bits, calibrated on drawn faces: a quarter of the size. Input and output
            stay float32.

    Returns:
        The file.

    Raises:
        UserError: the suffix is another.
        RuntimeError: the file does not give what Keras gives; it is not written.
    """
    path = Path(path)
    if path.suffix != ".tflite":
        raise UserError(f"{path}: expected a name that ends in .tflite.")
    content = convert(classifier, int8)
    if not int8:
        check(classifier, run(content, example(classifier)))
    with atomic.atomic_write(path) as part:
        part.write_bytes(content)
        # Readers of the format stop where the network ends; the standard's labels are an archive after it.
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(zipfile.ZipInfo(LABELS), "\n".join(classifier.label_set.classes) + "\n")
    return path


def convert(classifier: ExpressionClassifier, int8: bool = False) -> bytes:
    """Return the content of a LiteRT file."""
    converter = litert.converter(face_function(classifier), classifier.network.variables, eight_bit=int8)
    if int8:
        faces = _drawn(classifier, CALIBRATION_FACES)
        converter.representative_dataset = lambda: ({"faces": face[None]} for face in faces)
    return litert.convert(converter)


def run(content: bytes, faces: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) that a LiteRT file gives for faces, float32 (N, S, S, channels)."""
    return litert.Runner(content)({"faces": faces})["probabilities"]


def example(classifier: ExpressionClassifier) -> np.ndarray:
    """Return faces to try a file on: drawn ones, and noise; float32 (N, S, S, channels)."""
    drawn = _drawn(classifier, 5)
    noise = np.random.default_rng(0).integers(0, 256, drawn.shape).astype(np.float32)
    return np.concatenate([drawn, noise])


def check(classifier: ExpressionClassifier, found: np.ndarray) -> None:
    """Raise a ``RuntimeError`` unless a file's probabilities for ``example`` are those of Keras."""
    difference = float(np.abs(found - classifier.probabilities(example(classifier)).numpy()).max())
    if not difference <= TOLERANCE:
        raise RuntimeError(f"The written file does not give what Keras gives (difference {difference}).")


def _drawn(classifier: ExpressionClassifier, count: int) -> np.ndarray:
    """Return drawn faces as the file takes them."""
    images = datasets.get(f"synthetic(faces={max(60, count)})").images[:count]
    side, channels = classifier.metadata.face_size, classifier.input_shape[-1]
    faces = tf.clip_by_value(tf.image.resize(images, (side, side), antialias=True), 0.0, 255.0).numpy()
    return np.repeat(faces, channels, axis=-1) if faces.shape[-1] != channels else faces
