"""Do soft targets help? FER+'s target modes and their rivals, taught to the same networks on the same faces.

  python experiments/ldl_study.py --quick                                       drawn faces, two epochs
  python experiments/ldl_study.py --dataset ferplus --data DIR --seeds 0,1,2 --width 0.25 --epochs 20 \\
      --batch-size 128
  python experiments/ldl_study.py --dataset ferplus --data DIR --seeds 0,1,2 --model vgg13 --width 1 \\
      --size 64 --epochs 100 --batch-size 128 --leaks keep          the paper's own size: for a GPU

Targets, from hard to soft: FER2013's one label (on the faces that cross-entropy mode keeps); the majority's vote; the
same, smoothed by 0.1; what most voted, on the faces that cross-entropy mode keeps; multi-target; votes sharpened
(temperature 0.5); one vote drawn at each look (probability); the votes (cross-entropy); the same under Kullback–Leibler
and Jensen–Shannon. Modes keep different faces in training. The epoch is chosen, and accuracy told, on the faces with a
majority, the same for all: PublicTest and PrivateTest. Distribution measures are of the PrivateTest faces that
cross-entropy mode keeps. Copies of later splits are left out of training (--leaks; the paper kept them).

arXiv 1608.01041 with the full VGG13: majority 83.852, multi-target 83.966, probability 84.986, cross-entropy 84.716.

Writes results.csv, ldl.csv (mean and standard deviation over seeds, gain over majority beside the pooled deviation),
report.html, figures/ and winner.keras. Measured figures: experiments/results/ldl_study.md.
"""

import argparse

from fer_tf.datasets.duplicates import LEAKS
from fer_tf.sweeps import commandline, ldl_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    group("--recipe", choices=ldl_study.RECIPES, default="own",
          help="each network's own (VGG13: the paper's, scaled to --epochs) or AdamW; default %(default)s")  # fmt: skip
    group("--dropout", type=float, metavar="RATE", help="default: the network's own")
    group("--leaks", choices=LEAKS, default="drop",
          help="training faces of which a later split has a copy (default %(default)s)")  # fmt: skip


STUDY = commandline.Study(
    name="ldl_study",
    description=__doc__,
    configs=ldl_study.configs,
    report=ldl_study.report,
    add_arguments=add_arguments,
    defaults={
        "dataset": "synthetic_ferplus", "model": "vgg13; resnet10", "width": 0.25, "epochs": 12, "crop": 0,
        "batch_size": 32,
    },
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
