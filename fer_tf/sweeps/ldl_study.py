"""The study of soft targets: which targets there are, how networks are trained on them, and what is reported."""

import argparse
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import callstring
from fer_tf.datasets import DATASETS
from fer_tf.errors import UserError
from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from fer_tf.facetable import FaceTable
    from fer_tf.sweeps.runner import Result

OPINIONS, TABLE = "opinions.json", "ldl.csv"
BASELINE = "majority"
MEASURES = ("chebyshev", "clark", "canberra", "kl", "cosine", "intersection", "entropy_correlation", "named")


@dataclass(frozen=True)
class Target:
    """What a network is taught.

    Attributes:
        options: of the dataset.
        loss: call string.
        paper: test accuracy in percent of the full VGG13, arXiv 1608.01041.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross_entropy"
    paper: float | None = None


SOFT = {"mode": "cross_entropy"}
# From hard to soft. KL differs from cross-entropy by the targets' entropy, which no weight changes: the same gradients,
# so that its distance from cross-entropy shows how much rounding alone moves a result.
TARGETS: Mapping[str, Target] = {
    "fer2013 label": Target({**SOFT, "labels": "fer2013"}),
    BASELINE: Target({"mode": "majority"}, paper=83.852),
    "majority smoothed": Target({"mode": "majority"}, "cross_entropy(label_smoothing=0.1)"),
    "most votes": Target({**SOFT, "temperature": 0}),
    "multi-target": Target({"mode": "multi_target"}, "multi_target", 83.966),
    "sharpened": Target({**SOFT, "temperature": 0.5}),
    "probability": Target({"mode": "probability"}, paper=84.986),
    "cross-entropy": Target(SOFT, paper=84.716),
    "kl": Target(SOFT, "kl"),
    "jensen-shannon": Target(SOFT, "jensen_shannon"),
}


def recipe(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return how a network is trained, the same for all targets: keywords of ``RunConfig``."""
    epochs = options.epochs
    warmup = f"warmup_cosine(warmup={min(2, epochs / 10):g})"
    if options.recipe == "adamw":
        rate = {"optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.05, "schedule": warmup}
        return {**rate, "augment": ("ferplus",)}
    if callstring.parse(model)[0] == "vgg13":
        # The paper's framework multiplies gradients by 1 − momentum; its rates fell after 20 and 40 of 100 epochs.
        drops = (max(1, round(0.2 * epochs)), max(1, round(0.4 * epochs)))
        rate = {"optimizer": "sgd(momentum=0.9)", "learning_rate": 0.05}
        return {**rate, "schedule": f"ferplus(drops={drops}, scale=0.1)", "augment": ("ferplus",)}
    rate = {"optimizer": "nesterov", "learning_rate": 0.05, "l2": 5e-4, "schedule": warmup}
    return {**rate, "augment": ("ferplus",)}


RECIPES = ("own", "adamw")


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return a run for every network and target, seed by seed."""
    if options.loss:
        raise UserError(f"--loss {options.loss}: every target has its own loss. Choose targets by --only.")
    name, keywords = callstring.parse(options.dataset)
    given = sorted({"mode", "evaluation", "labels", "temperature"} & keywords.keys())
    if given:
        raise UserError(f"--dataset {options.dataset}: the study sets {given[0]!r} itself. Leave it out.")
    if "leaks" in inspect.signature(DATASETS[name].load()).parameters:
        keywords = {"leaks": options.leaks, **keywords}
    settings = commandline.shared_settings(options)
    models = [commandline.sized(part.strip(), options.width) for part in options.model.split(";") if part.strip()]
    runs = [
        RunConfig(
            **{
                **settings,
                **recipe(model, options),
                "name": f"{callstring.parse(model)[0]} {target}",
                "model": model,
                "dropout": options.dropout,
                "dataset": callstring.render(name, {**keywords, **what.options}),
                "loss": what.loss,
            }
        )
        for model in models
        for target, what in TARGETS.items()
    ]
    return commandline.over_seeds(runs, options.seeds)


def parts(config: RunConfig) -> tuple[str, str]:
    """Return network and target of a run."""
    network, target = config.name.removesuffix(f"-seed{config.seed}").split(" ", 1)
    return network, target


def opinions_table(config: RunConfig) -> "FaceTable":
    """Return the test faces with distributions: the same for the runs of all targets."""
    from fer_tf.training.tables import load_tables

    name, keywords = callstring.parse(config.dataset)
    rest = {k: v for k, v in keywords.items() if k not in ("mode", "labels", "temperature")}
    wide = callstring.render(name, {**rest, "evaluation": "cross_entropy"})
    return load_tables(replace(config, dataset=wide))["test"]


def opinions(result: "Result", table: "FaceTable") -> dict[str, Any]:
    """Return a run's scores against the taggers, computed once for a network and a table."""
    from fer_tf import evaluation, models
    from fer_tf.io import atomic
    from fer_tf.training.run import MODEL, read_json

    model, path = result.folder / MODEL, result.folder / OPINIONS
    of = table.digest(("votes",)) + hashlib.blake2b(model.read_bytes(), digest_size=8).hexdigest()
    known = read_json(path)
    if known is None or known["of"] != of:
        config = result.config
        logits = evaluation.logits(models.load_model(model), table.images, view=config.view, crop=config.crop)
        known = {"of": of, "scores": evaluation.distribution_scores(logits, table)}
        atomic.write_json(path, known)
    return known["scores"]


def runs_table(results: "Sequence[Result]", table: "FaceTable") -> "pd.DataFrame":
    """Return a row a run: network, target, seed, scores on both sets of test faces; accuracies in percent."""
    import pandas as pd

    rows = []
    for result in results:
        network, target = parts(result.config)
        test, told = result.metrics["test"], opinions(result, table)
        rows.append(
            {
                "network": network, "target": target, "seed": result.config.seed,
                "val_accuracy": 100 * result.metrics["val_accuracy"], "accuracy": 100 * test["accuracy"],
                "macro_f1": 100 * test["macro_f1"], "ece": test["ece"], "faces": test["faces"],
                **{name: told[name] for name in MEASURES}, "distribution_faces": told["faces"],
            }
        )  # fmt: skip
    return pd.DataFrame(rows).astype({"entropy_correlation": float})


def summary(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Return a row a network and target, from hard to soft: means, standard deviations, and the gain over majority.

    ``gain`` is the difference of mean accuracies in points, ``pooled_sd`` the root of the two variances' mean: a gain
    below it is none.
    """
    import pandas as pd

    groups = runs.groupby(["network", "target"], sort=False)
    mean = groups[["accuracy", "macro_f1", "ece", "val_accuracy", *MEASURES]].mean()
    sd = groups[["accuracy", "macro_f1", "ece", *MEASURES]].std(ddof=1).add_suffix("_sd")
    table = pd.concat([groups.size().rename("seeds"), mean, sd], axis=1)
    table["paper"] = [TARGETS[target].paper for _, target in table.index]
    networks = list(dict.fromkeys(runs["network"]))
    for network in networks:
        rows = table.index.get_level_values("network") == network
        if (network, BASELINE) in table.index:
            base = table.loc[(network, BASELINE)]
            table.loc[rows, "gain"] = table.loc[rows, "accuracy"] - base["accuracy"]
            variance = (table.loc[rows, "accuracy_sd"] ** 2 + base["accuracy_sd"] ** 2) / 2
            table.loc[rows, "pooled_sd"] = variance**0.5
    return table.loc[[(n, t) for n in networks for t in TARGETS if (n, t) in table.index]]


def charts(table: "pd.DataFrame", faces: int, distribution_faces: int) -> "list[tuple[str, Figure]]":
    """Return the figures: accuracy, and how much of the taggers' distributions is foreseen."""
    from fer_tf.reports import figures

    def of(column: str, factor: float) -> "tuple[pd.DataFrame, pd.DataFrame]":
        wide = [factor * table[c].unstack("network", sort=False) for c in (column, f"{column}_sd")]
        return tuple(w.reindex([t for t in TARGETS if t in w.index]) for w in wide)

    published = {target: what.paper for target, what in TARGETS.items() if what.paper is not None}
    return [
        (
            "Accuracy by target",
            figures.dots(*of("accuracy", 1), f"accuracy on the {faces:,} test faces with a majority, %", BASELINE,
                         published, "full VGG13, arXiv 1608.01041"),
        ),
        (
            "Closeness to the taggers",
            figures.dots(*of("intersection", 100), "share of the taggers' distribution foreseen, %, on "
                         f"{distribution_faces:,} test faces", BASELINE),
        ),
    ]  # fmt: skip


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Write ``ldl.csv``, the page and its figures, and the winner."""
    from fer_tf.io import atomic
    from fer_tf.sweeps import study_page

    finished = [r for r in results if r.metrics]
    if not finished:
        return study_page.write(results, out, "Soft targets", lambda _: [])
    runs = runs_table(finished, opinions_table(finished[0].config))
    table = summary(runs)
    with atomic.atomic_write(out / TABLE) as part:
        table.to_csv(part)
    pictures = charts(table, int(runs["faces"].iloc[0]), int(runs["distribution_faces"].iloc[0]))
    shown = ["seeds", "accuracy", "accuracy_sd", "gain", "pooled_sd", "paper", "macro_f1", "ece", *MEASURES]
    tables = [("By target", table.reindex(columns=shown).reset_index())]
    return [*study_page.write(results, out, "Soft targets", lambda _: pictures, tables), out / TABLE]
