"""Send requests to TensorFlow Serving over gRPC; needs the extra ``serving``."""

import importlib
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from fer_tf.errors import UserError

_GRPC_PORT = 8500
# The default limit of gRPC, 4 MB, is too small for many photographs with many faces.
_LARGEST = 256 * 1024 * 1024


def serving_apis(module: str) -> ModuleType:
    """Import a module of ``tensorflow_serving.apis``, the messages of TensorFlow Serving.

    Raises:
        UserError: the extra ``serving`` is not installed.
    """
    if not has_serving_apis():
        raise UserError("This needs the messages of TensorFlow Serving: pip install 'fer-tf[serving]'.")
    return importlib.import_module(f"tensorflow_serving.apis.{module}")


def has_serving_apis() -> bool:
    """Return whether the messages are installed, without importing them and TensorFlow.

    Example:
        >>> from fer_tf import serving
        >>> serving.has_serving_apis() in (True, False)
        True
    """
    return importlib.util.find_spec("tensorflow_serving") is not None and importlib.util.find_spec("grpc") is not None


class GrpcClient:
    """A client of one model on a server.

    Example:
        >>> from fer_tf import serving
        >>> serving.GrpcClient("localhost", model="faces").address
        'localhost:8500'
    """

    def __init__(self, host: str, model: str = "faces", version: int | None = None, timeout: float = 60.0):
        """Store the address of the server; nothing is sent yet.

        Args:
            host: name, or ``name:port`` (default port 8500).
            model: name of the model, that of the exported folder.
            version: of the model; ``None`` for the newest.
            timeout: of a request, in seconds.

        Raises:
            UserError: not an address, or the extra ``serving`` is not installed.
        """
        self._messages, services = serving_apis("predict_pb2"), serving_apis("prediction_service_pb2_grpc")
        import grpc

        if "://" in host or not host:
            raise UserError(f"{host!r} is not an address for gRPC. Expected localhost or localhost:8500.")
        self.address = host if _has_port(host) else f"{host}:{_GRPC_PORT}"
        self.model, self.version, self.timeout = model, version, timeout
        sizes = [("grpc.max_receive_message_length", _LARGEST), ("grpc.max_send_message_length", _LARGEST)]
        self._channel = grpc.insecure_channel(self.address, options=sizes)
        self._service = services.PredictionServiceStub(self._channel)

    def predict(self, signature: str, images: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send image files to a signature whose input is ``image_bytes``.

        Args:
            signature: its name, ``"serving_default"`` or ``"analyze"``.
            images: the bytes of the files.

        Returns:
            A dict for each image, from the name of an output to its value, in plain lists.

        Raises:
            UserError: no response, or an error of the server.
        """
        import grpc
        import tensorflow as tf

        request = self._messages.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.model, signature
        if self.version is not None:
            request.model_spec.version.value = self.version
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(images), tf.string))
        try:
            outputs = self._service.Predict(request, self.timeout).outputs
        except grpc.RpcError as error:
            raise UserError(self._explain(error)) from None
        columns = {name: _lists(tf.make_ndarray(value)) for name, value in outputs.items()}
        if not columns or any(not isinstance(c, list) or len(c) != len(images) for c in columns.values()):
            raise UserError(
                f"{self.model} at {self.address} does not respond like a model of fer_tf: no row for each image."
            )
        return [{name: column[i] for name, column in columns.items()} for i in range(len(images))]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _explain(self, error) -> str:
        code, said = error.code().name, " ".join((error.details() or "").split())[:300]
        if code == "UNAVAILABLE":
            return f"No server at {self.address} ({said})."
        if code == "DEADLINE_EXCEEDED":
            return f"{self.address} did not respond in {self.timeout:g} seconds."
        return f"{self.model} at {self.address}: {code} {said}"


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and ("]" in host or host.count(":") == 1)


def _lists(array) -> Any:
    """Convert an array to plain lists, and bytes to text."""
    if array.dtype != object:
        return array.tolist()
    return _texts(array.tolist())


def _texts(value: Any) -> Any:
    return [_texts(v) for v in value] if isinstance(value, list) else value.decode()
