"""Define the regularizer study."""

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import registry
from fer_tf.models import MODELS
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fer_tf.tuning.results import Result

BASELINE = "baseline"
# Variants that only a network with this keyword has.
MODEL_KEYWORDS = {"spatial dropout 0.1": "spatial_dropout", "no batch-norm": "batch_norm"}


def variants(base: RunConfig) -> list[RunConfig]:
    """Return the baseline and its variants; each differs from it in what its name says and in nothing else.

    The kernels' L1 and L2 penalties are part of the loss; coupled decay pulls at every variable through the gradient
    (torch's ``weight_decay``); decoupled decay goes past the gradient and is scaled by the learning rate (AdamW's).

    Args:
        base: the baseline: batch-norm on, no dropout, no decay, no smoothing.
    """
    changes = {
        BASELINE: {},
        "dropout 0.2": {"dropout": 0.2},
        "dropout 0.5": {"dropout": 0.5},
        "spatial dropout 0.1": {"model": _with(base.model, spatial_dropout=0.1)},
        "kernel L1 1e-5": {"kernel_l1": 1e-5},
        "kernel L2 1e-4": {"kernel_l2": 1e-4},
        "coupled decay 5e-4": {"l2": 5e-4},
        # Keras scales decoupled decay by the learning rate: this pulls as coupled decay of 5e-4 does with plain SGD.
        "decoupled decay 5e-4": {"weight_decay": 5e-4},
        "no batch-norm": {"model": _with(base.model, batch_norm=False)},
        "label smoothing 0.1": {"loss": "cross_entropy(label_smoothing=0.1)"},
        "augmentation none": {"augment": ()},
        "augmentation study": {"augment": ("study",)},
        "augmentation strong": {"augment": ("strong",)},
        "random erasing": {"augment": (*base.augment, "erasing(p=0.5)")},
        "MixUp 0.2": {"augment": (*base.augment, "mixup(alpha=0.2)")},
        "CutMix 1": {"augment": (*base.augment, "cutmix(alpha=1.0)")},
        "EMA 0.999": {"averaging": "ema(decay=0.999)"},
        "SWA last quarter": {"averaging": "swa(start=0.75)"},
        "clip global norm 1": {"global_clipnorm": 1.0},
        "clip value 0.1": {"clipvalue": 0.1},
        "SAM 0.05": {"sharpness": 0.05},
    }
    takes = inspect.signature(MODELS[registry.parse(base.model)[0]].load()).parameters
    missing = {name for name, keyword in MODEL_KEYWORDS.items() if keyword not in takes}
    return [replace(base, name=name, **change) for name, change in changes.items() if name not in missing]


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Write the study's page, figures and winner."""
    from fer_tf.tuning import study_page

    return study_page.write(results, out, "VGG regularizer study", charts)


def charts(results: "Sequence[Result]") -> "list[tuple[str, Figure]]":
    """Return the figure of test accuracies against the baseline's; none without the baseline or another run.

    Args:
        results: finished runs.
    """
    from fer_tf.reports import figures
    from fer_tf.tuning import study_page

    compared = study_page.Ranking.of(results, BASELINE).compared
    if compared is None or BASELINE not in compared.index or len(compared) < 2:
        return []
    points = 100 * compared.drop(index=BASELINE)[["difference", "difference_half"]]
    label = f"points of test accuracy against the baseline's {100 * compared.loc[BASELINE, 'accuracy']:.1f} %"
    figure = figures.differences(
        points.set_axis(["difference", "half"], axis=1), label, "mean over seeds, 95 % intervals"
    )
    return [("What each regularizer changes", figure)]


def _with(model: str, **keywords: object) -> str:
    name, given = registry.parse(model)
    return registry.render(name, {**given, **keywords})
