"""Ask TensorFlow Serving over REST, with nothing but the standard library."""

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

PORT = 8501


class RestServer:
    """One model of a server."""

    def __init__(self, host: str, model: str = "faces", version: int | None = None, timeout: float = 60.0):
        """Note where the server is; nothing is sent yet.

        Args:
            host: name, ``name:port`` (8501 where it is left out), or the address of a proxy, ``https://…``.
            model: its name, that of the exported folder.
            version: of the model; ``None`` for the newest.
            timeout: for one request, in seconds.

        Raises:
            UserError: no address.
        """
        address = host if "://" in host else f"http://{host}"
        try:
            parts = urllib.parse.urlsplit(address)
            named = parts.scheme in ("http", "https") and parts.hostname
            port = "" if parts.port or "://" in host else f":{PORT}"
        except ValueError:
            named, port = None, ""
        if not named:
            raise UserError(f"{host!r} is no address. Expected localhost, localhost:8501 or https://name.")
        self.timeout, self.model = timeout, model
        self.address = address.rstrip("/") + port
        chosen = f"/versions/{version}" if version is not None else ""
        self.url = f"{self.address}/v1/models/{urllib.parse.quote(model, safe='')}{chosen}"

    def predict(self, signature: str, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send picture files to a signature whose input is ``image_bytes``.

        Returns:
            One dict a picture: name of the output → its value, in plain lists.

        Raises:
            UserError: no answer, or an error of the server.
        """
        rows = [{"image_bytes": {"b64": base64.b64encode(p).decode("ascii")}} for p in pictures]
        found = self._ask(":predict", {"signature_name": signature, "instances": rows}).get("predictions")
        if not isinstance(found, list) or len(found) != len(pictures):
            raise UserError(f"{self.url} does not answer as a model of fer_tf: no row for each picture.")
        return found

    def status(self) -> dict[str, Any]:
        """Return the server's word on the model's versions.

        Raises:
            UserError: no answer, or no such model.
        """
        return self._ask("", None)

    def _ask(self, verb: str, body: dict[str, Any] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode("ascii")
        request = urllib.request.Request(self.url + verb, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise UserError(f"{self.url}: {_said(error)}") from None
        except TimeoutError:
            raise UserError(f"{self.address} did not answer in {self.timeout:g} seconds.") from None
        except (urllib.error.URLError, HTTPException, OSError) as error:
            raise UserError(f"No server at {self.address} ({_reason(error)}).") from None
        except ValueError:
            raise UserError(f"{self.address} does not answer in JSON; is it TensorFlow Serving's REST port?") from None
        if not isinstance(answer, dict):
            raise UserError(f"{self.url} does not answer as TensorFlow Serving.")
        return answer


def _said(error: urllib.error.HTTPError) -> str:
    """Return the server's own words, in one line."""
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
