"""Limit the requests that reach Gradio, and the uploads that it keeps.

Gradio's ``delete_cache`` deletes complete uploads by age. This also limits their total size, and deletes what an
interrupted upload left.

Gradio limits the size of a file but not that of other bodies, serves more than this page needs, and fetches the
addresses that a request names. This module is an ASGI application in front of it, made of Starlette's parts.
"""

import asyncio
import contextlib
import json
import os
import tempfile
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Limits of one request, and of the requests of one address.

    Attributes:
        megabytes: most megabytes of an uploaded file.
        rate: most uploads and calls of an address in a minute; a photograph is one of each.
        seconds: most seconds that an upload may take.
        call_seconds: most seconds that the body of any other request may take.
        at_once: most requests of an address at a time; an open page takes two or three.
        uploads: most uploads at a time; what they have sent is on the disk, and is not deleted before it is complete.
    """

    megabytes: float = 25.0
    rate: int = 240
    seconds: float = 300.0
    uploads: int = 64
    call_seconds: float = 20.0
    at_once: int = 128


class Uploads:
    """A folder whose files are deleted when they are old, and the oldest of them when there are too many."""

    def __init__(self, path: Path, seconds: float, total: int, least: int = 0):
        """Take over a folder with everything in it.

        Args:
            path: the folder.
            seconds: age at which a file is deleted, counted from its last change.
            total: most bytes that are kept.
            least: least bytes that a file counts for, which limits the number of files.
        """
        self.path, self.seconds, self.total, self.least = path.resolve(), seconds, total, least
        self._lock = threading.Lock()

    def has(self, path: str) -> bool:
        """Return whether a path is inside, with links and ``..`` resolved; the file need not exist."""
        try:
            return Path(path).is_absolute() and self.path in Path(path).resolve().parents
        except (OSError, ValueError, RuntimeError):
            return False

    def exists(self, path: str) -> bool:
        """Return whether a path is a file inside."""
        return self.has(path) and Path(path).is_file()

    def sweep(self, room: int = 0) -> int:
        """Delete files that are too old, then the oldest ones until ``room`` bytes fit in; return the bytes kept."""
        with self._lock:
            files = sorted(self._files())
            left = sum(size for _, size, _ in files)
            limit = time.time() - self.seconds
            for changed, size, path in files:
                if changed >= limit and left + room <= self.total:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                left -= size
                # An upload is alone in its folder; a folder that is not empty stays.
                with contextlib.suppress(OSError):
                    if path.parent != self.path:
                        path.parent.rmdir()
            return left

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for folder, _, names in os.walk(self.path):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    yield status.st_mtime, max(status.st_size, self.least), path


@contextlib.contextmanager
def temporary_uploads(seconds: float = 600.0, total: int = 1000 * MEGABYTE, every: float = 30.0) -> Iterator[Uploads]:
    """Create a folder of uploads, sweep it in a thread, and delete it at the end.

    Args:
        seconds: age at which a file is deleted.
        total: most bytes that are kept.
        every: seconds between two sweeps.
    """
    ended = threading.Event()
    with tempfile.TemporaryDirectory(prefix="fer_tf-uploads-", ignore_cleanup_errors=True) as folder:
        kept = Uploads(Path(folder), seconds, total, MEGABYTE)

        def watch() -> None:
            while not ended.wait(every):
                kept.sweep()

        threading.Thread(target=watch, name="sweep uploads", daemon=True).start()
        try:
            yield kept
        finally:
            ended.set()


UPLOAD, _FILE = "/gradio_api/upload", "/gradio_api/file="
# What the page asks for, and the calls of the API; a name that ends in a slash stands for all below it.
_READ = (
    "/", "/assets/", "/config", "/config/", "/favicon.ico", "/manifest.json", "/robots.txt", "/static/", "/svelte/",
    "/theme.css", "/gradio_api/app_id", "/gradio_api/call/", "/gradio_api/heartbeat/", "/gradio_api/info",
    "/gradio_api/info/", "/gradio_api/queue/data", "/gradio_api/startup-events", "/gradio_api/theme.css",
    "/gradio_api/upload_progress",
)  # fmt: skip
_WRITE = ("/gradio_api/call/", "/gradio_api/cancel", "/gradio_api/queue/join", "/gradio_api/reset", UPLOAD)
# Calls name their uploads and choices, nothing more. An upload's body has some lines around the file.
CALL_BYTES, AROUND_BYTES = 65_536, 16_384
# Names of this computer that no other site's name server can give away.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Number of addresses that are remembered; the oldest of more lose their count of requests.
_ADDRESSES = 10_000

# Gradio's page has scripts and styles inline, and builds functions from text; nothing comes from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY, "referrer-policy": "no-referrer", "x-content-type-options": "nosniff",
}  # fmt: skip
_GONE = "The upload is no longer here: uploads are deleted after some minutes. Please send it again."


class Guard:
    """An ASGI application that passes on the requests that the page needs, and refuses all others."""

    def __init__(
        self, app: ASGIApp, uploads: Uploads, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic,
        hosts: Iterable[str] = (), proxied: bool = False,
    ):  # fmt: skip
        """Stand in front of ``app``.

        Args:
            app: Gradio's application.
            uploads: the folder of uploads, the only files that a request may name.
            limits: of one request and of one address.
            clock: seconds, by which the requests of an address are counted.
            hosts: names of the server, beside those of this computer and the address that a request came to. A request
                for another name is refused: the page of another site, whose name was made to lead here (DNS
                rebinding), would count as this one.
            proxied: believe ``X-Forwarded-…`` headers, which the server in front sets.
        """
        self._hosts, self._proxied = {*_LOOPBACK, *map(str.lower, hosts)}, proxied
        self._open: Counter[str] = Counter()
        self._app, self._uploads, self.limits, self._clock = app, uploads, limits or Limits(), clock
        self._uploading = asyncio.Semaphore(self.limits.uploads)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        send, address = _with_headers(send), _address(scope)
        if not self._proxied:
            scope = {**scope, "headers": [h for h in scope["headers"] if b"forwarded" not in h[0]]}
        self._open[address] += 1
        try:
            self._check_head(Request(scope))
            if scope["method"] != "POST":
                await self._app(scope, receive, send)
            elif scope["path"] == UPLOAD:
                await self._upload(scope, receive, send)
            else:
                await self._call(scope, receive, send)
        except HTTPException as refusal:
            # The form in which Gradio's page expects a reason.
            reason = {"detail": refusal.detail, "error": refusal.detail}
            await JSONResponse(reason, refusal.status_code, {"connection": "close"})(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def _check_head(self, request: Request) -> None:
        """Refuse a request where its head says enough."""
        path, headers = request.scope["path"], request.headers
        if not self._is_here(request):
            raise HTTPException(421, "This page is not served under that name. See the option --name.")
        if self._open[_address(request.scope)] > self.limits.at_once:
            raise HTTPException(429, "Too many requests at a time.")
        if not self._known(path, request.method):
            raise HTTPException(404, "Not found.")
        if request.method != "POST":
            return
        origin = headers.get("origin")
        if origin and origin.lower().partition("://")[2] != headers["host"].lower():
            raise HTTPException(403, "The page of another site must not use this one.")
        if _length(request) > self._most(path):
            raise self._too_large(path)
        if not self._has_turn(_address(request.scope)):
            raise HTTPException(429, "Too many requests. Please wait a moment.")

    def _is_here(self, request: Request) -> bool:
        """Return whether a request is for a name of this server, or the address at which it came in."""
        try:
            (given,) = request.headers.getlist("host")
            name = (urlsplit(f"//{given}").hostname or "").rstrip(".")
        except ValueError:
            return False
        at = (request.scope.get("server") or ("",))[0].removeprefix("::ffff:")
        return bool(name) and name in {*self._hosts, at}

    def _known(self, path: str, method: str) -> bool:
        if method in ("GET", "HEAD"):
            if path.startswith(_FILE):
                return self._uploads.has(unquote(path.removeprefix(_FILE)))
            return _listed(path, _READ)
        return method == "POST" and _listed(path, _WRITE)

    def _most(self, path: str) -> int:
        return int(self.limits.megabytes * MEGABYTE) + AROUND_BYTES if path == UPLOAD else CALL_BYTES

    def _too_large(self, path: str) -> HTTPException:
        most = f"{self.limits.megabytes:g} MB" if path == UPLOAD else f"{CALL_BYTES} bytes"
        return HTTPException(413, f"Larger than {most}.")

    def _has_turn(self, address: str) -> bool:
        """Take one of the requests of an address, which come back evenly over a minute."""
        now, rate = self._clock(), self.limits.rate
        left, then = self._buckets.pop(address, (float(rate), now))
        left = min(rate, left + (now - then) * rate / 60)
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return left >= 1

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a body on as it comes; one that grows too large ends there, whatever its head said."""
        most = self._most(UPLOAD)
        self._uploads.sweep(min(most, _length(Request(scope)) or most))
        if self._uploading.locked():
            raise HTTPException(503, "Many uploads are on their way. Please try again.")
        body = _LimitedBody(receive, most)

        async def send_unless_cut(message: Message) -> None:
            if not body.cut:
                await send(message)

        async with self._uploading:
            try:
                async with asyncio.timeout(self.limits.seconds):
                    await self._app(scope, body.receive, send_unless_cut)
            except TimeoutError:
                raise HTTPException(408, "The upload takes too long.") from None
            except Exception:
                # An application whose request was cut may fail.
                if not body.cut:
                    raise
        if body.cut:
            raise self._too_large(UPLOAD)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a call, and pass it on if all files that it names are uploads."""
        limited = _LimitedBody(receive, CALL_BYTES)
        try:
            async with asyncio.timeout(self.limits.call_seconds):
                body = await Request(scope, limited.receive).body()
        except TimeoutError:
            raise HTTPException(408, "The request takes too long.") from None
        except ClientDisconnect:
            if limited.cut:
                raise self._too_large(scope["path"]) from None
            return
        self._check_files(body)
        left = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return left.pop() if left else await receive()

        await self._app(scope, again, send)

    def _check_files(self, body: bytes) -> None:
        try:
            named = list(_files(json.loads(body or b"null")))
        except (ValueError, RecursionError):
            raise HTTPException(400, "Not JSON.") from None
        if not all(isinstance(path, str) and self._uploads.has(path) for path in named):
            raise HTTPException(400, "Only uploaded files can be analyzed.")
        if not all(self._uploads.exists(path) for path in named):
            raise HTTPException(410, _GONE)


@dataclass
class _LimitedBody:
    """The body of a request, which ends as if the client had gone where it grows too large."""

    original: Receive
    most: int
    cut: bool = False

    async def receive(self) -> Message:
        message = await self.original()
        self.most -= len(message.get("body", b""))
        self.cut |= self.most < 0
        return {"type": "http.disconnect"} if self.cut else message


def _files(value: Any) -> Iterator[Any]:
    """Yield what a call names as the path of a file, at any depth."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _files(item)


def _listed(path: str, names: tuple[str, ...]) -> bool:
    return path in names or any(len(n) > 1 and n.endswith("/") and path.startswith(n) for n in names)


def _address(scope: Scope) -> str:
    """Return the address of the client, which shares the limits of one."""
    return (scope.get("client") or ("",))[0]


def _length(request: Request) -> int:
    """Return the length that a request gives for its body; 0 where it gives none."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdigit() else 0


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
