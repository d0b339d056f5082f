"""Send requests to TensorFlow Serving, over REST or gRPC.

A server is not believed: the size, time, depth and types of what it sends are limited, and all else is a one-line
``UserError``.
"""

import base64
import functools
import importlib
import importlib.util
import io
import json
import math
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import ModuleType
from typing import Any

from fer_tf.errors import UserError, printable

Row = Mapping[str, Any]

# The outputs that a row of each signature must have; the responses of other exports lack some.
_FACE_KEYS = {"probabilities", "label", "classes", "valid"}
_PHOTOGRAPH_KEYS = {"count", "boxes", "scores", "landmarks", "probabilities", "labels", "size", "classes", "valid"}
# A row of an export with 4,000 faces has so many bytes as JSON.
_ROW_BYTES = 1_000_000
_ROW_VALUES = 250_000
_LONGEST_TIMEOUT = 86_400.0
_NOT_OURS = "does not respond like a model of fer_tf"


def convert_face(row: Row) -> dict[str, Any]:
    """Convert a row of ``serving_default`` or ``predict_faces``.

    Args:
        row: the outputs of one image, by name, in plain lists.

    Returns:
        ``valid``: whether the server could read the image; ``faces``: a list of one dict with ``label`` and
        ``distribution`` (a probability for each class), empty if the image is not valid.

    Raises:
        ValueError: the row is of another signature, or has values of another type or shape.

    Example:
        >>> from fer_tf import serving
        >>> row = {"probabilities": [0.75, 0.25], "label": "happy", "classes": ["happy", "sad"], "valid": True}
        >>> serving.convert_face(row)["faces"]
        [{'label': 'happy', 'distribution': {'happy': 0.75, 'sad': 0.25}}]
    """
    _check(row, _FACE_KEYS)
    _check_values(row, {"probabilities": (len(row["classes"]),)}, {"label": ()})
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
        ValueError: the row is of another signature, or has values of another type or shape.

    Example:
        >>> from fer_tf import serving
        >>> row = {"count": 0, "boxes": [], "scores": [], "landmarks": [], "probabilities": [], "labels": [],
        ...        "size": [48, 64], "classes": ["happy", "sad"], "valid": True}
        >>> serving.convert_photograph(row)
        {'valid': True, 'size': [48, 64], 'faces': []}
    """
    _check(row, _PHOTOGRAPH_KEYS)
    count = row["count"]
    if type(count) is not int or not 0 <= count <= _ROW_VALUES:
        raise ValueError("has a count that is no whole number")
    shapes = {"boxes": (count, 4), "scores": (count,), "landmarks": (count, 5, 2),
              "probabilities": (count, len(row["classes"]))}  # fmt: skip
    texts = {"labels": (count,)}
    row = {**row, **{key: row[key][:count] for key in (*shapes, *texts) if isinstance(row[key], list)}}
    _check_values(row, {**shapes, "size": (2,)}, texts)
    columns = [row[key] for key in ("boxes", "scores", "landmarks", "labels", "probabilities")]
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
    classes = row["classes"]
    if type(row["valid"]) is not bool:
        raise ValueError("has a valid that is neither true nor false")
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes) or len({*classes}) < len(classes):
        raise ValueError("has classes that are no list of names")


def _check_values(row: Row, numbers: Mapping[str, tuple[int, ...]], texts: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a ``ValueError`` unless the outputs are lists of finite numbers, or texts, of the shapes."""
    for named, kind, good in ((numbers, "numbers", _is_number), (texts, "texts", lambda v: isinstance(v, str))):
        for key, shape in named.items():
            if not _has_shape(row[key], shape, good):
                raise ValueError(f"has {key} that {'is' if not shape else 'are'} not {shape or 'one'} {kind}")


def _has_shape(value: Any, shape: tuple[int, ...], good: Any) -> bool:
    if not shape:
        return good(value)
    return isinstance(value, list) and len(value) == shape[0] and all(_has_shape(v, shape[1:], good) for v in value)


def _is_number(value: Any) -> bool:
    # False for NaN too; whole numbers may have any number of digits.
    return type(value) in (int, float) and -1e30 < value < 1e30


