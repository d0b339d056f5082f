"""Compare FER+'s target modes and other targets on the same faces.

  python experiments/ldl_study.py --quick                                       drawn faces, two epochs
  python experiments/ldl_study.py --dataset ferplus --data DIR --seeds 0,1,2 --width 0.25 --epochs 20 --batch-size 128
  python experiments/ldl_study.py --dataset ferplus --data DIR --seeds 0,1,2 --model vgg13 --width 1 --size 64 \\
      --epochs 100 --batch-size 128 --leaks keep                                the paper's own size: for a GPU

Targets go from FER2013's one label to the votes. The epoch is chosen, and accuracy measured, on the faces with a
majority, the same for all; distribution measures are of the test faces that cross-entropy mode keeps. Copies of later
splits are left out of training (--leaks; the paper kept them). The paper (arXiv 1608.01041) with the full VGG13:
majority 83.852, multi-target 83.966, probability 84.986, cross-entropy 84.716. ResNet-10 at a quarter of its width in 3
epochs (3 minutes a run): 64.8, 64.8, 63.0, 64.9. Figures: experiments/results/ldl_study.md.
"""

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fer_tf import evaluation, registry, reports, training, tuning
from fer_tf.datasets import DATASETS
from fer_tf.datasets.splits import LEAKS
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.training.config import RunConfig
from fer_tf.tuning import commandline, recipes

if TYPE_CHECKING:
    import pandas as pd

BASELINE, SOFT = "majority", {"mode": "cross_entropy"}
# Options of the dataset, loss, and the paper's test accuracy in percent. KL differs from cross-entropy by the targets'
# entropy, which no weight changes: its distance from cross-entropy shows how much rounding alone moves a result.
TARGETS: dict[str, tuple[dict[str, Any], str, float | None]] = {
    "fer2013 label": ({**SOFT, "labels": "fer2013"}, "cross_entropy", None),
    BASELINE: ({"mode": "majority"}, "cross_entropy", 83.852),
    "majority smoothed": ({"mode": "majority"}, "cross_entropy(label_smoothing=0.1)", None),
    "most votes": ({**SOFT, "temperature": 0}, "cross_entropy", None),
    "multi-target": ({"mode": "multi_target"}, "multi_target", 83.966),
    "sharpened": ({**SOFT, "temperature": 0.5}, "cross_entropy", None),
    "probability": ({"mode": "probability"}, "cross_entropy", 84.986),
    "cross-entropy": (SOFT, "cross_entropy", 84.716),
    "kl": (SOFT, "kl", None),
    "jensen-shannon": (SOFT, "jensen_shannon", None),
}
MEASURES = ("chebyshev", "clark", "canberra", "kl", "cosine", "intersection", "entropy_correlation", "named")


