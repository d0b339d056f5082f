"""Classify cropped faces by the shipped network, beside the ONNX runtime on our export of it."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worker import Work

REPEATS = {1: 50, 64: 5}


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Write the network as ONNX, and faces."""
    from fer_tf.inference.classifier import ExpressionClassifier
    from fer_tf.serving import devices

    classifier = ExpressionClassifier("default")
    devices.write_onnx(classifier, folder / "network.onnx")
    drawn = devices.example_faces(classifier)
    np.save(folder / "faces.npy", np.resize(drawn, (max(REPEATS), *drawn.shape[1:])).round().astype(np.uint8))


def ours(folder: Path, settings: dict[str, Any], predict: Any = None) -> Work:
    """Return ``batch 1`` and ``batch 64``."""
    if predict is None:
        from fer_tf.inference.classifier import ExpressionClassifier

        predict = ExpressionClassifier("default").predict
    faces = np.load(folder / "faces.npy")

    def repeat(batch: int) -> dict[str, Any]:
        for _ in range(REPEATS[batch]):
            found = predict(faces[:batch])
        return {"same": found.argmax(axis=1).tolist()}

    return {"batch 1": lambda: repeat(1), "batch 64": lambda: repeat(64)}


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the same of the ONNX runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["cores"]
    session = onnxruntime.InferenceSession(folder / "network.onnx", options, providers=["CPUExecutionProvider"])
    return ours(folder, settings, lambda faces: session.run(["probabilities"], {"faces": faces.astype("float32")})[0])
