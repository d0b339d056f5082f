"""What stands before Gradio: which requests pass, how large, how many, and what a browser may load.

Gradio limits the size of a file but not of other bodies, serves more than this page needs, and fetches addresses that
a request names. All of that ends here, as plain ASGI.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from fer_tf.demo.temporary import MEGABYTE, Uploads

Scope = Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOAD, FILE = "/gradio_api/upload", "/gradio_api/file="
# What the page asks for, and the calls of the API; a name that ends in a slash stands for all below it.
READ = (
    "/", "/assets/", "/config", "/config/", "/favicon.ico", "/manifest.json", "/robots.txt", "/static/", "/svelte/",
    "/theme.css", "/gradio_api/app_id", "/gradio_api/call/", "/gradio_api/heartbeat/", "/gradio_api/info",
    "/gradio_api/info/", "/gradio_api/queue/data", "/gradio_api/startup-events", "/gradio_api/theme.css",
    "/gradio_api/upload_progress",
)  # fmt: skip
WRITE = ("/gradio_api/call/", "/gradio_api/cancel", "/gradio_api/queue/join", "/gradio_api/reset", UPLOAD)
# Calls name their uploads and choices, nothing more. Around a file, an upload's body has some lines of its own.
CALL_BYTES, AROUND_BYTES = 65_536, 16_384
# At a time; what they have sent is on the disk, and no sweep gets it before it is whole.
UPLOADING = 64
# Addresses that are remembered; more than this within a minute start afresh.
ADDRESSES = 10_000

# Gradio's page has scripts and styles inline, and builds functions from text; nothing comes from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
GONE = "The upload is no longer here: uploads are deleted after some minutes. Please send it again."


@dataclass(frozen=True)
class Limits:
    """What one request, and one address, may ask for.

    Attributes:
        megabytes: of an uploaded file.
        rate: uploads and calls a minute and address; a photograph is one of each.
        seconds: that an upload may take.
    """

    megabytes: float = 25.0
    rate: int = 240
    seconds: float = 300.0


class Guard:
    """An ASGI application that lets pass what the page needs, and answers the rest itself."""

    def __init__(self, app: App, uploads: Uploads, limits: Limits | None = None):
        """Stand before an application."""
        self._app, self._uploads, self.limits = app, uploads, limits or Limits()
        self._uploading = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        refusal = self._refusal(scope)
        if refusal:
            return await _answer(send, *refusal)
        if scope["method"] != "POST":
            return await self._app(scope, receive, _with_headers(send))
        if scope["path"] == UPLOAD:
            most = self._most(UPLOAD)
            self._uploads.sweep(min(most, _length(scope) or most))
            return await self._counted(scope, receive, send)
        return await self._call(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason where a request's head says enough."""
        path, method = scope["path"], scope["method"]
        if not self._known(path, method):
            return 404, "Not found."
        if method == "POST":
            origin = _header(scope, b"origin")
            if origin and urlsplit(origin).netloc != _header(scope, b"host"):
                return 403, "Another site's page may not use this one."
            if (_length(scope) or 0) > self._most(path):
                return 413, self._too_large(path)
            if not self._has_turn((scope.get("client") or ("",))[0]):
                return 429, "Too many requests. Please wait a moment."
        return None

    def _known(self, path: str, method: str) -> bool:
        if method in ("GET", "HEAD"):
            if path.startswith(FILE):
                return self._uploads.has(unquote(path.removeprefix(FILE)))
            return _listed(path, READ)
        return method == "POST" and _listed(path, WRITE)

    def _most(self, path: str) -> int:
        return int(self.limits.megabytes * MEGABYTE) + AROUND_BYTES if path == UPLOAD else CALL_BYTES

    def _too_large(self, path: str) -> str:
        return f"Larger than {self.limits.megabytes:g} MB." if path == UPLOAD else f"Larger than {CALL_BYTES} bytes."

    def _has_turn(self, address: str) -> bool:
        """Take one of an address's requests, which come back evenly over a minute."""
        now, rate = time.monotonic(), self.limits.rate
        left, then = self._buckets.pop(address, (float(rate), now))
        left = min(rate, left + (now - then) * rate / 60)
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return left >= 1

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a body on as it comes; one that grows too large ends there, whatever its head said."""
        most, count, refused = self._most(scope["path"]), 0, False
        if self._uploading >= UPLOADING:
            return await _answer(send, 503, "Many uploads are on their way. Please try again.")

        async def counting() -> Message:
            nonlocal count, refused
            message = await receive()
            count += len(message.get("body", b""))
            if count > most and not refused:
                refused = True
                await _answer(send, 413, self._too_large(scope["path"]))
            return {"type": "http.disconnect"} if refused else message

        passed = _with_headers(send)

        async def sending(message: Message) -> None:
            if not refused:
                await passed(message)

        self._uploading += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                await self._app(scope, counting, sending)
        except TimeoutError:
            refused = True
            await _answer(send, 408, "The upload takes too long.")
        except Exception:
            # Of an application whose request ended in the middle.
            if not refused:
                raise
        finally:
            self._uploading -= 1

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a call, and pass it on where the files that it names are uploads."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > CALL_BYTES:
                return await _answer(send, 413, self._too_large(scope["path"]))
        try:
            named = list(_files(json.loads(body or b"null")))
        except (ValueError, RecursionError):
            return await _answer(send, 400, "Not JSON.")
        if not all(isinstance(path, str) and self._uploads.has(path) for path in named):
            return await _answer(send, 400, "Only uploaded files can be analyzed.")
        if not all(self._uploads.exists(path) for path in named):
            return await _answer(send, 410, GONE)
        sent = False

        async def again() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, _with_headers(send))


def _files(value: Any) -> Iterator[Any]:
    """Yield what a call names as a file's path, at any depth."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _files(item)


def _listed(path: str, names: tuple[str, ...]) -> bool:
    return path in names or any(len(n) > 1 and n.endswith("/") and path.startswith(n) for n in names)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _length(scope: Scope) -> int | None:
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, reason: str) -> None:
    """Answer in the form in which Gradio's page expects a reason."""
    body = json.dumps({"detail": reason, "error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
