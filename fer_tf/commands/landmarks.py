"""Implement ``fer-tf landmarks``."""

import argparse

from fer_tf.errors import printable
from fer_tf.faces.folder_jobs import LandmarkOptions, write_landmarks

DESCRIPTION = """Find 68 landmarks in each face of photographs, or of faces already cropped, and write them as a CSV.

OUT.csv has a row for each face: source, face (0, 1, …), found, reason, score, width and height of the picture, the box,
x0, y0 to x67, y67 in pixels, the first of which reaches from 0 to 1. A picture without a face has a row with found 0
and a reason, and so has one that cannot be read. Small pictures are enlarged for detection. Interrupted, the same
command goes on. fer_tf.datasets.landmarks.with_landmarks gives the points to a dataset's faces."""

EXAMPLES = """examples:
  fer-tf landmarks faces landmarks.csv
  fer-tf landmarks photographs landmarks.csv --faces all --detector "hog(upsample=2)"
  fer-tf landmarks DIR/fer2013.csv landmarks.csv --dataset fer2013
  fer-tf landmarks photographs points.csv --points 5

68 points need dlib: pip install 'fer-tf[landmarks]'

exit codes: 0 done, 1 a picture could not be read and --strict is given, 2 a mistake in the command, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("src", metavar="SRC", help="a picture, a folder tree, or the file or folder of a dataset")
    add("out", metavar="OUT.csv", help="the table to write; replaces only one of landmarks")
    add("--dataset", metavar="NAME", help="read SRC as this dataset, such as fer2013; rows then go by its samples' ids")
    add("--detector", default="retinaface", metavar="NAME",
        help="retinaface or hog, or a call string (default %(default)s)")  # fmt: skip
    add("--points", type=int, default=68, choices=(68, 5), help="5 are the detector's own (default %(default)s)")
    add("--faces", default="largest", metavar="WHICH",
        help="of a picture: largest, all or central (default %(default)s)")  # fmt: skip
    add("--strict", action="store_true", help="exit with 1 when a picture could not be read")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    wanted = LandmarkOptions(options.detector, options.points, options.faces, options.dataset)
    done = write_landmarks(options.src, options.out, wanted)
    print(f"wrote {printable(options.out)}")
    print(f"{done.faces} faces with {options.points} points, {done.without} without, {done.unread} pictures unread")
    return 1 if options.strict and done.unread else 0
