"""Requests that TensorFlow Serving sends itself before a new version answers, so that no client waits for the first."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from fer_tf.serving.check import Samples
from fer_tf.serving.stubs import apis

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# The server refuses a file of more.
MOST = 1000


def write(folder: Path, name: str, given: Samples) -> Path:
    """Write a version's warm-up requests: each signature with one row and with all.

    A record with a wrong input would keep the server from loading the version, so they are made of inputs that were
    run already.

    Args:
        folder: of the version.
        name: of the model.
        given: signature → input → value, as ``check.samples`` makes them.

    Returns:
        The file.

    Raises:
        UserError: the extra ``serving`` is not installed.
    """
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    logs = apis("prediction_log_pb2")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in given.items():
            for rows in sorted({1, len(next(iter(inputs.values())))}):
                request = predict_request(name, signature, {key: value[:rows] for key, value in inputs.items()})
                record = logs.PredictionLog(predict_log=logs.PredictLog(request=request))
                writer.write(record.SerializeToString())
    return path


def read(folder: Path) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield the signature and inputs of each request of a version."""
    logs = apis("prediction_log_pb2")
    for record in tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        yield request.model_spec.signature_name, {k: tf.make_ndarray(v) for k, v in request.inputs.items()}


def predict_request(name: str, signature: str, inputs: dict[str, np.ndarray]):
    """Make the official request of a signature."""
    request = apis("predict_pb2").PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request
