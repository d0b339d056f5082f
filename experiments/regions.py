"""Does looking at regions help where a face is covered? Region Attention Network against the same trunk alone.

  python experiments/regions.py --quick                                 built-in faces, two epochs
  python experiments/regions.py --dataset fer2013 --data DIR --seeds 0,1,2

RAN (arXiv 1905.04075) and a plain network of the same trunk are trained alike, then scored on the test faces as they
are and as fer_tf.robustness covers them at severity 3: a gray band over the eyes, one over the mouth, and a rectangle
over a drawn fifth of the picture (the same for every network).

Writes results.csv, occlusion.csv, report.html. Figures: experiments/results/regions.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_tf import callstring
from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    import numpy as np

    from fer_tf.facetable import FaceTable
    from fer_tf.sweeps.runner import Result

# What is covered, and at which severity of the robustness benchmark: bands over the eyes and the mouth of FER2013's
# faces, and a drawn rectangle of a fifth of the picture.
COVERS = {"eyes": 3, "mouth": 3, "patch": 3}


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return the plain network and RAN in both forms of attention."""
    settings = commandline.shared_settings(options)
    trunk = {"width": options.width, "depth": 1, "stem": "strided"}
    ran = {**trunk, "region_size": options.region_size}
    networks = {
        "plain": (callstring.render("resnet18", trunk), "classification"),
        "ran sigmoid": (callstring.render("ran", {**ran, "attention": "sigmoid"}), "ran"),
        "ran softmax": (callstring.render("ran", {**ran, "attention": "softmax"}), "ran"),
    }
    runs = [
        RunConfig(
            name=name, model=model, objective=objective, optimizer="adamw", learning_rate=options.learning_rate,
            weight_decay=0.05, schedule=f"warmup_cosine(warmup={min(1, options.epochs / 10):g})", augment=("light",),
            **settings,
        )
        for name, (model, objective) in networks.items()
    ]  # fmt: skip
    return commandline.over_seeds(runs, options.seeds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    group("--learning-rate", type=float, default=0.002, help="of AdamW (default %(default)s)")
    group("--region-size", type=int, default=32, metavar="PX", help="side of RAN's regions (default %(default)s)")


def covered(table: "FaceTable", what: str) -> "np.ndarray":
    """Return uint8 images (N, H, W, C) with a gray patch over ``what`` of each face, the same in every call."""
    from fer_tf.robustness import corrupted

    return corrupted(table.images, what, COVERS[what], ids=table.ids) if what in COVERS else table.images


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Score every network on covered faces; write the table, the page and the winner."""
    import pandas as pd

    from fer_tf import evaluation, models
    from fer_tf.io import atomic
    from fer_tf.sweeps import study_page
    from fer_tf.training.tables import load_tables

    finished = [r for r in results if r.metrics]
    test = load_tables(finished[0].config)["test"] if finished else None
    rows = []
    for result in finished:
        network, config = models.load_model(result.folder / "model.keras"), result.config
        row = {"network": config.name.removesuffix(f"-seed{config.seed}"), "seed": config.seed}
        for what in ("nothing", *COVERS):
            logits = evaluation.logits(network, covered(test, what), crop=config.crop)
            row[what] = evaluation.scores(logits, test)["accuracy"]
        rows.append(row)
    with atomic.atomic_write(out / "occlusion.csv") as part:
        pd.DataFrame(rows).to_csv(part, index=False)
    return [*study_page.write(results, out, "Regions under occlusion", lambda _: _charts(rows)), out / "occlusion.csv"]


def _charts(rows: list[dict]) -> list:
    import pandas as pd

    from fer_tf.reports import figures

    table = pd.DataFrame(rows).groupby("network", sort=False).mean().drop(columns="seed")
    return [("Accuracy with parts covered", figures.accuracy_grid(table, "accuracy on test by what is covered, %"))]


STUDY = commandline.Study(
    name="regions",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"width": 0.25, "epochs": 10, "crop": 44},
)

if __name__ == "__main__":
    commandline.main(STUDY)
