"""``python -m fer_tf.predict PATH…``: faces and their expressions in photographs, videos, or before a webcam.

The module can be called: ``fer_tf.predict(faces)`` is ``fer_tf.inference.api.predict``.
"""

import argparse
import contextlib
import itertools
import os
import sys
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.errors import UserError, exit_on_user_error

if TYPE_CHECKING:
    from fer_tf.inference.output import Table, Writer
    from fer_tf.inference.records import ImageResult
    from fer_tf.inference.sources import Found

DESCRIPTION = """Find the faces of photographs and videos and tell their expressions.

A table of the first faces goes to the screen, all of them to the files that are asked for. Damaged, empty and
mislabelled files are skipped and listed, and nothing else is lost.

Each PATH is a photograph, a video, a folder tree of both, or the number of a webcam (0), which is read until Ctrl-C."""

EXAMPLES = """examples:
  python -m fer_tf.predict photograph.jpg
  python -m fer_tf.predict photographs --csv faces.csv --json faces.json --skipped skipped.csv
  python -m fer_tf.predict photographs --annotate drawn --faces largest
  python -m fer_tf.predict interview.mp4 --annotate drawn --smooth 0.5
  python -m fer_tf.predict dancing.mp4 --follow 0 --json dancing.jsonl
  python -m fer_tf.predict interview.mp4 --every 5 --timeline interview.png
  python -m fer_tf.predict 0 --seconds 20 --timeline me.png
  python -m fer_tf.predict faces --no-crop --model saved.keras --fast
  python -m fer_tf.predict crowd.jpg --detector "retinaface(size=1600, threshold=0.7)"

files:
  --csv       a row a face: source, frame, time, box, five points, label, probability, and a column a class
  --json      an object a face, with "distribution" by class: an array in a .json file, lines in a .jsonl file
  --annotate  DIR/a/b_faces.jpg for a/b.jpg; b_faces.mp4, of the frames that were analyzed, and b_timeline.png for b.mp4
Each is there whole or not at all, and replaces one of its name. Times are in seconds, boxes and points in pixels.

Faces of a video are numbered by person, as far as boxes overlap from frame to frame ("track", counted from 0 in files).
videos and webcams need PyAV: pip install 'fer-tf[video]'

exit codes: 0 done, also where there is no face; 1 something was skipped and --strict is given; 2 a mistake in the
command, or nothing that can be read; 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process."""
    # On some processors oneDNN is off by default, and detection takes twice as long; it can be set this early only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = _parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    exit_on_user_error(run, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_tf.predict", description=DESCRIPTION, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("paths", metavar="PATH", nargs="+", help="photographs, videos, folders; or a webcam's number")
    face = parser.add_argument_group("faces").add_argument
    face("--model", default="default", help="a shipped name or a .keras file (default %(default)s)")
    face("--faces", default="all", metavar="WHICH", help="of a picture: all, largest, central (default %(default)s)")
    face("--crop", action=argparse.BooleanOptionalAction, default=True,
         help="find faces; else each picture is a face, framed as FER2013 frames them")  # fmt: skip
    face("--detector", metavar="NAME", help="retinaface or hog, or a call string (default retinaface)")
    face("--flip", action="store_true", help="average over a face and its mirror")
    face("--fast", action="store_true", help="compute with weights of 8 bits: nearly the same numbers sooner")
    time = parser.add_argument_group("videos").add_argument
    time("--every", type=int, default=1, metavar="N", help="take every N-th frame (default %(default)s)")
    time("--follow", type=float, metavar="SECONDS",
         help="look for faces so often, follow them in between (default 0.16; 0: look always)")  # fmt: skip
    time("--smooth", type=float, default=0.0, metavar="SECONDS",
         help="smooth each person's distributions over time, exponentially (default: not)")  # fmt: skip
    time("--seconds", type=float, metavar="S", help="stop the webcam after S seconds (default: at Ctrl-C)")
    files = parser.add_argument_group("files").add_argument
    files("--csv", type=Path, metavar="FILE", help="write a row a face")
    files("--json", type=Path, metavar="FILE", help="write an object a face: .json or .jsonl")
    files("--skipped", type=Path, metavar="FILE", help="write a row for each picture without a face, and why")
    files("--annotate", type=Path, metavar="DIR", help="write copies with boxes, labels and bars; timelines of videos")
    files("--timeline", type=Path, metavar="FILE", help="write one video's timeline: .png, .svg or .pdf")
    files("--lines", type=int, default=40, metavar="N", help="faces shown on the screen (default %(default)s)")
    files("--strict", action="store_true", help="exit with 1 when anything was skipped")
    return parser


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    from fer_tf.inference.output import Table
    from fer_tf.inference.tracking import tracked

    _check(options)
    notes: dict[str, str] = {}
    camera = _camera(options)
    found = [] if camera is not None else _find(options, notes)
    writers = _writers(options, found)
    moving = camera is not None or any(_is_video(f) for f in found)
    table = Table([f.source for f in found] + list(notes), moving, options.lines)
    with contextlib.ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
        results = stack.enter_context(contextlib.closing(_results(options, camera, found)))
        smoothed = tracked(itertools.chain(_skips(notes), results), options.smooth)
        _write(smoothed, table, writers, len(found), moving, camera is not None)
        if not table.pictures:
            raise UserError(f"Nothing could be read. {table.first_reason}")
    for line in table.summary():
        print(line)
    for writer in writers:
        # A folder's thousand copies need no line each.
        shown = writer.files if len(writer.files) <= 8 else [f"{len(writer.files):,} files in {options.annotate}"]
        for file in shown:
            print(f"wrote {file}")
    return 1 if options.strict and table.skipped else 0


