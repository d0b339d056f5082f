"""Train a network with and without predicting landmarks.

  python experiments/landmarks.py --quick                               built-in faces, which know their landmarks
  fer-tf landmarks DIR points.csv --dataset fer2013
  python experiments/landmarks.py --dataset fer2013 --data DIR --landmarks points.csv --seeds 0,1,2

The landmark-driven Self-Cure network has three heads, here at three weights of the landmark loss: 0, 0.1 and 1
(RainbowRui's system and arXiv 2002.10392). Faces without landmarks take part without them. On FER2013 in 6 epochs (12
to 21 minutes a run on a busy core): 53.2, 53.1 and 53.9 %. Figures: experiments/results/landmarks.md.
"""

import argparse
from pathlib import Path

from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

WEIGHTS = {"without landmarks": 0.0, "landmarks 0.1": 0.1, "landmarks 1": 1.0}


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the network with each weight of the landmark loss."""
    return recipes.runs(
        options,
        {name: {"objective": f"landmarks(coefficient={weight}, margin=0.15)"} for name, weight in WEIGHTS.items()},
        model=recipes.sized(options.model, options.width),
        landmarks=str(options.landmarks.absolute()) if options.landmarks else None,
        **recipes.adamw(options),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    recipes.add_learning_rate(group, 0.002)
    group("--landmarks", type=Path, metavar="CSV", help="what `fer-tf landmarks` wrote")


STUDY = commandline.Study(
    "landmarks", "Expression with and without landmarks", __doc__, configs, add_arguments=add_arguments,
    defaults={"model": "landmark_scn(depth=1, stem='strided')", "width": 0.25, "epochs": 10, "crop": 44},
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
