"""Implement ``fer-tf demo``."""

import argparse
import signal
import sys

from fer_tf.demo.guard import Limits
from fer_tf.demo.server import Settings, serve
from fer_tf.errors import UserError

DESCRIPTION = """Serve a web page that shows faces, expressions and heat maps of photographs, and timelines of videos.

The page needs no internet. Uploads stay in a temporary folder for ten minutes at most and are deleted when the server
ends. Needs the extra demo: pip install 'fer-tf[demo]'"""

EXAMPLES = """examples:
  fer-tf demo
  fer-tf demo --port 8080 --model runs/zoo/winner.keras
  fer-tf demo --model default --model mine.keras
  fer-tf demo --host 0.0.0.0 --max-mb 10 --max-pixels 12000000
  fer-tf demo --name faces.example.org --proxy 127.0.0.1        behind a reverse proxy on this computer

Without --host, only this computer can open the page. Requests for names other than those of this computer, of --host
and of --name are refused: the page of another site could read the answers otherwise (DNS rebinding). Browsers allow a
webcam only for pages of this computer and for https, which needs a reverse proxy in front of this server."""

_RANGES = {"port": (0, 65_535), "max_mb": (0.1, 1000), "max_pixels": (1, 64_000_000), "rate": (2, 1e6)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default %(default)s: this computer only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="port (default %(default)s; 0 takes a free one)")
    parser.add_argument("--model", action="append", default=[], metavar="NAME",
                   help="a shipped network or the path of a .keras file; several to choose from (default: the shipped "
                   "ones)")  # fmt: skip
    parser.add_argument("--max-mb", type=float, default=25.0, metavar="MB", help="largest upload (default %(default)s)")
    parser.add_argument("--max-pixels", type=int, default=25_000_000, metavar="N",
                   help="largest photograph or video frame (default %(default)s)")  # fmt: skip
    parser.add_argument("--rate", type=int, default=240, metavar="N",
                   help="requests per minute and address; a photograph takes two (default %(default)s)")  # fmt: skip
    parser.add_argument("--name", action="append", default=[], metavar="NAME",
                   help="a further name under which browsers may open the page")  # fmt: skip
    parser.add_argument("--proxy", default="", metavar="ADDRESS",
                   help="address or network of a reverse proxy, whose X-Forwarded-For is believed")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    for name, (low, high) in _RANGES.items():
        if not low <= getattr(options, name) <= high:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} {getattr(options, name)} is out of range. Expected {low:g} to {high:,.0f}.")
    # End as after Ctrl-C, so that the uploads are deleted too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    limits = Limits(options.max_mb, options.rate)
    settings = Settings(
        options.host, options.port, tuple(options.model), limits, options.max_pixels, tuple(options.name), options.proxy
    )
    serve(settings, lambda line: print(line, flush=True))
