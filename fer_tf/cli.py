"""Run ``fer-tf COMMAND``, also available as ``python -m fer_tf COMMAND``."""

import argparse
import faulthandler
import importlib
import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable, Sequence

import fer_tf
from fer_tf.errors import exit_on_user_error

# A command's module, ``fer_tf.commands.<name>``, is imported only when the command is run.
COMMANDS = {
    "predict": "find faces in photographs and videos and recognize their expressions",
    "gradcam": "draw heat maps of where a network looks",
    "crop": "find, align and crop the faces of photographs and videos",
    "landmarks": "find 68 landmarks in each face and write them as a CSV",
    "mask": "draw masks on faces, or cut faces off below the eyes",
    "shards": "write millions of photographs as TFRecord shards",
    "train": "train a network on a dataset and score it",
    "compare": "compare finished runs: which differences are more than chance?",
    "stabilize": "copy a network so that small shifts of a face change its predictions less",
    "robustness": "measure errors on corrupted and shifted faces",
    "models": "list the networks with their parameters and MACs",
    "export": "export a network for TensorFlow Serving, LiteRT or ONNX",
    "client": "send images to a TensorFlow Serving server",
    "demo": "serve a web page for photographs and videos",
    "privacy": "audit a network: do its predictions reveal its training faces?",
}


# What Abseil writes before all, and its lines of information: "I0000 00:00:1795996145.591785   12930 port.cc:153] …".
_LOG_LINE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I\d{4} [\d:.]+ +\d+ \S+\]")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process.

    Args:
        arguments: The command and its arguments; ``None`` means those of the process.

    Exit codes: 0 done, 1 something failed (the command's help says what), 2 a mistake of the user, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    prepare_environment(training=arguments[:1] in (["train"], ["privacy"]))
    parser = make_parser(arguments[:1])
    if not arguments:
        parser.error("a command is missing. Run fer-tf --help for the list.")
    options = parser.parse_args(arguments)
    exit_on_user_error(options.run, options)


def shim(command: str, arguments: Sequence[str] | None = None) -> None:
    """Run ``command`` with the arguments of ``python -m fer_tf.<command>``."""
    main([command, *(sys.argv[1:] if arguments is None else arguments)])


def prepare_environment(training: bool = False) -> None:
    """Set what must be set before TensorFlow is imported, and make any file name printable.

    Args:
        training: Whether the command trains. On processors where oneDNN is off by default (AMD without AVX-512), it
            doubles the speed of detection, but training with it crashes (TensorFlow 2.21).
    """
    if not training:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # No log lines about a missing graphics card; who wants them sets 0.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0" and not _Quiet.installed():
        sys.meta_path.insert(0, _Quiet())
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


class _Quiet(importlib.abc.MetaPathFinder):
    """Keep TensorFlow's log lines off stderr while it is imported: some come whatever the log level is.

    What else is written meanwhile appears after the import, warnings and errors included.
    """

    def find_spec(self, name, path, target=None):
        """Return TensorFlow's spec with a loader that is quiet; of other modules nothing."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _without_log_lines(load, module)
        return spec

    @classmethod
    def installed(cls) -> bool:
        """Return whether there is one, or TensorFlow is imported already."""
        return "tensorflow" in sys.modules or any(isinstance(finder, cls) for finder in sys.meta_path)


def _without_log_lines(load: Callable[[types.ModuleType], None], module: types.ModuleType) -> None:
    """Load a module; write what it wrote to stderr afterwards, but for lines of information."""
    try:
        stderr = os.dup(2)
    except OSError:  # There is none.
        return load(module)
    crashes = not faulthandler.is_enabled()
    with tempfile.TemporaryFile() as written, open(stderr, "wb", buffering=0) as shown:  # noqa: PTH123
        os.dup2(written.fileno(), 2)
        if crashes:
            faulthandler.enable(stderr)
        try:
            load(module)
        finally:
            if crashes:
                faulthandler.disable()
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(stderr, 2)
            written.seek(0)
            shown.write(b"".join(line for line in written if not _LOG_LINE.match(line)))


def make_parser(wanted: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Create the parser of ``fer-tf``.

    Args:
        wanted: Names of the commands whose arguments are added; only their modules are imported.
    """
    parser = argparse.ArgumentParser(
        prog="fer-tf",
        description="Recognize facial expressions, train and explain models, and serve them.",
        epilog="Run fer-tf COMMAND --help for the options and examples of a command.",
    )
    parser.add_argument("--version", action="version", version=f"fer-tf {fer_tf.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, summary in COMMANDS.items():
        if name not in wanted:
            commands.add_parser(name, help=summary)
            continue
        command = importlib.import_module(f"fer_tf.commands.{name}")
        sub = commands.add_parser(
            name, help=summary, description=command.DESCRIPTION, epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser
