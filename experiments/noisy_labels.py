"""Compare Self-Cure Network and plain training under wrong labels.

  python experiments/noisy_labels.py --quick                             built-in faces, two epochs
  python experiments/noisy_labels.py --dataset fer2013 --data DIR --seeds 0,1,2

A share of the training labels (0, 10, 20, 30 %) is replaced by another class. The same network is trained plain, as SCN
without relabeling, and as SCN with it (arXiv 2002.10392). Relabel precision is the share of the relabeled faces whose
new label is the one before the noise. On FER2013 (12,000 faces, 6 epochs, 4 to 6 minutes a run on busy cores) SCN is
2.7 to 4.1 points worse at every rate: it relabels too early. Figures: experiments/results/noisy_labels.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fer_tf import reports, training, tuning
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

RATES = (0.0, 0.1, 0.2, 0.3)


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return every way at every rate of noise."""
    start = max(2, round(options.epochs * options.relabel_from))
    ways = {
        "plain": "classification", "rank only": f"scn(margin=0.07, relabel_from={options.epochs + 1})",
        "scn": f"scn(margin=0.07, relabel_from={start}, scope={options.scope!r})",
    }  # fmt: skip
    noisy = {
        f"{way} {rate:.0%}": {"objective": objective, "label_noise": rate}
        for rate in RATES
        for way, objective in ways.items()
    }
    recipe = {"optimizer": "adam", "learning_rate": options.learning_rate, "l2": 1e-4, "augment": ("light",)}
    model = recipes.sized(options.model, options.width)
    return recipes.runs(options, noisy, model=model, schedule="exponential(factor=0.9)", **recipe)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    recipes.add_learning_rate(group, 0.001, "Adam")
    group("--relabel-from", type=float, default=0.5, metavar="SHARE",
          help="relabel after this share of the epochs; SCN: 10 of 70 (default %(default)s)")  # fmt: skip
    group("--scope", default="all", help="relabel faces of all weights, or of the low group only (default %(default)s)")


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Tabulate and draw accuracy by rate of noise."""
    import pandas as pd

    from fer_tf.training.objectives.networks import relabel_precision

    measures = ["test_accuracy", "val_accuracy", "relabeled", "relabel_precision"]
    rows = [
        {
            "way": r.config.name.split("%")[0].rsplit(" ", 1)[0], "rate": r.config.label_noise,
            "test_accuracy": r.metrics["test"]["accuracy"], "val_accuracy": r.metrics["val_accuracy"],
            **relabel_precision(r.folder, training.load_tables(replace(r.config, label_noise=0.0))["train"]),
        }
        for r in results
    ]  # fmt: skip
    runs = pd.DataFrame(rows, columns=["way", "rate", *measures])
    table = reports.significance.over_seeds(runs, ["rate", "way"], measures)
    mean, error = (100 * table[c].unstack("way") for c in ("test_accuracy", "test_accuracy_sem"))
    mean.index = error.index = 100 * mean.index
    figure = reports.figures.lines(mean, "wrong training labels, %", "accuracy on test, %", error)
    table = table.rename(columns={"test_accuracy_sem": "standard_error"}).reset_index()
    return {
        "charts": [("Accuracy under label noise", figure)], "tables": [("By rate", table)],
        "files": {"noise.csv": table},
    }  # fmt: skip


STUDY = commandline.Study(
    "noisy_labels", "Noisy labels", __doc__, configs, report, add_arguments=add_arguments,
    defaults={"model": "scn(depth=1, stem='strided')", "width": 0.25, "epochs": 10, "crop": 44},
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
