"""How far does a network that two CPU cores can train get on FER2013?

  python experiments/small_resnet.py --dataset fer2013 --data DIR --jit        about 50 minutes on 2 cores
  python experiments/small_resnet.py --quick                                    built-in faces, a minute

A ResNet-10 of 0.69 M parameters with the usual recipe: SGD with Nesterov momentum, warm-up and one cosine, coupled
decay, label smoothing, light augmentation. The epoch is chosen on validation; test is scored once, single view.

Writes results.csv, report.html and winner.keras into --out. experiments/README.md has measured figures.
"""

import argparse

from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig


def configs(options: argparse.Namespace) -> list[RunConfig]:
    run = RunConfig(
        name="resnet10",
        model=commandline.sized(options.model, options.width),
        optimizer="nesterov",
        learning_rate=0.05,
        schedule=f"warmup_cosine(warmup={min(2, options.epochs / 10):g})",
        l2=5e-4,
        loss="cross_entropy(label_smoothing=0.1)",
        augment=("flip()", "affine(rotation=12, shift=0.05, zoom=0.1)", "brightness()", "contrast()"),
        **commandline.shared_settings(options),
    )
    return commandline.over_seeds([run], options.seeds)


def report(results, out, options):
    from fer_tf.sweeps import study_page

    return study_page.write(results, out, "A small ResNet", lambda _: [])


STUDY = commandline.Study(
    name="small_resnet",
    description=__doc__,
    configs=configs,
    report=report,
    defaults={"model": "resnet10", "width": 0.375, "epochs": 45, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)
