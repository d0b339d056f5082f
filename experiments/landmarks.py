"""Does learning where the landmarks are help to tell the expression?

  python experiments/landmarks.py --quick                               built-in faces, which know their landmarks
  python -m fer_tf.faces landmarks DIR points.csv --dataset fer2013
  python experiments/landmarks.py --dataset fer2013 --data DIR --landmarks points.csv --seeds 0,1,2

The landmark-driven Self-Cure network with its three heads, trained with the landmark loss, with its coefficient at a
tenth, and without it (systems of RainbowRui and arXiv 2002.10392). Faces whose landmarks are not found take part
without them. Figures: experiments/results/landmarks.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    from fer_tf.sweeps.runner import Result


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the network with the landmark task at three strengths."""
    settings = commandline.shared_settings(options)
    runs = [
        RunConfig(
            name=name, model=commandline.sized(options.model, options.width),
            objective=f"landmarks(coefficient={coefficient}, margin=0.15)",
            landmarks=str(options.landmarks.absolute()) if options.landmarks else None, optimizer="adamw",
            learning_rate=options.learning_rate, weight_decay=0.05, augment=("light",),
            schedule=f"warmup_cosine(warmup={min(1, options.epochs / 10):g})", **settings,
        )
        for name, coefficient in (("without landmarks", 0.0), ("landmarks 0.1", 0.1), ("landmarks 1", 1.0))
    ]  # fmt: skip
    return commandline.over_seeds(runs, options.seeds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    group("--learning-rate", type=float, default=0.002, help="of AdamW (default %(default)s)")
    group("--landmarks", type=Path, metavar="CSV", help="what `python -m fer_tf.faces landmarks` wrote")


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Write the study's page and winner."""
    from fer_tf.sweeps import study_page

    return study_page.write(results, out, "Expression with and without landmarks", lambda _: [])


STUDY = commandline.Study(
    name="landmarks",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"model": "landmark_scn(depth=1, stem='strided')", "width": 0.25, "epochs": 10, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)
