"""``python -m fer_tf.gradcam img.jpg``: where a network looks when it names the expression of a face."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.explain import METHODS, files
from fer_tf.progress import bar

if TYPE_CHECKING:
    from fer_tf.explain.pictures import FaceView, Outcome

DESCRIPTION = """Draw where a network finds what speaks for an expression.

img.jpg gets img_gradcam.png beside it: the photograph with the face's box, the heat map over the aligned face, and the
probabilities of all classes as bars. The map explains the most probable class, or the one that --class names. Other
methods end the name: img_layercam.png. Pictures without a face get a line. Damaged, empty and mislabelled files are
skipped, with a line each, and nothing else is lost."""

EXAMPLES = """examples:
  python -m fer_tf.gradcam img.jpg
  python -m fer_tf.gradcam img.jpg --faces all --method gradcam++
  python -m fer_tf.gradcam img.jpg --class happy --out figures
  python -m fer_tf.gradcam photographs --out figures --model runs/zoo/winner.keras
  python -m fer_tf.gradcam faces --no-crop --montage

exit codes: 0 done, also where there is no face; 1 something was skipped and --strict is given; 2 a mistake in the
command, or nothing that can be read; 130 interrupted"""

TOP = 3


def parser() -> argparse.ArgumentParser:
    """Make the argument parser."""
    p = argparse.ArgumentParser(prog="python -m fer_tf.gradcam", description=DESCRIPTION, epilog=EXAMPLES,
                                formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    p.add_argument("paths", nargs="+", metavar="PATH", help="a picture, or a folder tree of pictures")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures (default: beside the pictures)")
    p.add_argument("--montage", action="store_true", help="one grid of all faces in place of a figure a picture")
    p.add_argument("--strict", action="store_true", help="exit with 1 when anything was skipped")
    what = p.add_argument_group("what is explained").add_argument
    what("--model", default="default", help="a shipped network or the path of a .keras file (default: the shipped one)")
    what("--method", default="gradcam", metavar="NAME", help=f"{', '.join(METHODS)} (default %(default)s)")
    what("--class", dest="explained", metavar="NAME", help="explain this class (default: the most probable one)")
    what("--layer", metavar="NAME", help="weigh this layer's output (default: the one the network's file names)")
    face = p.add_argument_group("faces").add_argument
    face("--faces", default="largest", metavar="WHICH",
         help="of a photograph: largest, all or central (default %(default)s)")  # fmt: skip
    face("--crop", action=argparse.BooleanOptionalAction, default=True,
         help="find faces; else each picture is a face, framed as FER2013 frames them")  # fmt: skip
    face("--detector", default="retinaface", metavar="NAME",
         help="retinaface or hog, or a call string (default %(default)s)")  # fmt: skip
    return p


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    _, skipped = METHODS[options.method], {}
    sources = files.find(options.paths, options.method, skipped.__setitem__, options.out)
    for name, reason in skipped.items():
        print(f"{name}: skipped: {reason}", file=sys.stderr)
    # TensorFlow takes seconds to load: what is wrong with the paths is said before.
    from fer_tf.explain.pictures import PictureExplainer

    detector = options.detector if options.crop else None
    explainer = PictureExplainer(
        options.model, options.method, options.explained, options.layer, options.faces, detector
    )
    title = explainer.explainer.title
    written, views, read = [], [], 0
    with bar(len(sources), "Explaining", "image") as ticks:
        for outcome in explainer.explain_files(sources):
            ticks.update()
            if outcome.photograph is None:
                skipped[str(outcome.source.path)] = outcome.reason
                ticks.write(f"{outcome.source.path}: skipped: {outcome.reason}", file=sys.stderr)
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
        print(f"wrote {path}")
    return 1 if options.strict and skipped else 0


def _write(outcome: "Outcome", classes: Sequence[str], title: str) -> Path:
    from fer_tf.reports import explanations

    source = outcome.source
    figure = explanations.explanation(outcome.photograph, outcome.faces, classes, title, source.path.name)
    files.save(figure, source.figure)
    return source.figure


def _write_montage(
    views: "Sequence[FaceView]", classes: Sequence[str], title: str, options: argparse.Namespace
) -> list[Path]:
    from fer_tf.reports import explanations

    starts = range(0, len(views), explanations.PAGE)
    paths = [files.montage_path(options.paths, options.method, options.out, page) for page in range(1, len(starts) + 1)]
    for path, start in zip(paths, starts, strict=True):
        files.save(explanations.montage(views[start : start + explanations.PAGE], classes, title), path)
    return paths


def _lines(outcome: "Outcome", classes: Sequence[str]) -> list[str]:
    """Return what is printed of a picture: each face's most probable classes, or why there is none."""
    name = outcome.source.path
    if outcome.reason:
        return [f"{name}: {outcome.reason}"]
    lines = []
    for number, face in enumerate(outcome.faces, 1):
        best = face.probabilities.argsort()[::-1][:TOP]
        which = f", face {number}" if len(outcome.faces) > 1 else ""
        lines.append(f"{name}{which}: " + ", ".join(f"{classes[i]} {face.probabilities[i]:.1%}" for i in best))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process."""
    # On some processors oneDNN is off by default, and detection takes twice as long; it can be set this early only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    exit_on_user_error(run, parser().parse_args(arguments))


if __name__ == "__main__":
    main()
