"""Implement ``fer-tf client``."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fer_tf import serving
from fer_tf.errors import UserError, printable

DESCRIPTION = """Send images to a server that runs an exported model, and print the results.

The server reads JPEG and PNG files, which are sent as they are. REST needs no TensorFlow on this machine; gRPC needs
the extra serving: pip install 'fer-tf[serving]'. SERVING.md beside the exports explains how to start a server."""

EXAMPLES = """examples:
  fer-tf client localhost photograph.jpg                      REST, port 8501
  fer-tf client localhost:8500 --grpc *.jpg                   gRPC
  fer-tf client https://faces.example.org a.jpg b.png --model faces --json
  fer-tf client localhost --no-crop face.png                  each picture is a face

exit codes: 0 done, also if an image has no face; 1 the server could not read an image; 2 a mistake in the command, or
no server"""

_UNREADABLE = "the server cannot read this image. Expected a JPEG or PNG file within its limits."
# Photographs of one request: small enough for a server's memory and time limit.
BATCH = 8


def ask(server, files: Sequence[Path], crop: bool = True) -> Iterator[dict[str, Any]]:
    """Send image files to a server and yield the results.

    Args:
        server: A ``RestClient`` or ``GrpcClient``.
        files: Paths of the images.
        crop: Find faces in the images; ``False`` means that each image is one face, cropped as in FER2013.

    Yields:
        A dict for each file, in order: its path as ``source`` and the converted response.

    Raises:
        UserError: A file cannot be read, the server does not respond, or it reports an error.
    """
    # The module with the names of the signatures needs TensorFlow, so they are written here.
    signature, convert = ("analyze", serving.convert_photograph) if crop else ("serving_default", serving.convert_face)
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        for file, row in zip(batch, server.predict(signature, [_content(f) for f in batch]), strict=True):
            try:
                answer = convert(row)
            except ValueError as error:
                raise UserError(f"{server.model} at {server.address} is not a model of fer_tf: it {error}.") from None
            yield {"source": str(file), **answer}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("host", metavar="HOST", help="name or name:port of the server; for REST also https://name")
    parser.add_argument("files", metavar="IMG", nargs="+", type=Path, help="image files")
    parser.add_argument(
        "--model", default="faces", metavar="NAME", help="name of the exported folder (default %(default)s)"
    )
    parser.add_argument("--version", type=int, metavar="N", help="version of the model (default: the newest)")
    parser.add_argument("--grpc", action="store_true", help="use gRPC instead of REST")
    parser.add_argument("--no-crop", dest="crop", action="store_false", help="each image is one cropped face")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each image")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help="timeout of a request with its response in seconds (default %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    for file in options.files:
        if not file.is_file():
            raise UserError(f"{file}: no such image file.")
    make = serving.GrpcClient if options.grpc else serving.RestClient
    server = make(options.host, options.model, options.version, options.timeout)
    code = 0
    for answer in ask(server, options.files, options.crop):
        print(json.dumps(answer, ensure_ascii=False) if options.json else "\n".join(map(printable, _lines(answer))))
        if not answer["valid"]:
            print(f"{printable(answer['source'])}: {_UNREADABLE}", file=sys.stderr)
            code = 1
    return code


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    if not answer["faces"]:
        yield f"{answer['source']}: {'no face' if answer['valid'] else 'unreadable'}"
    for face in answer["faces"]:
        best = sorted(face["distribution"].items(), key=lambda pair: -pair[1])[:3]
        at = f" at {', '.join(f'{v:.0f}' for v in face['box'])}" if "box" in face else ""
        yield f"{answer['source']}{at}: " + ", ".join(f"{name} {share:.1%}" for name, share in best)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}.") from None
