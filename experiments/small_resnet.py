"""How far does a network that two CPU cores can train get on FER2013?

  python experiments/small_resnet.py --dataset fer2013 --data DIR             20 minutes on 2 cores (AMD EPYC, Zen 4)
  python experiments/small_resnet.py --quick                                    built-in faces, a minute

A ResNet-10 of 0.69 M parameters with the usual recipe: SGD with Nesterov momentum, warm-up and one cosine, coupled
decay, label smoothing, light augmentation. The epoch is chosen on validation; test is scored once, single view: 67.0 %
(published for VGG19 with ten crops: 73.11).

Fine-tune a network that was trained on other labels, and learn from larger ones (all must see faces of one size):

  python experiments/small_resnet.py --dataset fer2013 --data DIR --start FERPLUS.keras --learning-rate 0.005
  python experiments/small_resnet.py --dataset fer2013 --data DIR --teacher A.keras,B.keras --averaging "ema()"

Writes results.csv, results.md, report.html and winner.keras into --out. Figures: experiments/results/small_resnet.md.
"""

import argparse
from pathlib import Path

from fer_tf import callstring
from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

AUGMENT = "flip(); affine(rotation=12, shift=0.05, zoom=0.1); brightness(); contrast()"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
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


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the one run, seed by seed."""
    objective = "classification"
    if options.teacher:
        teachers = tuple(str(Path(name).absolute()) for name in options.teacher.split(","))
        keywords = {"weight": options.teacher_weight, "temperature": options.teacher_temperature}
        objective = callstring.render("distillation", {"teachers": teachers, **keywords})
    return commandline.runs(
        options,
        {"resnet10": {"model": commandline.sized(options.model, options.width)}},
        start=str(Path(options.start).absolute()) if options.start else None,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        schedule=options.schedule or f"warmup_cosine(warmup={min(2, options.epochs / 10):g})",
        averaging=options.averaging,
        objective=objective,
        l2=options.decay,
        loss=options.loss or f"cross_entropy(label_smoothing={options.smoothing})",
        augment=commandline.augmentations(options.augment),
    )


STUDY = commandline.Study(
    name="small_resnet",
    description=__doc__,
    configs=configs,
    report="A small ResNet",
    add_arguments=add_arguments,
    defaults={"model": "resnet10", "width": 0.375, "epochs": 45, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)
