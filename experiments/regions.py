"""Compare Region Attention Network and its backbone under occlusion.

  python experiments/regions.py --quick                                 built-in faces, two epochs
  python experiments/regions.py --dataset fer2013 --data DIR --seeds 0,1,2

RAN (arXiv 1905.04075) and a plain network of the same backbone are trained alike, then scored on the test faces as they
are and as fer_tf.robustness covers them at severity 3: eyes, mouth, and a random fifth of the picture. On 8,000 FER2013
faces in 4 epochs (1.5 minutes for the backbone, 6 for each RAN, one core) RAN is 4 to 5 points better on whole faces,
and loses more by covers. Figures: experiments/results/regions.md.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from fer_tf import evaluation, models, registry, reports, robustness, training, tuning
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

COVERS, SEVERITY = ("eyes", "mouth", "patch"), 3


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the plain network and RAN in both forms of attention."""
    backbone = {"width": options.width, "depth": 1, "stem": "strided"}
    ways = {"plain": {"model": registry.render("resnet18", backbone), "objective": "classification"}}
    for attention in ("sigmoid", "softmax"):
        keywords = {**backbone, "region_size": options.region_size, "attention": attention}
        ways[f"ran {attention}"] = {"model": registry.render("ran", keywords), "objective": "ran"}
    return recipes.runs(options, ways, **recipes.adamw(options))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    recipes.add_learning_rate(group, 0.002)
    group("--region-size", type=int, default=32, metavar="PX", help="side of RAN's regions (default %(default)s)")


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Score every network on covered faces."""
    import pandas as pd

    test, rows = training.load_tables(results[0].config)["test"], []
    images = {what: robustness.corrupt(test.images, what, SEVERITY, ids=test.ids) for what in COVERS}
    for result in results:
        network, config = models.load_model(result.folder / "model.keras"), result.config
        rows.append({"network": tuning.runner.setting_name(config), "seed": config.seed})
        for what, faces in {"nothing": test.images, **images}.items():
            rows[-1][what] = evaluation.scores(evaluation.logits(network, faces, crop=config.crop), test)["accuracy"]
    table = pd.DataFrame(rows)
    mean, title = table.groupby("network", sort=False).mean().drop(columns="seed"), "Accuracy with parts covered"
    return {
        "charts": [(title, reports.figures.accuracy_grid(mean, "accuracy on test by what is covered, %"))],
        "tables": [(f"{title}, %", (100 * mean).reset_index())], "files": {"occlusion.csv": table},
    }  # fmt: skip


STUDY = commandline.Study(
    "regions", "Regions under occlusion", __doc__, configs, report, add_arguments=add_arguments,
    defaults={"width": 0.25, "epochs": 10, "crop": 44},
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
