"""Serve the page, and delete all uploads at the end."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fer_tf import demo
from fer_tf.demo import page
from fer_tf.demo.uploads import Limits, temporary_uploads
from fer_tf.errors import UserError
from fer_tf.models import shipped_names, weights_path

# Every open page keeps a connection; more than these are answered with status 503.
_CONNECTIONS = 1000


@dataclass(frozen=True)
class Settings:
    """Settings of the server.

    Attributes:
        host: address to listen at.
        port: TCP port; 0 takes a free one.
        models: shipped names or paths of ``.keras`` files; empty for the shipped networks.
        limits: of the requests.
        max_pixels: most pixels of a photograph and of a frame of a video.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    models: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    max_pixels: int = 25_000_000


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve the page until the process ends (Ctrl-C or SIGTERM).

    Args:
        settings: of the server.
        tell: called with a line of text before the networks are loaded, and with the address when the page is ready.

    Raises:
        UserError: the extra ``demo`` is not installed, the port is taken, or a model cannot be used.
    """
    models = name_models(settings.models)
    with contextlib.closing(_listen(settings.host, settings.port)) as listener, temporary_uploads() as folder:
        # An error if Gradio is missing should come before the networks, which take longer to load.
        page.import_gradio(folder)
        import uvicorn

        tell("Loading the networks, which takes some seconds …")
        analyzer = demo.analysis.Analyzer(models, settings.max_pixels)
        analyzer.warm_up()
        app = demo.guard.Guard(page.build(analyzer, folder, settings.limits), folder, settings.limits)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, limit_concurrency=_CONNECTIONS, ws="none", lifespan="on",
            timeout_graceful_shutdown=3, server_header=False,
        )  # fmt: skip
        listener.listen(128)
        tell(f"The page is at {_address(listener)} (Ctrl-C ends it).")
        uvicorn.Server(config).run(sockets=[listener])


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
