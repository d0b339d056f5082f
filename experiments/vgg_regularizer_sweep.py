"""Compare regularizers for a VGG on FER2013, one change at a time.

  python experiments/vgg_regularizer_sweep.py                        built-in faces, a few minutes on 2 cores
  python experiments/vgg_regularizer_sweep.py --only '*decay*' --only baseline
  python experiments/vgg_regularizer_sweep.py --dataset fer2013 --data DIR --model vgg --epochs 20 --seeds 0,1,2

The baseline has batch-norm and light augmentation, and no dropout, decay or smoothing. Coupled decay (in the gradient,
torch's weight_decay), decoupled decay (AdamW's, scaled by the learning rate) and penalties on the kernels (in the loss)
are rows of their own. Sharpness-aware minimization takes two passes a step.
"""

import argparse
import inspect
from collections.abc import Sequence
from typing import Any

from fer_tf import registry, reports, tuning
from fer_tf.models import MODELS
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

BASELINE = "baseline"
# Variants that only a network with this keyword has.
MODEL_KEYWORDS = {"spatial dropout 0.1": "spatial_dropout", "no batch-norm": "batch_norm"}


def variants(model: str, augment: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return what each variant changes of the baseline, whose model and augmentation are given, by its name."""
    changes = {
        BASELINE: {},
        "dropout 0.2": {"dropout": 0.2},
        "dropout 0.5": {"dropout": 0.5},
        "spatial dropout 0.1": {"model": recipes.with_keywords(model, spatial_dropout=0.1)},
        "kernel L1 1e-5": {"kernel_l1": 1e-5},
        "kernel L2 1e-4": {"kernel_l2": 1e-4},
        "coupled decay 5e-4": {"l2": 5e-4},
        # Keras scales decoupled decay by the learning rate: this pulls as coupled decay of 5e-4 does with plain SGD.
        "decoupled decay 5e-4": {"weight_decay": 5e-4},
        "no batch-norm": {"model": recipes.with_keywords(model, batch_norm=False)},
        "label smoothing 0.1": {"loss": "cross_entropy(label_smoothing=0.1)"},
        "augmentation none": {"augment": ()},
        "augmentation study": {"augment": ("study",)},
        "augmentation strong": {"augment": ("strong",)},
        "random erasing": {"augment": (*augment, "erasing(p=0.5)")},
        "MixUp 0.2": {"augment": (*augment, "mixup(alpha=0.2)")},
        "CutMix 1": {"augment": (*augment, "cutmix(alpha=1.0)")},
        "EMA 0.999": {"averaging": "ema(decay=0.999)"},
        "SWA last quarter": {"averaging": "swa(start=0.75)"},
        "clip global norm 1": {"global_clipnorm": 1.0},
        "clip value 0.1": {"clipvalue": 0.1},
        "SAM 0.05": {"sharpness": 0.05},
    }
    takes = inspect.signature(MODELS[registry.parse(model)[0]].load()).parameters
    missing = {name for name, keyword in MODEL_KEYWORDS.items() if keyword not in takes}
    return {name: change for name, change in changes.items() if name not in missing}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("study").add_argument
    group("--optimizer", default="nesterov", help="call string (default %(default)s)")
    group("--learning-rate", type=float, default=0.01, help="default %(default)s")
    group("--schedule", default="one_cycle", help="call string (default %(default)s)")
    group("--augment", default="light", metavar="PRESET|OPS", help="the baseline's (default %(default)s)")


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the baseline and its variants, seed by seed."""
    base = recipes.sized(options.model, options.width), recipes.split_calls(options.augment)
    return recipes.runs(
        options, variants(*base), model=base[0], augment=base[1], optimizer=options.optimizer,
        learning_rate=options.learning_rate, schedule=options.schedule, dropout=0.0,
    )  # fmt: skip


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Draw test accuracies against the baseline's; nothing without the baseline or another run."""
    compared = tuning.study_page.Ranking.of(results, BASELINE).compared
    if compared is None or BASELINE not in compared.index or len(compared) < 2:
        return {}
    points = 100 * compared.drop(index=BASELINE)[["difference", "difference_half"]]
    points = points.rename(columns={"difference_half": "half"})
    label = f"points of test accuracy against the baseline's {100 * compared.loc[BASELINE, 'accuracy']:.1f} %"
    figure = reports.figures.differences(points, label, "mean over seeds, 95 % intervals")
    return {"charts": [("What each regularizer changes", figure)]}


DEFAULTS = {**commandline.BUILT_IN, "space": "rate,schedule"}
STUDY = commandline.Study(
    "vgg_regularizer_sweep", "VGG regularizer study", __doc__, configs, report, add_arguments, DEFAULTS
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
