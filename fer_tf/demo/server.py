"""Build the page with Gradio and serve it."""

import contextlib
import importlib
import ipaddress
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from fer_tf import demo
from fer_tf.demo.guard import Limits, Uploads, temporary_uploads
from fer_tf.errors import UserError
from fer_tf.models import shipped_names, weights_path

_STYLE = Path(__file__).with_name("page.css")
_TITLE = "Facial expressions"
# Most calls that wait, and most of one address; a video takes up to a minute, a photograph less than a second.
_PHOTOGRAPHS, _VIDEOS = "photograph", "video"
_WAITING = {_PHOTOGRAPHS: (256, 64), _VIDEOS: (16, 4)}
_SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]
_ABOUT = (
    "# Facial expressions\nThe server of this page finds faces, turns them upright and recognizes their expressions. "
    "Your files, up to {megabytes:g} MB each, stay on that server and are deleted after {minutes:.0f} minutes."
)
_HERE = "<p>Results appear here.</p>"
_Result = tuple[str, dict[str, Any]]


def import_gradio(uploads: Uploads) -> ModuleType:
    """Import Gradio, set to keep uploads in our folder and to make no connections.

    Raises:
        UserError: the extra ``demo`` is not installed.
    """
    # Gradio reads these when it is imported and when the page is built.
    os.environ.update(
        GRADIO_TEMP_DIR=str(uploads.path), GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False",
        GRADIO_SSR_MODE="False", GRADIO_MCP_SERVER="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
    )  # fmt: skip
    try:
        return importlib.import_module("gradio")
    except ImportError:
        raise UserError("The web page needs Gradio: pip install 'fer-tf[demo]'.") from None


def build(analyzer: Any, uploads: Uploads, limits: Limits) -> Any:
    """Build the page as an ASGI application, without the guard in front of it.

    Args:
        analyzer: ``fer_tf.demo.analysis.Analyzer``.
        uploads: the folder of uploads.
        limits: the size of files that the page states and accepts.

    Raises:
        UserError: the extra ``demo`` is not installed.
    """
    gradio = import_gradio(uploads)
    from fastapi import FastAPI

    with gradio.Blocks(title=_TITLE, analytics_enabled=False) as blocks:
        gradio.Markdown(_ABOUT.format(minutes=uploads.seconds / 60, megabytes=limits.megabytes))
        names = list(analyzer.models)
        model = gradio.Dropdown(
            names, value=names[0], label="Network", filterable=False, visible=len(names) > 1, elem_id="model"
        )
        with gradio.Tab("Photograph"):
            _photograph_tab(gradio, analyzer, model)
        with gradio.Tab("Video"):
            _video_tab(gradio, analyzer, model)
    blocks.queue(api_open=False)
    _limit_queues(blocks)
    theme = gradio.themes.Base(font=_SANS, font_mono=_MONO)
    return gradio.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None), blocks, "/",
        max_file_size=f"{limits.megabytes * 1e6:.0f}b", footer_links=[], run_history=False, show_error=False,
        enable_monitoring=False, ssr_mode=False, mcp_server=False, pwa=False, theme=theme, css_paths=[_STYLE],
    )  # fmt: skip


def _limit_queues(blocks: Any) -> None:
    """Limit the calls that wait, each kind by itself and those of each address; Gradio's own limit is of all."""
    queue = blocks._queue
    push = queue.push

    async def limited(body: Any, request: Any, username: str | None) -> Any:
        function = blocks.fns.get(body.fn_index)
        kind = function.concurrency_id if function else None
        most, of_one = _WAITING.get(kind, _WAITING[_PHOTOGRAPHS])
        waiting = queue.event_queue_per_concurrency_id.get(kind)
        addresses = Counter(_client(event.request) for event in waiting.queue) if waiting else Counter()
        if addresses.total() >= most or addresses[_client(request)] >= of_one:
            return False, "Too many are waiting already. Please try again.", "queue_full"
        return await push(body, request, username)

    queue.push = limited


def _client(request: Any) -> str:
    return request.client.host if request and request.client else ""


