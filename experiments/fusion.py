"""Fuse two trained networks, VGG19 and ResNet-18, by a dense layer.

  python experiments/fusion.py --quick                                  built-in faces, two epochs
  python experiments/fusion.py --dataset fer2013 --data DIR

First both members are trained (WuJie's networks and crop of 44, at --width of their channels). Then their fusion is
trained for --fusion-epochs: once with the members frozen, once fine-tuned at a hundredth of the rate. Its dense layer
starts as the mean of the members. On FER2013 at an eighth of the channels (4 epochs, 80 minutes on busy cores): 48.0
and 40.3 % alone, 48.0 and 47.5 % fused. Figures: experiments/results/fusion.md.
"""

import argparse
from dataclasses import replace

from fer_tf import registry, tuning
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

MEMBERS = ("vgg19", "resnet18")


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the members, and, when both are trained, their fusions."""
    members = recipes.runs(
        options,
        {name: {"model": recipes.sized(name, options.width)} for name in MEMBERS},
        **{**recipes.adamw(options), "optimizer": "nesterov", "weight_decay": 0.0, "l2": 5e-4},
    )
    runs = []
    for seed in options.seeds:
        pair = [config for config in members if config.seed == seed]
        paths = [tuning.runner.finished(config, options.out) for config in pair]
        runs += [*pair, *(fusions(pair[0], tuple(map(str, paths)), options) if all(paths) else ())]
    return runs


def fusions(member: RunConfig, paths: tuple[str, ...], options: argparse.Namespace) -> list[RunConfig]:
    """Return the fusion of two trained networks with frozen members, and with all weights trained."""
    suffix = member.name.removeprefix(MEMBERS[0])
    base = replace(member, epochs=options.fusion_epochs, schedule="constant")
    frozen = registry.render("fusion", {"members": paths, "frozen": True})
    tuned, rate = registry.render("fusion", {"members": paths}), options.learning_rate / 100
    return [
        replace(base, name=f"fusion frozen{suffix}", model=frozen, learning_rate=0.01, l2=0.0),
        replace(base, name=f"fusion fine-tuned{suffix}", model=tuned, learning_rate=rate),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    recipes.add_learning_rate(group, 0.05, "the members")
    group("--fusion-epochs", type=int, default=3, help="default %(default)s")


STUDY = commandline.Study(
    "fusion", "Fusion of two networks", __doc__, configs, add_arguments=add_arguments,
    defaults={"width": 0.25, "epochs": 12, "crop": 44},
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
