"""Ask a server that runs an export: `python -m fer_tf.client HOST img.jpg`.

Examples:
  python -m fer_tf.client localhost photograph.jpg                      REST, port 8501
  python -m fer_tf.client localhost:8500 --grpc *.jpg                   gRPC
  python -m fer_tf.client https://faces.example.org a.jpg b.png --model faces --json
  python -m fer_tf.client localhost --no-crop face.png                  each picture is a face

REST needs no TensorFlow on this machine, gRPC needs the extra serving: pip install 'fer-tf[serving]'. Pictures are sent
as they are: JPEG (turned upright in the server by its EXIF orientation), PNG, GIF, BMP, WebP. How to start a server
stands in SERVING.md beside the exports.

exit codes: 0 done, also where a picture has no face; 1 the server could not read a picture; 2 a mistake in the command,
or no server
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fer_tf.errors import UserError, exit_on_user_error

# Photographs of one request: small enough for a server's memory and time limit.
BATCH = 8


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, print, and end the process."""
    options = _parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    exit_on_user_error(_run, options)


def ask(server, files: Sequence[Path], crop: bool = True) -> Iterator[dict[str, Any]]:
    """Send picture files and yield the answers.

    Args:
        server: a ``RestServer`` or ``GrpcServer``.
        files: the pictures.
        crop: find faces in them; else each is one face, framed as FER2013 frames them.

    Yields:
        A dict a file, in order: ``source``, its path, and what ``fer_tf.serving.answers`` makes of the answer.

    Raises:
        UserError: a file cannot be read, no answer, or an error of the server.
    """
    from fer_tf.serving import answers

    # The signatures' names are spelled out, since their own module needs TensorFlow.
    signature, of = ("analyze", answers.of_photograph) if crop else ("serving_default", answers.of_face)
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        for file, row in zip(batch, server.predict(signature, [_content(f) for f in batch]), strict=True):
            try:
                answer = of(row)
            except ValueError as error:
                raise UserError(f"{server.model} at {server.address} is no model of fer_tf: it {error}.") from None
            yield {"source": str(file), **answer}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    p = argparse.ArgumentParser(
        prog="python -m fer_tf.client", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("host", metavar="HOST", help="name, name:port, or, for REST, https://name")
    p.add_argument("files", metavar="IMG", nargs="+", type=Path, help="picture files")
    p.add_argument("--model", default="faces", metavar="NAME", help="that of the exported folder (default %(default)s)")
    p.add_argument("--version", type=int, metavar="N", help="of the model (default: the newest)")
    p.add_argument("--grpc", action="store_true", help="gRPC instead of REST")
    p.add_argument("--no-crop", dest="crop", action="store_false", help="each picture is a face already")
    p.add_argument("--json", action="store_true", help="one line of JSON a picture instead of a table")
    p.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for a request (default %(default)s)")
    return p.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    if options.grpc:
        from fer_tf.serving.grpcserver import GrpcServer as Server
    else:
        from fer_tf.serving.rest import RestServer as Server
    for file in options.files:
        if not file.is_file():
            raise UserError(f"{file}: no such picture file.")
    server = Server(options.host, options.model, options.version, options.timeout)
    code = 0
    for answer in ask(server, options.files, options.crop):
        print(json.dumps(answer, ensure_ascii=False) if options.json else "\n".join(_lines(answer)))
        if not answer["valid"]:
            print(f"{answer['source']}: the server cannot read this picture", file=sys.stderr)
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


if __name__ == "__main__":
    main()
