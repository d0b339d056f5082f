"""Implement ``fer-tf stabilize``."""

import argparse
from pathlib import Path

from fer_tf import datasets, models, robustness
from fer_tf.errors import UserError, printable

DESCRIPTION = """Write a copy of a trained network whose predictions change less often when a face moves by a pixel.

The copy averages the predictions of a grid of crops, every other one mirrored. With --filter its convolutions of
stride 2 get a low-pass filter inside their kernels (arXiv 1904.11486) and batch-norm statistics of training faces. The
temperature is fitted on validation faces. Nothing is trained. The copy is an ordinary file: fer-tf robustness
measures it, predict and export read it. Heat maps do not, since they explain a single crop. Crops multiply the time of
a face, filters hardly change it."""

EXAMPLES = """examples:
  fer-tf stabilize default stable.keras --dataset ferplus --data DIR
  fer-tf stabilize default stable3.keras --dataset ferplus --data DIR --grid 3
  fer-tf stabilize default filtered.keras --dataset ferplus --data DIR --grid 1 --filter

exit codes: 0 done, 2 a mistake in the command"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a shipped network or the path of a .keras file")
    add("out", metavar="OUT.keras", type=Path, help="the copy")
    add("--dataset", default="synthetic", metavar="NAME", help="what MODEL was trained on, with its splits")
    add("--data", metavar="DIR", help="folder or file of the dataset; synthetic needs none")
    add("--grid", type=int, default=2, metavar="N", help="average N × N crops; 1: none (default %(default)s)")
    add("--filter", action="store_true", help="put filters into strided convolutions")
    add("--seed", type=int, default=0, help="draws faces, crops and mirrors (default %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Write the copy."""
    if options.out.suffix != ".keras":
        raise UserError(f"{options.out} is not the name of a network. Expected a name that ends in .keras.")
    robustness.shift_stability.check_options(options.grid, options.filter)
    source = models.weights_path(options.model)
    table = datasets.get(options.dataset, options.data)
    network = models.load_model(source)
    copy = robustness.shift_stability.stabilize(
        network, table.select("train"), table.select("validation"), options.grid, options.filter, options.seed
    )
    models.save_model(copy, options.out, copy.metadata)
    print(f"wrote {printable(options.out)}")