def _photograph_tab(gradio: ModuleType, analyzer: Any, model: Any) -> None:
    def analyze(path: str | None, model: str, method: str) -> _Result:
        return _result(lambda: analyzer.photograph(path, model, method), demo.analysis.photograph_html,
                     demo.analysis.photograph_json) if path else (_HERE, {})  # fmt: skip

    with gradio.Row():
        with gradio.Column(scale=1, min_width=300):
            picture = _unopened(gradio.Image(
                label="Photograph: choose, drop, paste, or take one", sources=["upload", "webcam", "clipboard"],
                type="filepath", image_mode=None, height=320, elem_id="photograph",
                webcam_options=gradio.WebcamOptions(mirror=False),
            ))  # fmt: skip
            method = gradio.Dropdown(list(analyzer.methods), label="Heat map", filterable=False, elem_id="method")
        with gradio.Column(scale=2, min_width=300):
            shown = gradio.HTML(_HERE, elem_id="photograph-result")
            with gradio.Accordion("As JSON", open=False):
                values = gradio.JSON(show_label=False)
    gradio.on(
        [picture.change, method.change, model.change], analyze, [picture, model, method], [shown, values],
        api_name="photograph", concurrency_limit=demo.analysis.AT_ONCE, concurrency_id=_PHOTOGRAPHS,
        trigger_mode="always_last",
    )  # fmt: skip


def _video_tab(gradio: ModuleType, analyzer: Any, model: Any) -> None:
    def follow(path: str | None, model: str, every: float, smooth: float, progress=gradio.Progress()) -> _Result:  # noqa: B008
        def tell(count: int) -> None:
            progress((count, None), unit="frames")

        if not path:
            return demo.analysis.message("Choose a video first."), {}
        every, smooth = min(max(int(every), 1), 100), min(max(float(smooth), 0.0), 10.0)
        return _result(lambda: analyzer.video(path, model, every, smooth, tell), demo.analysis.video_html,
                     demo.analysis.video_json)  # fmt: skip

    with gradio.Row():
        with gradio.Column(scale=1, min_width=300):
            video = _unopened(gradio.Video(
                label="Video: choose, drop, or record one", sources=["upload", "webcam"], include_audio=False,
                height=320, elem_id="video", webcam_options=gradio.WebcamOptions(mirror=False),
            ))  # fmt: skip
            every = gradio.Slider(1, 25, 5, step=1, label="Every n-th frame")
            smooth = gradio.Slider(0, 3, 0.5, step=0.1, label="Smoothing over seconds")
            start = gradio.Button("Follow the faces", variant="primary", elem_id="follow")
        with gradio.Column(scale=2, min_width=300):
            shown = gradio.HTML(_HERE, elem_id="video-result")
            with gradio.Accordion("As JSON", open=False):
                values = gradio.JSON(show_label=False)
    # One video at a time, in a queue of its own: photographs need not wait for a long video.
    start.click(
        follow, [video, model, every, smooth], [shown, values], api_name="video", concurrency_limit=1,
        concurrency_id=_VIDEOS,
    )  # fmt: skip


def _unopened(component: Any) -> Any:
    """Make a component pass on the path of the uploaded file without opening it.

    Gradio would open images of any size and format, and call FFmpeg for videos; our readers check first. A subclass
    would do as well, but Gradio writes a file beside the source of each subclass.
    """
    component.preprocess = lambda payload: payload.path if payload else None
    return component


def _result(work: Callable[[], Any], html: Callable[[Any], str], values: Callable[[Any], dict]) -> _Result:
    """Return a result as HTML and as values, or the reason why there is none."""
    try:
        found = work()
    except UserError as error:
        return demo.analysis.message(f"This file cannot be used: {error}", bad=True), {"error": str(error)}
    return html(found), values(found)


# Every open page keeps a connection; more than these are answered with status 503, those of one address are closed.
_CONNECTIONS, _OF_ONE = 1000, 200
# Seconds in which a connection must send a whole request, and go on reading a response.
_IDLE_SECONDS = 15.0


@dataclass(frozen=True)
class Settings:
    """Settings of the server.

    Attributes:
        host: address to listen at.
        port: TCP port; 0 takes a free one.
        models: shipped names or paths of ``.keras`` files; empty for the shipped networks.
        limits: of the requests.
        max_pixels: most pixels of a photograph and of a frame of a video.
        names: names of the server beside ``host``, which browsers may ask for.
        proxy: address or network of a reverse proxy, whose ``X-Forwarded-…`` headers are believed; empty for none.
        idle: seconds in which a connection must send a request, and go on reading its response.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    models: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    max_pixels: int = 25_000_000
    names: tuple[str, ...] = ()
    proxy: str = ""
    idle: float = _IDLE_SECONDS


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve the page until the process ends (Ctrl-C or SIGTERM).

    Args:
        settings: of the server.
        tell: called with a line of text before the networks are loaded, and with the address when the page is ready.

    Raises:
        UserError: the extra ``demo`` is not installed, the port is taken, or a model, a name or a proxy cannot be used.
    """
    check_names(settings)
    models = name_models(settings.models)
    with contextlib.closing(_listen(settings.host, settings.port)) as listener, temporary_uploads() as folder:
        # An error if Gradio is missing should come before the networks, which take longer to load.
        import_gradio(folder)
        import uvicorn

        tell("Loading the networks, which takes some seconds …")
        analyzer = demo.analysis.Analyzer(models, settings.max_pixels)
        analyzer.warm_up()
        config = configure(build(analyzer, folder, settings.limits), folder, settings)
        listener.listen(128)
        tell(f"The page is at {_address(listener)} (Ctrl-C ends it).")
        uvicorn.Server(config).run(sockets=[listener])