def recipe(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return how a network is trained, the same for all targets: keywords of ``RunConfig``."""
    epochs = options.epochs
    usual = {"schedule": recipes.warmup_cosine(epochs, 2), "augment": ("ferplus",)}
    if options.recipe == "adamw":
        return {**usual, "optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.05}
    if registry.parse(model)[0] != "vgg13":
        return {**usual, "optimizer": "nesterov", "learning_rate": 0.05, "l2": 5e-4}
    # The paper's framework multiplies gradients by 1 − momentum; its rates fell after 20 and 40 of 100 epochs.
    drops = (max(1, round(0.2 * epochs)), max(1, round(0.4 * epochs)))
    usual["schedule"] = f"ferplus(drops={drops}, scale=0.1)"
    return {**usual, "optimizer": "sgd(momentum=0.9)", "learning_rate": 0.05}


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return a run for every network and target, seed by seed."""
    if options.loss:
        raise UserError(f"--loss {options.loss}: every target has its own loss. Choose targets by --only.")
    name, keywords = registry.parse(options.dataset)
    given = sorted({"mode", "evaluation", "labels", "temperature"} & keywords.keys())
    if given:
        raise UserError(f"--dataset {options.dataset}: the study sets {given[0]!r} itself. Leave it out.")
    if "leaks" in inspect.signature(DATASETS[name].load()).parameters:
        keywords = {"leaks": options.leaks, **keywords}
    models = [recipes.sized(part, options.width) for part in recipes.split_calls(options.model)]
    variants = {
        f"{registry.parse(model)[0]} {target}": {
            **recipe(model, options), "model": model, "loss": loss,
            "dataset": registry.render(name, {**keywords, **mode}),
        }
        for model in models for target, (mode, loss, _) in TARGETS.items()
    }  # fmt: skip
    return recipes.runs(options, variants, dropout=options.dropout)


def voted_faces(config: RunConfig) -> FaceTable:
    """Load the test faces with distributions: the same for the runs of all targets."""
    name, keywords = registry.parse(config.dataset)
    rest = {k: v for k, v in keywords.items() if k not in ("mode", "labels", "temperature")}
    wide = registry.render(name, {**rest, "evaluation": "cross_entropy"})
    return training.load_tables(replace(config, dataset=wide))["test"]


def scored(result: "tuning.runner.Result", faces: FaceTable) -> dict[str, Any]:
    """Return a run's row: network, target, seed, scores on both sets of test faces; accuracies in percent."""
    config, test = result.config, result.metrics["test"]

    def score(model: Any) -> dict[str, Any]:
        logits = evaluation.logits(model, faces.images, view=config.view, crop=config.crop)
        return evaluation.distribution_scores(logits, faces)

    votes = tuning.runner.scored_once(result, "opinions.json", faces.digest(("votes",)), score)
    network, target = tuning.runner.setting_name(config).split(" ", 1)
    return {
        "network": network, "target": target, "seed": config.seed, "val_accuracy": 100 * result.metrics["val_accuracy"],
        "accuracy": 100 * test["accuracy"], "macro_f1": 100 * test["macro_f1"], "ece": test["ece"],
        **{name: votes[name] for name in MEASURES},
    }  # fmt: skip


def summary(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Return a row a network and target, from hard to soft: means, deviations over seeds, gain over the majority."""
    measures = ["accuracy", "macro_f1", "ece", "val_accuracy", *MEASURES]
    table = reports.significance.gains(reports.significance.over_seeds(runs, ["network", "target"], measures), BASELINE)
    table["paper"] = [TARGETS[target][2] for _, target in table.index]
    return table.loc[[(n, t) for n in dict.fromkeys(runs["network"]) for t in TARGETS if (n, t) in table.index]]


def report(results: "Sequence[tuning.runner.Result]", options: argparse.Namespace) -> dict[str, Any]:
    """Score the runs on the votes; tabulate and draw means by target."""
    import pandas as pd

    faces = voted_faces(results[0].config)
    runs = pd.DataFrame([scored(result, faces) for result in results]).astype({"entropy_correlation": float})
    table = summary(runs)

    def dots(column: str, factor: float, title: str, *beside: Any) -> Any:
        wide = [factor * table[c].unstack("network", sort=False) for c in (column, f"{column}_sd")]
        wide = [w.reindex([t for t in TARGETS if t in w.index]) for w in wide]
        return reports.figures.dots(*wide, title, BASELINE, *beside)

    count, source = results[0].metrics["test"]["faces"], "arXiv 1608.01041"
    published = {target: paper for target, (*_, paper) in TARGETS.items() if paper}
    accuracy = f"accuracy on the {count:,} test faces with a majority, %"
    closeness = f"share of the votes' distribution predicted, %, {len(faces):,} test faces"
    shown = ["seeds", "accuracy", "accuracy_sd", "gain", "pooled_sd", "paper", "macro_f1", "ece", *MEASURES]
    return {
        "charts": [
            ("Accuracy by target", dots("accuracy", 1, accuracy, published, f"full VGG13, {source}")),
            ("Closeness to the votes", dots("intersection", 100, closeness)),
        ],
        "tables": [("By target", table.reindex(columns=shown).reset_index())],
        "files": {"ldl.csv": table.reset_index()},
        "published": {f"vgg13 {target}": f"{paper} ({source})" for target, paper in published.items()},
    }  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("recipe").add_argument
    group("--recipe", choices=("own", "adamw"), default="own",
          help="each network's own (VGG13: the paper's, scaled to --epochs) or AdamW; default %(default)s")  # fmt: skip
    group("--dropout", type=float, metavar="RATE", help="default: the network's own")
    group("--leaks", choices=LEAKS, default="drop",
          help="training faces of which a later split has a copy (default %(default)s)")  # fmt: skip


DEFAULTS = {"model": "vgg13; resnet10", "width": 0.25, "epochs": 12, "crop": 0, "batch_size": 32}
STUDY = commandline.Study(
    "ldl_study", "Soft targets", __doc__, configs, report, add_arguments, {"dataset": "synthetic_ferplus", **DEFAULTS}
)

if __name__ == "__main__":
    commandline.main(STUDY)
