"""Implement ``fer-tf gradcam``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_tf import explain, reports
from fer_tf.errors import UserError, printable
from fer_tf.explain import METHODS
from fer_tf.inference import sources
from fer_tf.inference.output import DOUBTFUL
from fer_tf.progress import bar

DESCRIPTION = """Draw heat maps of where a network looks when it recognizes an expression.

For img.jpg, img_gradcam.png appears beside it: the photograph with the box of the face, the heat map over the aligned
face, and the probabilities of all classes. The map explains the most probable class, or the class of --class. Images
without a face and files that cannot be read are listed and skipped."""

EXAMPLES = """examples:
  fer-tf gradcam img.jpg
  fer-tf gradcam img.jpg --faces all --method gradcam++
  fer-tf gradcam img.jpg --class happy --out figures
  fer-tf gradcam photographs --out figures --model runs/zoo/winner.keras
  fer-tf gradcam faces --no-crop --montage

exit codes: 0 done, also if there is no face; 1 something was skipped and --strict is given; 2 a mistake in the command,
or nothing can be read; 130 interrupted"""

TOP = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="an image, or a folder of images")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures (default: beside the images)")
    parser.add_argument(
        "--montage", action="store_true", help="draw one grid of all faces instead of one figure for each image"
    )
    parser.add_argument("--strict", action="store_true", help="exit with code 1 if anything was skipped")
    what = parser.add_argument_group("what is explained").add_argument
    what("--model", default="default", help="name of a shipped model, or a .keras file (default %(default)s)")
    what("--method", default="gradcam", metavar="NAME", help=f"{', '.join(METHODS)} (default %(default)s)")
    what("--class", dest="explained", metavar="NAME", help="explain this class (default: the most probable one)")
    what(
        "--layer", metavar="NAME", help="layer whose output is explained (default: the layer that the model file names)"
    )
    face = parser.add_argument_group("faces").add_argument
    face("--faces", default="largest", metavar="WHICH",
         help="faces to explain in each image: largest, all or central (default %(default)s)")  # fmt: skip
    face("--crop", action=argparse.BooleanOptionalAction, default=True,
         help="find faces; --no-crop: each image is one face, cropped as in FER2013")  # fmt: skip
    face("--detector", default="retinaface", metavar="NAME",
         help="retinaface or hog, or a call string (default %(default)s)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    _, skipped = METHODS[options.method], {}
    found = sources.find_pictures(options.paths, options.method, skipped.__setitem__, options.out)
    for name, reason in skipped.items():
        print(f"{printable(name)}: skipped: {printable(reason)}", file=sys.stderr)
    # TensorFlow takes seconds to load, so mistakes in the paths are reported first.
    detector = options.detector if options.crop else None
    explainer = explain.pictures.PictureExplainer(
        options.model, options.method, options.explained, options.layer, options.faces, detector
    )
    title = explainer.explainer.title
    written, views, read = [], [], 0
    with bar(len(found), "Explaining", "image") as ticks:
        for outcome in explainer.explain_files(found):
            ticks.update()
            if outcome.photograph is None:
                skipped[str(outcome.source.path)] = outcome.reason
                ticks.write(f"{printable(outcome.source.path)}: skipped: {printable(outcome.reason)}", file=sys.stderr)
                continue
            read += 1
            for line in _lines(outcome, explainer.classes):
                # Beside a bar that is not seen, what makes room for the lines would be noise in a log.
                ticks.write(line, file=sys.stdout) if sys.stderr.isatty() else print(line)
            if options.montage:
                views += outcome.faces
            elif outcome.faces:
                written.append(_write(outcome, explainer.classes, title))
    if not read:
        name, reason = next(iter(skipped.items()))
        raise UserError(f"Nothing could be read. {name}: {reason}")
    written += _write_montage(views, explainer.classes, title, options)
    # A folder's thousand figures need no line each.
    shown = written if len(written) <= 8 else [f"{len(written):,} figures, {written[0]} to {written[-1]}"]
    for path in shown:
        print(f"wrote {printable(path)}")
    return 1 if options.strict and skipped else 0


def _write(outcome: "explain.pictures.Outcome", classes: Sequence[str], title: str) -> Path:
    source = outcome.source
    figure = reports.explanations.explanation(outcome.photograph, outcome.faces, classes, title, source.path.name)
    sources.save_figure(figure, source.figure)
    return source.figure


def _write_montage(
    views: "Sequence[explain.pictures.FaceView]", classes: Sequence[str], title: str, options: argparse.Namespace
) -> list[Path]:
    starts = range(0, len(views), reports.explanations.PAGE)
    paths = [
        sources.montage_path(options.paths, options.method, options.out, page) for page in range(1, len(starts) + 1)
    ]
    for path, start in zip(paths, starts, strict=True):
        sources.save_figure(
            reports.explanations.montage(views[start : start + reports.explanations.PAGE], classes, title), path
        )
    return paths


def _lines(outcome: "explain.pictures.Outcome", classes: Sequence[str]) -> list[str]:
    """Return what is printed of a picture: each face's most probable classes, or why there is none."""
    name = printable(outcome.source.path)
    if outcome.reason:
        return [f"{name}: {outcome.reason}"]
    lines = []
    for number, face in enumerate(outcome.faces, 1):
        best = face.probabilities.argsort()[::-1][:TOP]
        which = f", face {number}" if len(outcome.faces) > 1 else ""
        shares = ", ".join(f"{classes[i]} {face.probabilities[i]:.1%}" for i in best)
        lines.append(f"{name}{which}: {shares}{DOUBTFUL if face.doubtful else ''}")
    return lines + [f"{name}: {outcome.note}"] * bool(outcome.note)
