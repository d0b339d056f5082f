"""Implement ``fer-tf predict``."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fer_tf import inference
from fer_tf.commands import add_prior, read_prior
from fer_tf.errors import UserError, printable
from fer_tf.faces.detectors import WHICH
from fer_tf.inference import annotation, output, sources
from fer_tf.inference.output import ImageResult, Table, Writer
from fer_tf.inference.sources import Found
from fer_tf.inference.tracking import GAP, tracked
from fer_tf.io.video import is_video
from fer_tf.models import read_metadata, weights_path
from fer_tf.progress import bar

DESCRIPTION = """Find the faces of photographs and videos and recognize their expressions.

The first faces are shown as a table; --csv and --json write all of them. Files that cannot be read are skipped and
listed.

Each PATH is a photograph, a video, a folder of both, or the number of a webcam (0), which is read until Ctrl-C."""

EXAMPLES = """examples:
  fer-tf predict photograph.jpg
  fer-tf predict photographs --csv faces.csv --json faces.json --skipped skipped.csv
  fer-tf predict photographs --annotate drawn --faces largest
  fer-tf predict photographs --prior uniform --strength 0.5
  fer-tf predict interview.mp4 --annotate drawn --smooth 0.5
  fer-tf predict dancing.mp4 --follow 0 --json dancing.jsonl
  fer-tf predict interview.mp4 --every 5 --timeline interview.png
  fer-tf predict 0 --seconds 20 --timeline me.png
  fer-tf predict faces --no-crop --model saved.keras --fast
  fer-tf predict crowd.jpg --detector "retinaface(size=1600, threshold=0.7)"

files:
  --csv       one row for each face: source, frame, time, box, five landmarks, doubtful, label, probability, classes
  --json      one object for each face, with "distribution" by class: an array in a .json file, lines in a .jsonl file
  --annotate  DIR/a/b_faces.jpg for a/b.jpg; b_faces.mp4 (the analyzed frames) and b_timeline.png for b.mp4
A file appears when it is complete and replaces an older one of the same name. Times are in seconds, boxes and landmarks
in pixels. "doubtful" is 1 where landmarks are not arranged as a face's: it may be turned, and its expression misread.

In videos, "track" numbers the people from 0: boxes that overlap from frame to frame belong to one person.
Videos and webcams need PyAV: pip install 'fer-tf[video]'

exit codes: 0 done, also if no face was found; 1 something was skipped and --strict is given; 2 a mistake in the
command, or nothing can be read; 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="photographs, videos or folders, or the number of a webcam"
    )
    face = parser.add_argument_group("faces").add_argument
    face("--model", default="default", help="name of a shipped model, or a .keras file (default %(default)s)")
    face(
        "--faces",
        default="all",
        metavar="WHICH",
        help="faces to keep of each image: all, largest or central (default %(default)s)",
    )
    face("--crop", action=argparse.BooleanOptionalAction, default=True,
         help="find faces; --no-crop: each image is one face, cropped as in FER2013")  # fmt: skip
    face(
        "--detector",
        metavar="NAME",
        help="retinaface or hog, or a call string such as \"retinaface(size='auto')\", which looks for small faces "
        "in large photographs, too (default retinaface)",
    )
    face(
        "--flip",
        action="store_true",
        help="average over the face and its mirror image: slightly better, twice the time",
    )
    face(
        "--fast",
        action="store_true",
        help="use 8-bit weights: half of the time, probabilities change by 0.001 in the median",
    )
    add_prior(parser)
    time = parser.add_argument_group("videos").add_argument
    time("--every", type=int, default=1, metavar="N", help="analyze every N-th frame (default %(default)s)")
    time("--follow", type=float, metavar="SECONDS",
         help="detect faces at this interval and interpolate between (default 0.16; 0: every frame)")  # fmt: skip
    time("--smooth", type=float, default=0.0, metavar="SECONDS",
         help="time constant of exponential smoothing for each person (default 0: none)")  # fmt: skip
    time("--seconds", type=float, metavar="S", help="stop the webcam after S seconds (default: at Ctrl-C)")
    files = parser.add_argument_group("files").add_argument
    files("--csv", type=Path, metavar="FILE", help="write one row for each face")
    files("--json", type=Path, metavar="FILE", help="write one object for each face: .json or .jsonl")
    files("--skipped", type=Path, metavar="FILE", help="write one row for each image without a face, with the reason")
    files("--annotate", type=Path, metavar="DIR", help="write copies with boxes, labels and bars; timelines of videos")
    files("--timeline", type=Path, metavar="FILE", help="write one video's timeline: .png, .svg or .pdf")
    files("--lines", type=int, default=40, metavar="N", help="number of faces to show (default %(default)s)")
    files("--strict", action="store_true", help="exit with code 1 if anything was skipped")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
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
        # A thousand copies of a folder need no line each.
        shown = writer.files if len(writer.files) <= 8 else [f"{len(writer.files):,} files in {options.annotate}"]
        for file in shown:
            print(f"wrote {printable(file)}")
    return 1 if options.strict and table.skipped else 0