def _checked_settings(version: int | None, timeout: float) -> None:
    """Raise a ``UserError`` unless version and timeout are ones that a request can have."""
    if version is not None and not 0 <= version < 2**63:
        raise UserError(f"version {version} is out of range. Expected 0 to {2**63 - 1}.")
    if not 0 < timeout <= _LONGEST_TIMEOUT:
        raise UserError(f"timeout {timeout} is out of range. Expected seconds, up to {_LONGEST_TIMEOUT:,.0f}.")


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
            timeout: of a request with its response, in seconds.

        Raises:
            UserError: not an address, or a value out of range.
        """
        _checked_settings(version, timeout)
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
        if not images:
            # Servers with batching do not answer an empty request, and the next one gets an error.
            return []
        rows = [{"image_bytes": {"b64": base64.b64encode(p).decode("ascii")}} for p in images]
        body = {"signature_name": signature, "instances": rows}
        found = self._ask(":predict", body, len(images)).get("predictions")
        if not isinstance(found, list) or len(found) != len(images):
            raise UserError(f"{self.url} {_NOT_OURS}: no row for each image.")
        return found

    def status(self) -> dict[str, Any]:
        """Return the status of the model's versions.

        Raises:
            UserError: no response, or no such model.
        """
        return self._ask("", None)

    def _ask(self, verb: str, body: dict[str, Any] | None, rows: int = 0) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode("ascii")
        request = urllib.request.Request(self.url + verb, data, {"Content-Type": "application/json"})
        late = f"{self.address} did not respond in {self.timeout:g} seconds."
        try:
            with _opener(time.monotonic() + self.timeout).open(request, timeout=self.timeout) as response:
                found = json.loads(_bounded(response, rows))
        except urllib.error.HTTPError as error:
            raise UserError(f"{self.url}: {_message(error)}") from None
        except TimeoutError:
            raise UserError(late) from None
        except (urllib.error.URLError, HTTPException, OSError) as error:
            slow = isinstance(getattr(error, "reason", None), TimeoutError)
            raise UserError(late if slow else f"No server at {self.address} ({_reason(error)}).") from None
        except OverflowError:
            raise UserError(f"{self.url} {_NOT_OURS}: more than {(rows + 1) * _ROW_BYTES:,} bytes.") from None
        except (ValueError, RecursionError):
            raise UserError(
                f"{self.address} does not respond in JSON. Expected the REST port of TensorFlow Serving."
            ) from None
        if not isinstance(found, dict):
            raise UserError(f"{self.url} does not respond like TensorFlow Serving.")
        return found


def _opener(end: float) -> urllib.request.OpenerDirector:
    """Return what opens addresses of HTTP, reads responses until the time ``end``, and follows no redirections."""

    def connection(kind: type[HTTPConnection], *args, **options) -> HTTPConnection:
        made = kind(*args, **options)
        made.response_class = functools.partial(_TimedResponse, end)
        return made

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request):
            return self.do_open(functools.partial(connection, HTTPConnection), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request):
            return self.do_open(functools.partial(connection, HTTPSConnection), request)

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    return urllib.request.build_opener(Http, Https, Stay)


class _TimedResponse(HTTPResponse):
    """A response, head and body, that must be here at a time; a socket's own timeout starts anew with each byte."""

    def __init__(self, end: float, sock: socket.socket, *args, **options):
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(end, sock, self.fp.detach()))


class _TimedReader(io.RawIOBase):
    def __init__(self, end: float, sock: socket.socket, raw: io.RawIOBase):
        self._end, self._sock, self._raw = end, sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _bounded(response: Any, rows: int) -> bytes:
    """Read a body; raise an ``OverflowError`` if it is larger than so many rows can be."""
    most = (rows + 1) * _ROW_BYTES
    body = response.read(most + 1)
    if len(body) > most:
        raise OverflowError
    return body


def _message(error: urllib.error.HTTPError) -> str:
    """Return the error message of the server, in one line."""
    try:
        with error:
            text = str(json.loads(_bounded(error, 0))["error"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, OSError, HTTPException):
        text = str(error.reason)
    return f"{error.code} {_one_line(text)}"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split())[:300])


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, socket.gaierror):
        return "no such host"
    return _one_line(getattr(inner, "strerror", None) or str(inner) or type(inner).__name__)


_GRPC_PORT = 8500
# The default limit of gRPC, 4 MB, is too small for many photographs with many faces.
_LARGEST_REQUEST, _LARGEST_RESPONSE = 256 * 1024 * 1024, 64 * 1024 * 1024


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
            timeout: of a request with its response, in seconds.

        Raises:
            UserError: not an address, a value out of range, or the extra ``serving`` is not installed.
        """
        _checked_settings(version, timeout)
        self._messages, services = serving_apis("predict_pb2"), serving_apis("prediction_service_pb2_grpc")
        import grpc

        if "://" in host or not host:
            raise UserError(f"{host!r} is not an address for gRPC. Expected localhost or localhost:8500.")
        self.address = host if _has_port(host) else f"{host}:{_GRPC_PORT}"
        self.model, self.version, self.timeout = model, version, timeout
        sizes = [("grpc.max_receive_message_length", _LARGEST_RESPONSE),
                 ("grpc.max_send_message_length", _LARGEST_REQUEST)]  # fmt: skip
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

        if not images:
            return []
        request = self._messages.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.model, signature
        if self.version is not None:
            request.model_spec.version.value = self.version
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(list(images), tf.string))
        try:
            outputs = self._service.Predict(request, self.timeout).outputs
        except grpc.RpcError as error:
            raise UserError(self._explain(error)) from None
        name = f"{self.model} at {self.address}"
        # A few bytes can stand for a tensor of any size.
        values = sum(math.prod(abs(d.size) for d in value.tensor_shape.dim) for value in outputs.values())
        if not 0 <= values <= (len(images) + 1) * _ROW_VALUES:
            raise UserError(f"{name} {_NOT_OURS}: {values:,} values.")
        try:
            columns = {key: _lists(tf.make_ndarray(value)) for key, value in outputs.items()}
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            raise UserError(f"{name} {_NOT_OURS}: damaged tensors.") from None
        if not columns or any(not isinstance(c, list) or len(c) != len(images) for c in columns.values()):
            raise UserError(f"{name} {_NOT_OURS}: no row for each image.")
        return [{name: column[i] for name, column in columns.items()} for i in range(len(images))]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _explain(self, error) -> str:
        code, said = error.code().name, _one_line(error.details() or "")
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
