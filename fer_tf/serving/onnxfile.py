"""A trained network as an ONNX file: faces in, probabilities out."""

import json
import logging
from pathlib import Path

import numpy as np

from fer_tf.errors import UserError
from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io import atomic
from fer_tf.serving import litert

OPSET = 17


def write(classifier: ExpressionClassifier, path: Path | str) -> Path:
    """Write a network as an ONNX file; its property ``labels`` is a JSON list of the classes.

    Args:
        classifier: the network.
        path: of the file.

    Returns:
        The file; its input is ``faces``, its output ``probabilities``, as ``litert.face_function`` has them.

    Raises:
        UserError: the suffix is another, or the extra ``export`` is not installed.
        RuntimeError: the file does not give what Keras gives; it is not written.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise UserError(f"{path}: expected a name that ends in .onnx.")
    content = convert(classifier)
    litert.check(classifier, run(content, litert.example(classifier)))
    with atomic.atomic_write(path) as part:
        part.write_bytes(content)
    return path


def convert(classifier: ExpressionClassifier) -> bytes:
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
    function = litert.face_function(classifier)
    model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    onnx.helper.set_model_props(model, {"labels": json.dumps(classifier.label_set.classes, ensure_ascii=False)})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def run(content: bytes, faces: np.ndarray) -> np.ndarray:
    """Return the probabilities (N, C) that an ONNX file gives for faces, float32 (N, S, S, channels)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"faces": faces})[0]
