"""Ask TensorFlow Serving over gRPC, by its official messages; needs the extra ``serving``."""

from collections.abc import Sequence
from typing import Any

from fer_tf.errors import UserError
from fer_tf.serving.stubs import apis

PORT = 8500
# gRPC's own limit of an answer, 4 MB, is too small for many photographs of many faces.
LARGEST = 256 * 1024 * 1024


class GrpcServer:
    """One model of a server."""

    def __init__(self, host: str, model: str = "faces", version: int | None = None, timeout: float = 60.0):
        """Note where the server is; nothing is sent yet.

        Args:
            host: name, or ``name:port`` (8500 where it is left out).
            model: its name, that of the exported folder.
            version: of the model; ``None`` for the newest.
            timeout: for one request, in seconds.

        Raises:
            UserError: no address, or the extra ``serving`` is not installed.
        """
        self._messages, services = apis("predict_pb2"), apis("prediction_service_pb2_grpc")
        import grpc

        if "://" in host or not host:
            raise UserError(f"{host!r} is no address for gRPC. Expected localhost or localhost:8500.")
        self.address = host if _has_port(host) else f"{host}:{PORT}"
        self.model, self.version, self.timeout = model, version, timeout
        sizes = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
        self._channel = grpc.insecure_channel(self.address, options=sizes)
        self._service = services.PredictionServiceStub(self._channel)

    def predict(self, signature: str, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send picture files to a signature whose input is ``image_bytes``.

        Returns:
            One dict a picture: name of the output → its value, in plain lists.

        Raises:
            UserError: no answer, or an error of the server.
        """
        import grpc
        import tensorflow as tf

        request = self._messages.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.model, signature
        if self.version is not None:
            request.model_spec.version.value = self.version
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(pictures), tf.string))
        try:
            outputs = self._service.Predict(request, self.timeout).outputs
        except grpc.RpcError as error:
            raise UserError(self._explained(error)) from None
        columns = {name: _lists(tf.make_ndarray(value)) for name, value in outputs.items()}
        if not columns or any(not isinstance(c, list) or len(c) != len(pictures) for c in columns.values()):
            raise UserError(f"{self.model} at {self.address} does not answer as a model of fer_tf: no row a picture.")
        return [{name: column[i] for name, column in columns.items()} for i in range(len(pictures))]

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _explained(self, error) -> str:
        code, said = error.code().name, " ".join((error.details() or "").split())[:300]
        if code == "UNAVAILABLE":
            return f"No server at {self.address} ({said})."
        if code == "DEADLINE_EXCEEDED":
            return f"{self.address} did not answer in {self.timeout:g} seconds."
        return f"{self.model} at {self.address}: {code} {said}"


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and ("]" in host or host.count(":") == 1)


def _lists(array) -> Any:
    """Return an array as plain lists, its bytes as text."""
    if array.dtype != object:
        return array.tolist()
    return _texts(array.tolist())


def _texts(value: Any) -> Any:
    return [_texts(v) for v in value] if isinstance(value, list) else value.decode()
