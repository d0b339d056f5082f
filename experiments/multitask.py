"""Train expression alone, and with valence and arousal beside it.

  python experiments/multitask.py --quick                               built-in faces
  python experiments/multitask.py --dataset fer2013 --data DIR --model resnet10 --width 0.25 --class-weights none
  python experiments/multitask.py --dataset affectnet --data DIR --model efficientnet_b0 --crop 0 --width 1

Valence and arousal come with AffectNet (arXiv 2103.17107). Other faces get made-up ones, the place of their label or
the mean place of their votes on the circumplex: they show that the path works and say nothing about what people feel.
Networks that can predict them: efficientnet_b0, efficientnet_b2, resnet10, resnet18. On FER2013 in 5 epochs (5 minutes
a run on a core, 10 with sharpness-aware steps): 52.0, 50.8 and 50.5 %. Figures: experiments/results/multitask.md.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from typing import Any

from fer_tf import registry, tuning
from fer_tf.datasets import DATASETS
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the single task, both tasks, and both with sharpness-aware minimization."""
    alone = recipes.sized(options.model, options.width)
    weights = f"class_weights={options.class_weights!r}"
    both = {"model": recipes.with_keywords(alone, valence_arousal=True), "objective": f"multitask({weights})"}
    ways = {
        "expression": {"model": alone, "objective": f"classification({weights})"},
        "expression, valence, arousal": both,
        "the same, sharpness-aware": {**both, "sharpness": 0.05},
    }
    recipe = {**recipes.adamw(options), "optimizer": "adam", "weight_decay": 0.0}
    return recipes.runs(options, ways, dataset=with_circumplex(options.dataset), **recipe)


def with_circumplex(dataset: str) -> str:
    """Return a dataset's call string that makes valence and arousal up, where the dataset has none of its own."""
    can = "circumplex" in inspect.signature(DATASETS[registry.parse(dataset)[0]].load()).parameters
    return recipes.with_keywords(dataset, circumplex=True) if can else dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    recipes.add_learning_rate(group, 0.001, "Adam")
    group("--class-weights", choices=("balanced", "none"), default="balanced",
          help="of the cross-entropy: rare classes more, or all alike (default %(default)s)")  # fmt: skip


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Tell whether valence and arousal were made up."""
    if "circumplex" in with_circumplex(options.dataset) or options.dataset.startswith("synthetic"):
        sys.stderr.write("valence and arousal of these faces are made up: no finding about what people feel\n")
    return {}


STUDY = commandline.Study(
    "multitask", "Expression, valence and arousal", __doc__, configs, report, add_arguments=add_arguments,
    defaults={"model": "efficientnet_b0(stem_stride=1)", "width": 0.5, "epochs": 4, "crop": 44},
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
