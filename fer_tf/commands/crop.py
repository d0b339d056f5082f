"""Implement ``fer-tf crop``."""

import argparse

from fer_tf.errors import UserError, printable
from fer_tf.faces.crops import CropOptions, crop
from fer_tf.io import pictures, video

DESCRIPTION = f"""Find the faces of photographs and videos, turn them upright, and cut them out.

DST gets the same folders as SRC, so that class folders stay class folders; faces.csv, where each face came from;
skipped.csv, what gave no face, and why. Interrupted, the same command goes on. Names: a/b.jpg becomes a/b.png and its
further faces a/b_1.png and so on; the frames of talk.mp4 go to talk/000123.png, those of happy/talk.mp4 to
happy/talk_000123.png; of two sources that would write one file, the second keeps its suffix (a.png.png).

Files with these suffixes are read, and others by their content:
  photographs  {" ".join(pictures.SUFFIXES)}
  videos       {" ".join(video.SUFFIXES)}"""

EXAMPLES = """examples:
  fer-tf crop photographs faces
  fer-tf crop photographs faces --faces all --size 112 --margin 0.1
  fer-tf crop interview.mp4 faces --every 5
  fer-tf crop photographs faces --detector "retinaface(threshold=0.7, size=1024)"
  fer-tf crop photographs shards --format tfrecord --fallback whole

videos need PyAV: pip install 'fer-tf[video]'; --detector hog needs dlib: pip install 'fer-tf[landmarks]'

exit codes: 0 done, 1 something was skipped and --strict is given, 2 a mistake in the command, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("src", metavar="SRC", help="a photograph, a video, or a folder tree of both")
    add("dst", metavar="DST", help="output folder: new, empty, or of the same job")
    face = parser.add_argument_group("faces").add_argument
    face("--size", type=int, default=224, metavar="PX", help="side of a face (default %(default)s)")
    face("--detector", default="retinaface", metavar="NAME",
         help="retinaface or hog, or a call string (default %(default)s)")  # fmt: skip
    face(
        "--faces",
        default="largest",
        metavar="WHICH",
        help="of a photograph: largest, all or central (default %(default)s)",
    )
    face("--margin", type=float, default=0.0, metavar="SHARE",
         help="grow the square around a face by this share of its side (default %(default)s)")  # fmt: skip
    face("--align", action=argparse.BooleanOptionalAction, default=True,
         help="turn faces upright by their eyes; else cut upright squares around their boxes")  # fmt: skip
    face("--fallback", default="skip", metavar="WHAT",
         help="skip a picture without a face, or take it whole (default %(default)s)")  # fmt: skip
    files = parser.add_argument_group("files").add_argument
    files("--format", default="png", help="png, jpg or tfrecord (default %(default)s)")
    files("--quality", type=int, default=95, help="of jpg, 1 to 100 (default %(default)s)")
    files("--every", type=int, default=1, metavar="N", help="take every N-th frame of a video (default %(default)s)")
    files("--limit", type=int, metavar="N", help="read only the first N photographs and videos")
    files("--overwrite", action="store_true", help="delete what an earlier job wrote into DST first")
    files("--strict", action="store_true", help="exit with 1 when anything was skipped")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit} leaves nothing. Expected at least 1.")
    wanted = CropOptions(
        size=options.size, detector=options.detector, faces=options.faces, margin=options.margin, align=options.align,
        format=options.format, quality=options.quality, fallback=options.fallback, every=options.every,
    )  # fmt: skip
    done = crop(options.src, options.dst, wanted, overwrite=options.overwrite, limit=options.limit)
    faces, skipped = done.files
    print(f"wrote {printable(faces)}")
    summary = f"{_counted(done.faces, 'face')} of {_counted(done.pictures, 'picture')} in {options.dst}"
    print(
        f"{summary}, {done.skipped} skipped: see {printable(skipped)}" if done.skipped else f"{summary}, none skipped"
    )
    return 1 if options.strict and done.skipped else 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
