"""Does augmentation keep light networks from learning wrong labels by heart, and from giving their faces away?

  python experiments/ghostface_robustness.py --quick                                built-in faces, two epochs
  KERAS_BACKEND=torch python experiments/ghostface_robustness.py --dataset fer2013 --data DIR --limit 600 --epochs 10

GhostFace (repaired, for faces of FER2013's size) and the shipped network's ResNet-10 are trained with no augmentation
(not even a random crop), RandAugment, MixUp, or both, while 0, 10 or 20 % of the training labels are made wrong;
validation and test keep theirs. Every run goes to its end, and no epoch is chosen (--keep). Of each run:

  accuracy, macro-F1   on test
  gap                  accuracy on the training faces with a right label, less that on test
  memorised            share of the wrong training labels that the network repeats; by chance: of wrong labels that
                       were put to test faces and that it never met
  AUC, TPR, FP, FN     of a membership audit by loss (fer_tf.privacy): pairs of a face and the label taught, against
                       test faces whose labels were made wrong alike; FP and FN at a threshold from the other half
  parameters, MACs     and what the networks save against --baselines, all at full width

Writes results.csv, robustness.csv (a row a run), sizes.csv, report.html, figures/ and winner.keras; each run's folder
has all four audits in examined.json. Figures: experiments/results/ghostface_robustness.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf.sweeps import commandline, memorisation_study
from fer_tf.training.config import KEPT

if TYPE_CHECKING:
    from fer_tf.sweeps.runner import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("study").add_argument
    group("--rates", type=_rates, default=(0.0, 0.1, 0.2), metavar="PERCENT,…",
          help="shares of wrong labels (default 0,10,20)")  # fmt: skip
    group("--alpha", type=float, default=0.2, help="of MixUp's Beta distribution (default %(default)s)")
    group("--learning-rate", type=float, default=0.002, help="of AdamW (default %(default)s)")
    group("--keep", choices=KEPT, default="last",
          help="the epoch examined; the best on validation, whose labels are right, comes before most wrong labels are "
               "learned (default %(default)s)")  # fmt: skip
    group("--averaging", default="ema(decay=0.9)", metavar="NAME",
          help="of the weights that are evaluated, whose batch-norm is then re-estimated; '' for none. GhostFace's own "
               "statistics take some 500 steps to arrive (default %(default)s)")  # fmt: skip
    group("--baselines", default="vgg19; resnet18; vgg13", metavar="NAME; NAME",
          help="what sizes are compared with (default %(default)s)")  # fmt: skip


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(part) / 100 for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of percentages such as 0,10,20") from None
    if not all(0 <= rate <= 1 for rate in rates):
        raise argparse.ArgumentTypeError(f"{text!r} has a share outside 0 to 100 %")
    return rates


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Audit the runs; write the tables, the page and the winner."""
    from fer_tf import models
    from fer_tf.io import atomic
    from fer_tf.sweeps import memorisation_page, study_page
    from fer_tf.training.run import MODEL

    title, finished = "Wrong labels, augmentation and membership", [r for r in results if r.metrics]
    if not finished:
        return study_page.write(results, out, title, lambda _: [])
    runs = memorisation_study.runs_table(finished)
    table = memorisation_study.summary(runs)
    trained = models.load_model(finished[0].folder / MODEL)
    sizes = memorisation_page.sizes_table(
        memorisation_study.networks(options.model), memorisation_study.networks(options.baselines),
        trained.input_shape[1:], trained.output_shape[-1],
    )  # fmt: skip
    for name, frame in ((memorisation_study.TABLE, runs), ("sizes.csv", sizes)):
        with atomic.atomic_write(out / name) as part:
            frame.to_csv(part, index=False)
    tables = [*memorisation_page.readable(table), ("Sizes at full width", sizes)]
    written = study_page.write(results, out, title, lambda _: memorisation_page.charts(table), tables)
    return [*written, out / memorisation_study.TABLE, out / "sizes.csv"]


STUDY = commandline.Study(
    name="ghostface_robustness",
    description=__doc__,
    configs=memorisation_study.configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"model": "resnet10; ghostface", "width": 0.25, "epochs": 10, "crop": 0, "batch_size": 32},
)

if __name__ == "__main__":
    commandline.main(STUDY)