def _check(options: argparse.Namespace) -> None:
    """Raise a ``UserError`` for mistakes that would otherwise appear only after the networks are loaded."""
    for name, low in (("every", 1), ("lines", 0)):
        if getattr(options, name) < low:
            raise UserError(f"--{name} {getattr(options, name)} is out of range. Expected {low} or more.")
    for name in ("follow", "smooth"):
        if getattr(options, name) is not None and not 0 <= getattr(options, name) < float("inf"):
            raise UserError(f"--{name} {getattr(options, name)} is not a duration. Expected seconds, 0 or more.")
    if options.seconds is not None and not options.seconds > 0:
        raise UserError(f"--seconds {options.seconds} is out of range. Expected more than 0.")
    if options.faces not in WHICH:
        raise UserError(f"--faces {options.faces!r} is unknown. Expected {', '.join(WHICH)}.")


def _camera(options: argparse.Namespace) -> int | None:
    """Return the number of the webcam, if one is given."""
    numbers = [p for p in options.paths if p.isdecimal() and not Path(p).exists()]
    if numbers and len(options.paths) > 1:
        raise UserError(f"{numbers[0]!r} is a webcam, which cannot be combined with other inputs.")
    if options.seconds is not None and not numbers:
        raise UserError("--seconds is for webcams. --every makes a video shorter.")
    return int(numbers[0]) if numbers else None


def _find(options: argparse.Namespace, notes: dict[str, str]) -> list[Found]:
    if options.annotate:
        annotation.check_folder(options.annotate, options.paths)
    found = sources.find(options.paths, notes.__setitem__)
    if options.timeline and sum(map(_is_video, found)) != 1:
        raise UserError(
            f"--timeline is of one video, found {sum(map(_is_video, found))}. --annotate draws one of each."
        )
    return found


def _writers(options: argparse.Namespace, found: Sequence[Found]) -> list[Writer]:
    known = read_metadata(weights_path(options.model))
    if known is None:
        raise UserError(
            f"{options.model} has no metadata that names its classes. Expected a file that this package wrote."
        )
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


def _results(options: argparse.Namespace, camera: int | None, found: Sequence[Found]) -> Iterator[ImageResult]:
    frames = None if camera is None else sources.watch(camera)
    follow = GAP if options.follow is None else options.follow
    pipeline = inference.FacePipeline(
        options.model,
        options.detector,
        options.faces,
        options.flip,
        options.crop,
        follow,
        options.fast,
        read_prior(options.prior),
        options.strength,
    )
    if frames is None:
        return pipeline.analyze([(f.path, f.source) for f in found], options.every)
    near = itertools.takewhile(lambda batch: batch[0].time <= (options.seconds or float("inf")), frames)
    return (result for batch in near for result in pipeline.analyze_batch(batch))


def _skips(notes: dict[str, str]) -> Iterator[ImageResult]:
    return (ImageResult(name, None, None, None, (), reason) for name, reason in notes.items())


def _write(
    results: Iterable[ImageResult],
    table: Table,
    writers: Sequence[Writer],
    total: int,
    moving: bool,
    endless: bool,
) -> None:
    """Send each result to the terminal and to the files."""
    # Without a visible progress bar, clearing its line would only add noise to a log.
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
            # Ctrl-C is the normal end of a webcam.
            if not endless:
                raise


def _is_video(found: Found) -> bool:
    return is_video(found.source)
