"""Send requests to TensorFlow Serving, over REST or gRPC."""

import base64
import importlib
import importlib.util
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from types import ModuleType
from typing import Any

from fer_tf.errors import UserError

Row = Mapping[str, Any]

# The outputs that a row of each signature must have; the responses of other exports lack some.
_FACE_KEYS = {"probabilities", "label", "classes", "valid"}
_PHOTOGRAPH_KEYS = {"count", "boxes", "scores", "landmarks", "probabilities", "labels", "size", "classes", "valid"}


def convert_face(row: Row) -> dict[str, Any]:
    """Convert a row of ``serving_default`` or ``predict_faces``.

    Args:
        row: the outputs of one image, by name, in plain lists.

    Returns:
        ``valid``: whether the server could read the image; ``faces``: a list of one dict with ``label`` and
        ``distribution`` (a probability for each class), empty if the image is not valid.

    Raises:
        ValueError: the row is of another signature.

    Example:
        >>> from fer_tf import serving
        >>> row = {"probabilities": [0.75, 0.25], "label": "happy", "classes": ["happy", "sad"], "valid": True}
        >>> serving.convert_face(row)["faces"]
        [{'label': 'happy', 'distribution': {'happy': 0.75, 'sad': 0.25}}]
    """
    _check(row, _FACE_KEYS)
    return {"valid": row["valid"], "faces": [_face(row["label"], row)] if row["valid"] else []}


def convert_photograph(row: Row) -> dict[str, Any]:
    """Convert a row of ``analyze``.

    Args:
        row: the outputs of one photograph, by name, in plain lists.

    Returns:
        ``valid``: whether the server could read the image; ``size``: height and width in pixels; ``faces``: a list, the
        highest detection score first, of dicts with ``box`` (x0, y0, x1, y1 in pixels), ``score``, ``landmarks`` (five
        x, y in pixels), ``label`` and ``distribution``.

    Raises:
        ValueError: the row is of another signature.

    Example:
        >>> from fer_tf import serving
        >>> row = {"count": 0, "boxes": [], "scores": [], "landmarks": [], "probabilities": [], "labels": [],
        ...        "size": [48, 64], "classes": ["happy", "sad"], "valid": True}
        >>> serving.convert_photograph(row)
        {'valid': True, 'size': [48, 64], 'faces': []}
    """
    _check(row, _PHOTOGRAPH_KEYS)
    columns = [row[key][: row["count"]] for key in ("boxes", "scores", "landmarks", "labels", "probabilities")]
    faces = [
        {"box": box, "score": score, "landmarks": points, **_face(label, {**row, "probabilities": probabilities})}
        for box, score, points, label, probabilities in zip(*columns, strict=True)
    ]
    return {"valid": row["valid"], "size": row["size"], "faces": faces}


def _face(label: str, row: Row) -> dict[str, Any]:
    return {"label": label, "distribution": dict(zip(row["classes"], row["probabilities"], strict=True))}


def _check(row: Row, wanted: set[str]) -> None:
    missing = sorted(wanted - set(row)) if isinstance(row, Mapping) else sorted(wanted)
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")


_REST_PORT = 8501


class RestClient:
    """A client of one model on a server.

    Example:
        >>> from fer_tf import serving
        >>> serving.RestClient("localhost", model="faces").url
        'http://localhost:8501/v1/models/faces'
    """

    def __init__(self, host: str, model: str = "faces", version: int | None = None, timeout: float = 60.0):
        """Store the address of the server; nothing is sent yet.

        Args:
            host: name, ``name:port`` (default port 8501), or the address of a proxy, ``https://…``.
            model: name of the model, that of the exported folder.
            version: of the model; ``None`` for the newest.
            timeout: of a request, in seconds.

        Raises:
            UserError: not an address.
        """
        address = host if "://" in host else f"http://{host}"
        try:
            parts = urllib.parse.urlsplit(address)
            named = parts.scheme in ("http", "https") and parts.hostname
            port = "" if parts.port or "://" in host else f":{_REST_PORT}"
        except ValueError:
            named, port = None, ""
        if not named:
            raise UserError(f"{host!r} is not an address. Expected localhost, localhost:8501 or https://name.")
        self.timeout, self.model = timeout, model
        self.address = address.rstrip("/") + port
        chosen = f"/versions/{version}" if version is not None else ""
        self.url = f"{self.address}/v1/models/{urllib.parse.quote(model, safe='')}{chosen}"

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
        rows = [{"image_bytes": {"b64": base64.b64encode(p).decode("ascii")}} for p in images]
        found = self._ask(":predict", {"signature_name": signature, "instances": rows}).get("predictions")
        if not isinstance(found, list) or len(found) != len(images):
            raise UserError(f"{self.url} does not respond like a model of fer_tf: no row for each image.")
        return found

    def status(self) -> dict[str, Any]:
        """Return the status of the model's versions.

        Raises:
            UserError: no response, or no such model.
        """
        return self._ask("", None)

    def _ask(self, verb: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode("ascii")
        request = urllib.request.Request(self.url + verb, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                found = json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise UserError(f"{self.url}: {_message(error)}") from None
        except TimeoutError:
            raise UserError(f"{self.address} did not respond in {self.timeout:g} seconds.") from None
        except (urllib.error.URLError, HTTPException, OSError) as error:
            raise UserError(f"No server at {self.address} ({_reason(error)}).") from None
        except ValueError:
            raise UserError(
                f"{self.address} does not respond in JSON. Expected the REST port of TensorFlow Serving."
            ) from None
        if not isinstance(found, dict):
            raise UserError(f"{self.url} does not respond like TensorFlow Serving.")
        return found


def _message(error: urllib.error.HTTPError) -> str:
    """Return the error message of the server, in one line."""
    try:
        text = str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError, OSError, HTTPException):
        text = str(error.reason)
    return f"{error.code} {' '.join(text.split())[:300]}"


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, socket.gaierror):
        return "no such host"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


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
