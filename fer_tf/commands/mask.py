"""Implement ``fer-tf mask``."""

import argparse

from fer_tf.errors import UserError, printable
from fer_tf.faces.folder_jobs import MaskOptions, mask_folder

DESCRIPTION = """Draw a mask on every face of photographs or cropped faces, or cut faces off below the eyes.

DST gets the same folders and names as SRC (with .png after suffixes such as .gif that are not written), so that class
folders stay class folders; masks.csv, who wears what; skipped.csv, in which pictures no face was found or what cannot
be read. Interrupted, the same command goes on. The same seed gives the same masks, in any order."""

EXAMPLES = """examples:
  fer-tf mask faces masked
  fer-tf mask faces masked --kind random --seed 7
  fer-tf mask faces masked --kind "n95(valve=True)" --points 68
  fer-tf mask faces masked --kind cloth --color "#802030"
  fer-tf mask faces upper --cut --enlarge

exit codes: 0 done, 1 something was skipped and --strict is given, 2 a mistake in the command, 130 interrupted"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("src", metavar="SRC", help="a photograph or a folder tree")
    add("dst", metavar="DST", help="output folder: new, empty, or of the same job")
    mask = parser.add_argument_group("masks").add_argument
    mask("--kind", default="surgical", help="surgical, cloth, n95, or random for each face (default %(default)s)")
    mask("--color", metavar="#RRGGBB", help="of all masks, or a name such as white; without it drawn for each")
    mask("--seed", type=int, default=0, help="draws kinds, colors and wrinkles (default %(default)s)")
    cut = parser.add_argument_group("cut faces").add_argument
    cut("--cut", action="store_true", help="in place of a mask, cut the largest face off below the eyes")
    cut("--enlarge", action="store_true", help="turn the upper face upright and stretch it over the picture")
    cut("--fill", type=int, default=0, metavar="LEVEL", help="of what is cut off, 0 to 255 (default %(default)s)")
    faces = parser.add_argument_group("faces and files").add_argument
    faces("--detector", default="retinaface", metavar="NAME",
          help="retinaface or hog, or a call string; both enlarge small faces (default %(default)s)")  # fmt: skip
    faces("--points", type=int, default=5, choices=(5, 68),
          help="landmarks to go by; 68 follow the jaw, and need fer-tf[landmarks] (default %(default)s)")  # fmt: skip
    faces("--limit", type=int, metavar="N", help="read only the first N pictures")
    faces("--overwrite", action="store_true", help="do again what an earlier job wrote into DST")
    faces("--strict", action="store_true", help="exit with 1 when anything was skipped")


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say; return the exit code."""
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit} leaves nothing. Expected at least 1.")
    wanted = MaskOptions(
        kind=options.kind, seed=options.seed, color=options.color, detector=options.detector, points=options.points,
        cut=options.cut, enlarge=options.enlarge, fill=options.fill,
    )  # fmt: skip
    done = mask_folder(options.src, options.dst, wanted, overwrite=options.overwrite, limit=options.limit)
    masked, skipped = done.files
    print(f"wrote {printable(masked)}")
    summary = f"{done.faces} faces {'cut' if options.cut else 'masked'} in {done.pictures} pictures in {options.dst}"
    print(
        f"{summary}, {done.skipped} skipped: see {printable(skipped)}" if done.skipped else f"{summary}, none skipped"
    )
    return 1 if options.strict and done.skipped else 0
