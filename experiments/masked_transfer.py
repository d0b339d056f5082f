"""Fine-tune on masked faces, and score plain, masked and cut ones.

  python experiments/masked_transfer.py --quick                                       drawn faces, a minute
  fer-tf landmarks DIR/fer2013.csv points.csv --dataset fer2013       FER2013's points, once
  python experiments/masked_transfer.py --dataset fer2013 --data DIR --landmarks points.csv --epochs 3
  python experiments/masked_transfer.py --dataset lfwfer --data DIR                   the LFW-FER release

A trained network gets a new last layer of three classes, positive, neutral and negative, and is fine-tuned: on faces as
they are, on masked ones, on both, and on those cut off below the eyes. Beside them stands the network as it was, its
probabilities added up. LFW-FER has the three parts. Of other datasets the classes are converted by name, without
surprise, and masks drawn by 68 landmarks. The LFW-FER study reports 86.6 to 87.6 % on plain faces, 38.6 to 57.2 on
masked, 71.5 to 76.9 on cut ones, of other faces than these. Figures: experiments/results/masked_transfer.md.
"""

import argparse
import functools
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf import evaluation, metrics, models, registry, reports, training, tuning
from fer_tf.datasets import DATASETS
from fer_tf.errors import UserError
from fer_tf.faces import masks
from fer_tf.facetable import FaceTable
from fer_tf.labels import LFWFER, convert
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

if TYPE_CHECKING:
    import keras
    import pandas as pd

# What a way of fine-tuning learns from, by name.
WAYS = {"clean": "plain", "masked": "masked", "both": "both", "cut": "cut"}
TESTED, AS_IT_WAS = ("plain", "masked", "cut"), "as it was"
# Accuracies in percent that the original study tells of its five networks.
ORIGINAL = {
    "network": ("enet_b0_7", "enet_b0_8_best_afew", "enet_b0_8_best_vgaf", "enet_b0_8_va_mtl", "enet_b2_8"),
    "LFW-FER": (87.47, 87.38, 86.60, 87.64, 87.47),
    "M-LFW-FER": (38.61, 41.56, 57.23, 47.10, 56.10),
    "M-LFW-FER-face-cut": (71.48, 76.59, 75.52, 76.83, 76.92),
}


