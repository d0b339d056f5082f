"""Implement ``fer-tf train``."""

import argparse
from pathlib import Path

from fer_tf import registry
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

DESCRIPTION = """Train a network on a dataset, choose the best epoch on validation, and score it once on test.

The recipe: SGD with Nesterov momentum, two epochs of warm-up and one cosine, coupled weight decay, label smoothing and
light augmentation. The default network is a ResNet-10 of 0.69 M parameters. --out gets results.csv, report.html,
winner.keras and a folder for each run; the same command again continues an interrupted run."""

EXAMPLES = """examples:
  fer-tf train --dataset folder --data faces --epochs 20
  fer-tf train --dataset fer2013 --data DIR --out runs/fer2013
  fer-tf train --dataset "ferplus(mode='cross_entropy')" --data DIR --smoothing 0 --model "vgg(width=0.25)"
  fer-tf train --dataset folder --data faces --start runs/fer2013/winner.keras --learning-rate 0.005
  fer-tf train --dataset folder --data faces --teacher a.keras,b.keras --seeds 0,1,2

exit codes: 0 done, 1 a run failed (results.csv has the reason), 2 a mistake in the command, 130 interrupted"""

AUGMENT = "flip(); affine(rotation=12, shift=0.05, zoom=0.1); brightness(); contrast()"


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the recipe."""
    group = parser.add_argument_group("recipe").add_argument
    group("--optimizer", default="nesterov", metavar="NAME", help="call string (default %(default)s)")
    group("--learning-rate", type=float, default=0.1, help="default %(default)s")
    group("--schedule", metavar="NAME", help="call string (default: two epochs of warm-up and one cosine)")
    group("--averaging", metavar="NAME", help='evaluate averaged weights, such as "ema(decay=0.999)"')
    group("--decay", type=float, default=5e-4, help="coupled weight decay (default %(default)s)")
    group("--smoothing", type=float, default=0.1, help="label smoothing (default %(default)s)")
    group("--augment", default=AUGMENT, metavar="PRESET|OPS", help="default %(default)r")
    group = parser.add_argument_group("other networks").add_argument
    group("--start", metavar="FILE", help="begin from this network; its head too, where the classes are the same")
    group("--teacher", metavar="FILE[,FILE]", help="learn from these networks' predictions of each augmented face")
    group("--teacher-weight", type=float, default=0.5, help="their share of the targets (default %(default)s)")
    group("--teacher-temperature", type=float, default=2.0, help="softens their predictions (default %(default)s)")


def _configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return one run for each seed."""
    objective = "classification"
    if options.teacher:
        teachers = tuple(str(Path(name).absolute()) for name in options.teacher.split(","))
        keywords = {"weight": options.teacher_weight, "temperature": options.teacher_temperature}
        objective = registry.render("distillation", {"teachers": teachers, **keywords})
    return recipes.runs(
        options,
        {"resnet10": {"model": recipes.sized(options.model, options.width)}},
        start=str(Path(options.start).absolute()) if options.start else None,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        schedule=options.schedule or recipes.warmup_cosine(options.epochs, 2),
        averaging=options.averaging,
        objective=objective,
        l2=options.decay,
        loss=options.loss or f"cross_entropy(label_smoothing={options.smoothing})",
        augment=recipes.split_calls(options.augment),
    )


STUDY = commandline.Study(
    name="train",
    title="Training",
    description=DESCRIPTION,
    configs=_configs,
    add_arguments=_add_recipe,
    defaults={"model": "resnet10", "width": 0.375, "epochs": 45, "crop": 44},
    without=("--quick",),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    commandline.add_arguments(parser, STUDY)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    return commandline.run(STUDY, options)
