"""Which regularizer helps a VGG on FER2013? One change at a time against one baseline.

  python experiments/vgg_regularizer_sweep.py                        built-in faces, a few minutes on 2 cores
  python experiments/vgg_regularizer_sweep.py --list                 which runs there are
  python experiments/vgg_regularizer_sweep.py --only '*decay*' --only baseline
  python experiments/vgg_regularizer_sweep.py --dataset fer2013 --data DIR --model vgg --epochs 20 \\
      --batch-size 128 --seeds 0,1,2

The baseline has batch-norm and light augmentation, and no dropout, decay or smoothing. Coupled decay (in the
gradient, torch's weight_decay), decoupled decay (AdamW's) and penalties on the kernels (in the loss) are three rows.
Sharpness-aware minimization takes two passes a step, so its time doubles.

Writes results.csv, report.html and winner.keras into --out. experiments/README.md has measured figures.
"""

import argparse

from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, regularizer_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("study").add_argument
    group("--optimizer", default="nesterov", help="call string (default %(default)s)")
    group("--learning-rate", type=float, default=0.01, help="default %(default)s")
    group("--schedule", default="one_cycle", help="call string (default %(default)s)")
    group("--augment", default="light", metavar="PRESET|OPS", help="the baseline's (default %(default)s)")


def configs(options: argparse.Namespace) -> list[RunConfig]:
    base = RunConfig(
        name=regularizer_study.BASELINE,
        model=commandline.sized(options.model, options.width),
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        dropout=0.0,
        augment=commandline.augmentations(options.augment),
        **commandline.shared_settings(options),
    )
    return commandline.over_seeds(regularizer_study.variants(base), options.seeds)


STUDY = commandline.Study(
    name="vgg_regularizer_sweep",
    description=__doc__,
    configs=configs,
    report=regularizer_study.report,
    add_arguments=add_arguments,
    defaults={**commandline.BUILT_IN, "space": "rate,schedule"},
)

if __name__ == "__main__":
    commandline.main(STUDY)
