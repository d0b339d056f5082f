"""Export a network as a SavedModel for TensorFlow Serving."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.io import atomic
from fer_tf.progress import bar
from fer_tf.serving import check, model_folder
from fer_tf.serving.check import Samples
from fer_tf.serving.grpc_client import has_serving_apis, serving_apis
from fer_tf.serving.signatures import Signatures

_LABELS = "labels.txt"
_WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"


def export(
    model: "ExpressionClassifier | str | Path" = "default",
    folder: Path | str = "saved_models/faces",
    version: int | None = None,
    **options,
) -> Path:
    """Write a network as ``folder/<version>/`` with the signatures of ``Signatures``.

    The new version is run in a session of TensorFlow 1, as the server runs it, and compared with Keras before it is
    moved into place. If the extra ``serving`` is installed, it has warm-up requests. ``models.config``,
    ``batching.config`` and ``SERVING.md`` are written beside ``folder``.

    Args:
        model: a classifier, a shipped name, or the path of a ``.keras`` file.
        folder: of the model; clients ask for its name.
        version: number of the version; ``None`` for the next.
        **options: ``detector``, ``max_faces`` and ``max_pixels`` of ``Signatures``.

    Returns:
        The folder of the version.

    Raises:
        UserError: no such model, a value out of range, or the version exists.
        RuntimeError: the written version does not compute what Keras computes; it is deleted.
    """
    folder = Path(folder)
    with model_folder.new_version(folder, version) as (part, final), bar(3, "export", "step") as progress:
        classifier = model if isinstance(model, ExpressionClassifier) else ExpressionClassifier(model)
        signatures, samples = Signatures(classifier, **options), check.make_samples(classifier)
        progress.update()
        write(signatures, part)
        if has_serving_apis():
            write_warmup(part, folder.absolute().name, samples)
        progress.update()
        check.check_export(part, signatures, samples)
        progress.update()
    model_folder.write_configs(folder.absolute().parent)
    return final


def write(signatures: Signatures, folder: Path) -> None:
    """Write the SavedModel itself: signatures, weights and ``assets/labels.txt``."""
    with tempfile.TemporaryDirectory() as temporary:
        labels = Path(temporary) / _LABELS
        atomic.write_text(labels, "".join(f"{name}\n" for name in signatures.classes))
        # The module must not refer to Keras objects: their variables would be stored a second time.
        module = tf.Module(name="served")
        module.weights = signatures.variables()
        module.labels = tf.saved_model.Asset(str(labels))
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), signatures=dict(signatures.functions()), options=options)


def write_warmup(folder: Path, name: str, given: Samples) -> Path:
    """Write requests that TensorFlow Serving runs before a new version responds to clients.

    Each signature is run with one row and with all rows. A server does not load a version whose warm-up fails.

    Args:
        folder: of the version.
        name: of the model.
        given: inputs from ``check.make_samples``.

    Returns:
        The file.

    Raises:
        UserError: the extra ``serving`` is not installed.
    """
    path = folder / _WARMUP
    path.parent.mkdir(exist_ok=True)
    logs = serving_apis("prediction_log_pb2")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in given.items():
            for rows in sorted({1, len(next(iter(inputs.values())))}):
                request = _request(name, signature, {key: value[:rows] for key, value in inputs.items()})
                record = logs.PredictionLog(predict_log=logs.PredictLog(request=request))
                writer.write(record.SerializeToString())
    return path


def read_warmup(folder: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the signature and the inputs of each warm-up request of a version."""
    logs = serving_apis("prediction_log_pb2")
    for record in tf.data.TFRecordDataset(str(folder / _WARMUP)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        yield request.model_spec.signature_name, {k: tf.make_ndarray(v) for k, v in request.inputs.items()}


def _request(name: str, signature: str, inputs: dict[str, np.ndarray]):
    request = serving_apis("predict_pb2").PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request