@functools.cache
def started(model: str) -> "tuple[Path, keras.Model]":
    """Return file and network that the runs begin from."""
    path = models.weights_path(model).absolute()
    network = models.load_model(path)
    if not models.metadata_of(network).model:
        raise UserError(f"{path} does not say how its network is built. Expected a file that a study here wrote.")
    return path, network


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return a run for every kind of training faces."""
    path, network = started(options.model)
    ways = {}
    for way, part in WAYS.items():
        # As many steps for all: of both there are twice as many faces.
        epochs = (options.epochs + 1) // 2 if part == "both" else options.epochs
        own = {"epochs": epochs, "schedule": recipes.warmup_cosine(epochs)}
        ways[way] = {**faces_of(options, part, "both"), **own}
    return recipes.runs(
        options, ways, start=str(path), model=network.metadata.model, crop=network.input_shape[1],
        image_size=network.metadata.face_size,
        landmarks=str(Path(options.landmarks).absolute()) if options.landmarks else None, **recipes.adamw(options),
    )  # fmt: skip


def faces_of(options: argparse.Namespace, train: str, evaluation: str) -> dict[str, str | None]:
    """Return dataset and cover, as a run's settings, of faces in three classes that wear what is asked for."""
    network = started(options.model)[1]
    name, keywords = registry.parse(options.dataset)
    known = {"label_set": "lfwfer", "size": network.metadata.face_size, "channels": network.input_shape[-1]}
    parameters = inspect.signature(DATASETS[name].load()).parameters
    keywords = {**{k: v for k, v in known.items() if k in parameters}, **keywords}
    if name == "lfwfer":
        return {"dataset": registry.render(name, {**keywords, "part": train, "evaluation": evaluation})}
    cover = {"train": train, "evaluation": evaluation, "kind": options.kind, "enlarge": options.enlarge}
    return {"dataset": registry.render(name, keywords), "cover": registry.render("cover", cover)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("network and masks").add_argument
    group("--model", default="default", metavar="FILE", help="a .keras file (default: the shipped network)")
    recipes.add_learning_rate(group, 0.0005)
    group("--landmarks", metavar="CSV", help="what fer-tf landmarks wrote; drawn faces have their own")
    group("--kind", default="random", help="of masks: surgical, cloth, n95, or random for each (default %(default)s)")
    group("--enlarge", action="store_true", help="stretch what is left of cut faces over the picture")


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Score every network on every part; print and tabulate the scores beside the original ones."""
    import pandas as pd

    config = results[0].config
    faces = {p: training.load_tables(replace(config, **faces_of(options, "plain", p)))["test"] for p in TESTED}
    rows = [scored(AS_IT_WAS, None, started(options.model)[1], faces)]
    for result in results:
        network = models.load_model(result.folder / "model.keras")
        rows.append(scored(tuning.runner.setting_name(result.config), result.config.seed, network, faces))
    table, original = pd.DataFrame(rows).astype({"seed": "Int64"}), pd.DataFrame(ORIGINAL)
    shown = table.round(2)
    mean = table.groupby("fine-tuned on", sort=False)[list(TESTED)].mean() / 100
    figure = reports.figures.accuracy_grid(mean, "accuracy on test by what the faces wear, %")
    print(shown.to_string(index=False), end="\n\n")
    print(f"Another dataset, LFW-FER, as the original study reports:\n{original.to_string(index=False)}\n")
    return {
        "charts": [("Accuracy by mask", figure)],
        "tables": [
            ("Accuracy and macro-F1 in percent", shown), ("Faces that masks can be drawn on", counted(config)),
            ("Another dataset: what the original study reports on LFW-FER", original),
        ],
        "files": {"masked.csv": table},
    }  # fmt: skip


def counted(config: RunConfig) -> "pd.DataFrame":
    """Return a row a split: how many faces there are, and how many of them are left out for lack of landmarks."""
    import pandas as pd

    tables = training.load_tables(replace(config, cover=None))
    lost = {s: 0 if config.cover is None else int((~masks.wearable(t.landmarks)).sum()) for s, t in tables.items()}
    return pd.DataFrame([{"split": s, "faces": len(t), "left out": lost[s]} for s, t in tables.items()])


def scored(name: str, seed: int | None, network: "keras.Model", faces: dict[str, FaceTable]) -> dict[str, Any]:
    """Return a row: a network on every part, in percent."""
    row = {"fine-tuned on": name, "seed": seed}
    for part, table in faces.items():
        logits = np.log(np.maximum(merged(evaluation.logits(network, table.images), network), 1e-12))
        found = evaluation.scores(logits, table)
        row |= {part: 100 * found["accuracy"], f"{part} F1": 100 * found["macro_f1"]}
    return row


def merged(logits: np.ndarray, network: "keras.Model") -> np.ndarray:
    """Add probabilities (N, C) up to those of the three classes, float64 (N, 3), without those of other classes."""
    classes = network.metadata.label_set
    if classes.classes == LFWFER.classes:
        return metrics.softmax(logits)
    rows, kept = convert(np.eye(len(classes)), classes, LFWFER)
    return metrics.softmax(logits)[:, kept] @ rows


STUDY = commandline.Study(
    "masked_transfer", "Expressions under masks", __doc__, configs, report, add_arguments,
    {"epochs": 4, "crop": 0, "size": None, "width": 1.0}, without=("--model", "--width", "--size", "--crop"),
)  # fmt: skip

if __name__ == "__main__":
    commandline.main(STUDY)