def configure(page: Any, folder: Uploads, settings: Settings) -> Any:
    """Return the configuration of uvicorn for a page, with the guard in front of it.

    Args:
        page: from ``build``.
        folder: of the uploads.
        settings: of the server.
    """
    import uvicorn

    # Other computers may ask for this one by its own name.
    own = [socket.gethostname()] if settings.host in ("", "0.0.0.0", "::") else []
    hosts, proxied = (settings.host, *settings.names, *own), bool(settings.proxy)
    app = demo.guard.Guard(page, folder, settings.limits, hosts=hosts, proxied=proxied)
    return uvicorn.Config(
        app, log_level="warning", access_log=False, limit_concurrency=_CONNECTIONS, ws="none", lifespan="on",
        timeout_graceful_shutdown=3, server_header=False, http=timed_protocol(settings.idle, settings.proxy),
        proxy_headers=proxied, forwarded_allow_ips=settings.proxy or None,
    )  # fmt: skip


def timed_protocol(seconds: float, proxy: str = "") -> type:
    """Return uvicorn's protocol of a connection, with what it lacks: time-outs, and a limit for each address.

    Args:
        seconds: after so many without a whole request, or without reading a response, a connection is closed.
        proxy: address or network whose connections are not counted, since they are those of many users.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Timed(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._since, self._unread = self.loop.time(), 0
            address = self.client and self.client[0]
            if sum(c.client and c.client[0] == address for c in self.connections) > _OF_ONE and not _within(
                address, proxy
            ):
                return transport.abort()
            self._watch = self.loop.call_later(seconds, self._end_if_idle)

        def connection_lost(self, error: Exception | None) -> None:
            if hasattr(self, "_watch"):
                self._watch.cancel()
            super().connection_lost(error)

        def on_response_complete(self) -> None:
            self._since = self.loop.time()
            super().on_response_complete()

        def _end_if_idle(self) -> None:
            waiting = self.cycle is None or self.cycle.response_complete
            before, self._unread = self._unread, self.transport.get_write_buffer_size()
            left = self._since + seconds - self.loop.time() if waiting else seconds
            if left <= 0 or before == self._unread > 0:
                return self.transport.abort()
            self._watch = self.loop.call_later(left, self._end_if_idle)

    return Timed


def check_names(settings: Settings) -> None:
    """Raise a ``UserError`` where one of the names is none, or the proxy is no address."""
    try:
        ipaddress.ip_network(settings.proxy or "127.0.0.1", strict=False)
    except ValueError:
        raise UserError(f"--proxy {settings.proxy!r} is not an address. Expected 127.0.0.1 or 10.0.0.0/8.") from None
    for name in settings.names:
        if not name or urlsplit(f"//{name}").netloc != name or set(name) & set(":@* []"):
            raise UserError(f"--name {name!r} is not a name. Expected one such as faces.example.org.")


def _within(address: str | None, network: str) -> bool:
    return bool(address and network) and ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)


def name_models(models: tuple[str, ...]) -> dict[str, Path | str]:
    """Return the names of the models on the page, with their files.

    Raises:
        UserError: a model that does not exist.
    """
    found: dict[Path, str] = {}
    for model in models or ("default", "fer2013"):
        path = weights_path(model).resolve()
        found.setdefault(path, model if model in shipped_names() else Path(model).stem)
    names: dict[str, Path | str] = {}
    for path, name in found.items():
        names[name if name not in names else f"{name} ({path.parent.name})"] = path
    return names


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, before the networks are loaded."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(f"No host {host!r} ({error.strerror}).") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UserError(f"Cannot listen at {host} port {port} ({error.strerror}). Choose another --port.") from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
