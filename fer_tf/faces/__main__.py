"""``python -m fer_tf.faces COMMAND``: faces out of photographs, their landmarks, and masks drawn on them."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from fer_tf.errors import exit_on_user_error

# Each has a module fer_tf.faces.<name>_command with add_arguments(parser) and run(options).
COMMANDS = {
    "crop": "find the faces of photographs and videos, turn them upright, and cut them out",
    "landmarks": "find 68 points in each face and write them as a CSV",
    "mask": "draw face masks on faces, or cut faces below the eyes",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process."""
    # On some processors oneDNN is off by default, and detection takes twice as long; it can be set this early only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(arguments[:1]).parse_args(arguments)
    exit_on_user_error(options.run, options)


def _parser(wanted: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser; only the wanted command's module is imported."""
    parser = argparse.ArgumentParser(prog="python -m fer_tf.faces", description=__doc__.split(": ", 1)[1].capitalize())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in wanted:
            command = importlib.import_module(f"fer_tf.faces.{name}_command")
            command.add_arguments(sub)
            sub.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    main()
