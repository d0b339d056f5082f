"""``python -m fer_tf.demo``: a web page for photographs and videos, on this computer and without the internet."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from fer_tf.errors import UserError, exit_on_user_error

DESCRIPTION = """Serve a web page: choose, paste or take a photograph, and see its faces, the probabilities of their
expressions, and where the network looks; a video gives a timeline. Nothing comes from or goes to the internet. Uploads
lie in a temporary folder, each for ten minutes at most, and are gone when the server ends. Needs the extra demo."""

EXAMPLES = """examples:
  python -m fer_tf.demo
  python -m fer_tf.demo --port 8080 --model runs/zoo/winner.keras
  python -m fer_tf.demo --model default --model mine.keras
  python -m fer_tf.demo --host 0.0.0.0 --max-mb 10 --max-pixels 12000000

Only this computer reaches the page unless --host says otherwise. Browsers give a webcam to pages of this computer and
to those that come by https, which a reverse proxy in front of this server adds."""

RANGES = {"port": (0, 65_535), "max_mb": (0.1, 1000), "max_pixels": (1, 64_000_000), "rate": (2, 1e6)}


def parser() -> argparse.ArgumentParser:
    """Make the argument parser."""
    p = argparse.ArgumentParser(prog="python -m fer_tf.demo", description=DESCRIPTION, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    p.add_argument("--host", default="127.0.0.1", help="address to listen at (default %(default)s: this computer only)")
    p.add_argument("--port", type=int, default=7860, help="port (default %(default)s; 0 takes a free one)")
    p.add_argument("--model", action="append", default=[], metavar="NAME",
                   help="a shipped network or the path of a .keras file; several to choose from (default: the shipped "
                   "ones)")  # fmt: skip
    p.add_argument("--max-mb", type=float, default=25.0, metavar="MB", help="of a file (default %(default)s)")
    p.add_argument("--max-pixels", type=int, default=25_000_000, metavar="N",
                   help="of a photograph and a video's frame (default %(default)s)")  # fmt: skip
    p.add_argument("--rate", type=int, default=240, metavar="N",
                   help="requests a minute and address; a photograph takes two (default %(default)s)")  # fmt: skip
    return p


def run(options: argparse.Namespace) -> None:
    """Do what the arguments say."""
    for name, low, high in (
        ("port", 0, 65_535),
        ("max_mb", 0.1, 1000),
        ("max_pixels", 1, 64_000_000),
        ("rate", 2, 1e6),
    ):
        if not low <= getattr(options, name) <= high:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} {getattr(options, name)} is out of range. Expected {low:g} to {high:,.0f}.")
    from fer_tf.demo.guard import Limits
    from fer_tf.demo.server import Settings, serve

    # Ends as after Ctrl-C, so that the uploads' folder goes as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    limits = Limits(options.max_mb, options.rate)
    settings = Settings(options.host, options.port, tuple(options.model), limits, options.max_pixels)
    serve(settings, lambda line: print(line, flush=True))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process."""
    # On some processors oneDNN is off by default, and detection takes twice as long; it can be set this early only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    exit_on_user_error(run, parser().parse_args(arguments))


if __name__ == "__main__":
    main()
