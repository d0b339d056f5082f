"""Two networks against one: VGG19 and ResNet-18 alone, and their probabilities fused by a dense layer.

  python experiments/fusion.py --quick                                  built-in faces, two epochs
  python experiments/fusion.py --dataset fer2013 --data DIR

First both members are trained (WuJie's networks and crop of 44, at --width of their channels). Then the fusion of the
two trained ones is trained for --fusion-epochs: once with the members frozen, once fine-tuned at a hundredth of the
rate. Its dense layer starts as the mean of the members. Figures: experiments/results/fusion.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import callstring
from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    from fer_tf.sweeps.runner import Result

MEMBERS = ("vgg19", "resnet18")


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the members, and, when both are trained, their fusions."""
    settings = commandline.shared_settings(options)
    base = RunConfig(
        name="", optimizer="nesterov", learning_rate=options.learning_rate, l2=5e-4, augment=("light",), **settings,
        schedule=f"warmup_cosine(warmup={min(1, options.epochs / 10):g})",
    )  # fmt: skip
    runs = []
    for seed in options.seeds:
        suffix = f"-seed{seed}" if len(options.seeds) > 1 else ""
        seeded = replace(base, seed=seed)
        members = [
            replace(seeded, name=f"{name}{suffix}", model=commandline.sized(name, options.width)) for name in MEMBERS
        ]
        runs += members
        paths = [commandline.finished(member, options.out) for member in members]
        if all(paths):
            runs += _fusions(seeded, [str(p) for p in paths], suffix, options)
    return runs


def _fusions(base: RunConfig, members: Sequence[str], suffix: str, options: argparse.Namespace) -> list[RunConfig]:
    common = {"epochs": options.fusion_epochs, "schedule": "constant"}
    frozen = callstring.render("fusion", {"members": tuple(members), "frozen": True})
    tuned = callstring.render("fusion", {"members": tuple(members)})
    return [
        replace(base, name=f"fusion frozen{suffix}", model=frozen, learning_rate=0.01, l2=0.0, **common),
        replace(
            base, name=f"fusion fine-tuned{suffix}", model=tuned, learning_rate=options.learning_rate / 100, **common
        ),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    group("--learning-rate", type=float, default=0.05, help="of the members (default %(default)s)")
    group("--fusion-epochs", type=int, default=3, help="default %(default)s")


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Write the study's page and winner."""
    from fer_tf.sweeps import study_page

    return study_page.write(results, out, "Fusion of two networks", lambda _: [])


STUDY = commandline.Study(
    name="fusion",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"width": 0.25, "epochs": 12, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)
