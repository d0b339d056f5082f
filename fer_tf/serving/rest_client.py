"""Send requests to TensorFlow Serving over REST, with the standard library alone."""

import base64
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any

from fer_tf.errors import UserError

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