def _check(options: argparse.Namespace) -> None:
    """Raise a ``UserError`` for what would only be found after the networks are loaded."""
    from fer_tf.faces.crops import WHICH

    for name, low in (("every", 1), ("lines", 0)):
        if getattr(options, name) < low:
            raise UserError(f"--{name} {getattr(options, name)} is out of range. Expected {low} or more.")
    for name in ("follow", "smooth"):
        if getattr(options, name) is not None and not 0 <= getattr(options, name) < float("inf"):
            raise UserError(f"--{name} {getattr(options, name)} is no time. Expected seconds, 0 or more.")
    if options.seconds is not None and not options.seconds > 0:
        raise UserError(f"--seconds {options.seconds} leaves nothing. Expected more than 0.")
    if options.faces not in WHICH:
        raise UserError(f"--faces {options.faces!r} is unknown. Expected {', '.join(WHICH)}.")


def _camera(options: argparse.Namespace) -> int | None:
    """Return the webcam's number where one is meant."""
    numbers = [p for p in options.paths if p.isdecimal() and not Path(p).exists()]
    if numbers and len(options.paths) > 1:
        raise UserError(f"{numbers[0]!r} is a webcam. Give it alone.")
    if options.seconds is not None and not numbers:
        raise UserError("--seconds is for webcams. --every makes a video shorter.")
    return int(numbers[0]) if numbers else None


def _find(options: argparse.Namespace, notes: dict[str, str]) -> "list[Found]":
    from fer_tf.inference import annotation, sources

    if options.annotate:
        annotation.check_folder(options.annotate, options.paths)
    found = sources.find(options.paths, notes.__setitem__)
    if options.timeline and sum(map(_is_video, found)) != 1:
        raise UserError(
            f"--timeline is of one video, found {sum(map(_is_video, found))}. --annotate draws one of each."
        )
    return found


def _writers(options: argparse.Namespace, found: "Sequence[Found]") -> "list[Writer]":
    from fer_tf import pretrained
    from fer_tf.inference import annotation, output
    from fer_tf.models import facts

    known = facts.read_facts(pretrained.path_of(options.model))
    if known is None:
        raise UserError(f"{options.model} does not say which classes it has. Expected a file this package wrote.")
    writers = []
    if options.csv:
        writers.append(output.CsvWriter(options.csv, known.label_set))
    if options.json:
        writers.append(output.JsonWriter(options.json))
    if options.skipped:
        writers.append(output.SkippedWriter(options.skipped))
    if options.annotate:
        writers.append(annotation.Annotator(options.annotate, annotation.output_names(found), known.label_set))
    if options.timeline:
        writers.append(annotation.TimelineWriter(options.timeline, known.label_set))
    return writers


def _results(options: argparse.Namespace, camera: int | None, found: "Sequence[Found]") -> "Iterator[ImageResult]":
    from fer_tf.inference import sources

    annotation = None if camera is None else sources.watch(camera)
    from fer_tf.inference.pipeline import FacePipeline
    from fer_tf.inference.tracking import GAP

    follow = GAP if options.follow is None else options.follow
    pipeline = FacePipeline(
        options.model, options.detector, options.faces, options.flip, options.crop, follow, options.fast
    )
    if annotation is None:
        return pipeline.analyze([(f.path, f.source) for f in found], options.every)
    near = itertools.takewhile(lambda batch: batch[0].time <= (options.seconds or float("inf")), annotation)
    return (result for batch in near for result in pipeline.analyze_batch(batch))


def _skips(notes: dict[str, str]) -> "Iterator[ImageResult]":
    from fer_tf.inference.records import ImageResult

    return (ImageResult(name, None, None, None, (), reason) for name, reason in notes.items())


def _write(
    results: "Iterable[ImageResult]",
    table: "Table",
    writers: "Sequence[Writer]",
    total: int,
    moving: bool,
    endless: bool,
) -> None:
    """Send each result to the screen and to the files."""
    from fer_tf.progress import bar

    # Beside a bar that is not seen, what makes room for the lines would be noise in a log.
    seen = sys.stderr.isatty()
    with bar(None if moving else total, "Analyzing", "image") as progress:
        try:
            for result in results:
                for line in table.add(result):
                    progress.write(line, file=sys.stdout) if seen else print(line)
                for writer in writers:
                    writer.add(result)
                progress.update()
        except KeyboardInterrupt:
            # A webcam has no other end.
            if not endless:
                raise


def _is_video(found: "Found") -> bool:
    from fer_tf.io.video import is_video

    return is_video(found.source)


class _CallableModule(types.ModuleType):
    """Lets ``fer_tf.predict`` be the function also after the module of that name was imported."""

    def __call__(self, *arguments, **keywords):
        from fer_tf.inference.api import predict

        return predict(*arguments, **keywords)


if __name__ == "__main__":
    main()
else:
    sys.modules[__name__].__class__ = _CallableModule
