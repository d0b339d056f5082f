"""Implement ``fer-tf export``."""

import argparse
from pathlib import Path

from fer_tf import inference, serving
from fer_tf.commands import add_prior, read_prior
from fer_tf.errors import UserError, printable

DESCRIPTION = """Export a trained network for a server or a device.

saved_models/NAME/<version>/ is a SavedModel for TensorFlow Serving with three signatures: serving_default (image files
of faces), predict_faces (pixels of faces) and analyze (image files of photographs; the server detects the faces). The
export is run as TensorFlow Serving runs it and compared with Keras before the version is moved into place.
saved_models/ also gets models.config, batching.config and SERVING.md, which explains how to start the server."""

EXAMPLES = """examples:
  fer-tf export default saved_models/faces
  fer-tf export runs/small_resnet/winner.keras saved_models/faces --version 7
  fer-tf export default saved_models/faces --detector "retinaface(threshold=0.7, size=1024)" --max-faces 64
  fer-tf export default --tflite faces.tflite --onnx faces.onnx

Warm-up requests need the extra serving, ONNX the extra export: pip install 'fer-tf[serving,export]'

exit codes: 0 done, 1 the files could not be written, 2 a mistake in the command, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="name of a shipped model, or a .keras file")
    parser.add_argument("dst", metavar="DST", nargs="?", type=Path, help="folder of the model: saved_models/NAME")
    parser.add_argument(
        "--flip", action="store_true", help="average over the face and its mirror image: twice the time"
    )
    add_prior(parser)
    server = parser.add_argument_group("server").add_argument
    server("--version", type=int, metavar="N", help="number of the version (default: the next)")
    server(
        "--detector",
        default="retinaface",
        metavar="NAME",
        help='retinaface, or a call string such as "retinaface(size=1024)"',
    )
    server("--max-faces", type=int, metavar="N", help="largest number of faces in a photograph (default 16)")
    server(
        "--max-pixels",
        type=int,
        metavar="N",
        help="largest image; larger ones are marked as invalid (default 50000000)",
    )
    device = parser.add_argument_group("devices").add_argument
    device("--tflite", type=Path, metavar="FILE", help="also write a LiteRT file")
    device("--int8", action="store_true", help="8-bit LiteRT, calibrated on synthetic faces: a quarter of the size")
    device("--onnx", type=Path, metavar="FILE", help="also write an ONNX file")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    if not (options.dst or options.tflite or options.onnx):
        raise UserError("Nothing to write. Give DST, such as saved_models/faces, --tflite FILE or --onnx FILE.")
    if options.int8 and not options.tflite:
        raise UserError("--int8 is for LiteRT. Give --tflite FILE as well.")
    if options.version is not None and not options.dst:
        raise UserError("--version is for a server. Give DST as well, such as saved_models/faces.")

    classifier = inference.ExpressionClassifier(
        options.model, options.flip, prior=read_prior(options.prior), strength=options.strength
    )
    written = [*_server_files(options, classifier), *_device_files(options, classifier)]
    print("\n".join(f"wrote {printable(path)}" for path in written))


def _server_files(options: argparse.Namespace, classifier) -> list[Path]:
    if not options.dst:
        return []
    given = {"detector": options.detector, "max_faces": options.max_faces, "max_pixels": options.max_pixels}
    given = {key: value for key, value in given.items() if value is not None}
    version = serving.savedmodel.export(classifier, options.dst, options.version, **given)
    if not serving.has_serving_apis():
        print("no warm-up requests: they need pip install 'fer-tf[serving]'")
    return [version, *(options.dst.parent / name for name in serving.savedmodel.FILES)]


def _device_files(options: argparse.Namespace, classifier) -> list[Path]:
    written = []
    if options.tflite:
        written.append(serving.devices.write_litert(classifier, options.tflite, options.int8))
    if options.onnx:
        written.append(serving.devices.write_onnx(classifier, options.onnx))
    return written
