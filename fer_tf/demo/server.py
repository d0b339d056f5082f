"""From options to a running server that leaves nothing behind."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fer_tf.demo import page
from fer_tf.demo.guard import Guard, Limits
from fer_tf.demo.temporary import uploads
from fer_tf.errors import UserError
from fer_tf.models import shipped_names, weights_path

# Open pages keep a connection each; more than this get 503.
CONNECTIONS = 1000


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        models: shipped names or paths of ``.keras`` files; none for all shipped networks.
        limits: of requests.
        max_pixels: of a photograph and of a video's frame.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    models: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    max_pixels: int = 25_000_000


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Serve the page until the process is asked to end (Ctrl-C or SIGTERM).

    Args:
        settings: how.
        tell: called with a line when the networks are loaded, and one with the page's address when it answers.

    Raises:
        UserError: the extra ``demo`` is not installed, the port is taken, or a model cannot be used.
    """
    models = named(settings.models)
    with contextlib.closing(_listening(settings.host, settings.port)) as listener, uploads() as folder:
        # Before the networks, which take longer to load.
        page.import_gradio(folder)
        import uvicorn

        tell("Loading the networks, which takes some seconds …")
        from fer_tf.demo.analysis import Workshop

        workshop = Workshop(models, settings.max_pixels)
        workshop.warm_up()
        app = Guard(page.build(workshop, folder, settings.limits), folder, settings.limits)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, limit_concurrency=CONNECTIONS, ws="none", lifespan="on",
            timeout_graceful_shutdown=3, server_header=False,
        )  # fmt: skip
        listener.listen(128)
        tell(f"The page is at {_address(listener)} (Ctrl-C ends it).")
        uvicorn.Server(config).run(sockets=[listener])


def named(models: tuple[str, ...]) -> dict[str, Path | str]:
    """Return what models are called on the page.

    Raises:
        UserError: there is none of this name.
    """
    found: dict[Path, str] = {}
    for model in models or ("default", "fer2013"):
        path = weights_path(model).resolve()
        found.setdefault(path, model if model in shipped_names() else Path(model).stem)
    names: dict[str, Path | str] = {}
    for path, name in found.items():
        names[name if name not in names else f"{name} ({path.parent.name})"] = path
    return names


def _listening(host: str, port: int) -> socket.socket:
    """Take the port before anything else is begun."""
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
