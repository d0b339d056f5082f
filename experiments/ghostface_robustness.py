"""Does augmentation keep light networks from memorizing wrong labels, and from revealing their training faces?

  python experiments/ghostface_robustness.py --quick                                built-in faces, two epochs
  KERAS_BACKEND=torch python experiments/ghostface_robustness.py --dataset fer2013 --data DIR --limit 600 --epochs 10

GhostFace (repaired, for faces of FER2013's size) and the shipped network's ResNet-10 are trained with no augmentation
(not even a random crop), RandAugment, MixUp, or both, while 0, 10 or 20 % of the training labels are made wrong;
validation and test keep theirs. Every run goes to its end, and no epoch is chosen (--keep). Of each run:

  accuracy, macro-F1   on test
  gap                  accuracy on the training faces with a right label, less that on test
  memorized            share of the wrong training labels that the network repeats; by chance: of wrong labels that
                       were put to test faces and on which it was never trained
  AUC, TPR, FP, FN     of a membership audit by loss (fer_tf.privacy): pairs of a face and its training label, against
                       test faces whose labels were made wrong alike; FP and FN at a threshold from the other half
  parameters, MACs     and what the networks save against --baselines, all at full width

On 600 FER2013 faces (24 runs, 19 minutes on one core): without augmentation the ResNet repeats 89 % of the wrong labels
and an attacker finds every member (AUC 0.997), with RandAugment 25 % and 0.76. No published figure of this setting.

Writes results.csv, robustness.csv (a row a run), sizes.csv, results.md, report.html, figures/ and winner.keras; each
run's folder has all four audits in examined.json. Figures: experiments/results/ghostface_robustness.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_tf import registry
from fer_tf.errors import UserError
from fer_tf.models import small_configuration
from fer_tf.training.config import KEPT, RunConfig
from fer_tf.tuning import commandline

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from fer_tf.tuning.runner import Result

MEASURES = (
    "accuracy", "macro_f1", "train_accuracy", "gap", "memorized", "memorized_by_chance", "auc", "auc_error",
    "auc_right_labels", "auc_wrong_labels", "tpr_at_1_percent", "balanced_accuracy", "fp", "fn",
)  # fmt: skip
# Shares that the pages show in percent, by the table in which they stand.
LEARNED = ("accuracy", "macro_f1", "train_accuracy", "gap", "memorized", "memorized_by_chance")
REVEALED = ("auc", "auc_right_labels", "auc_wrong_labels", "tpr_at_1_percent", "balanced_accuracy")


def augmentations(alpha: float) -> dict[str, tuple[str, ...]]:
    """Return the augmentations that are compared, by name."""
    rand, mixup = "randaugment(n=2, m=9)", registry.render("mixup", {"alpha": alpha})
    return {"none": (), "randaugment": (rand,), "mixup": (mixup,), "both": (rand, mixup)}


def networks(text: str, width: float | None = None) -> list[str]:
    """Return the call strings of ``--model`` or ``--baselines``: for faces of FER2013's size, at a width."""
    found = [small_configuration(part.strip()) for part in text.split(";") if part.strip()]
    return found if width is None else [commandline.sized(call, width) for call in found]


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return a run for every network, augmentation and share of wrong labels, seed by seed."""
    models, ways = networks(options.model, options.width), augmentations(options.alpha)
    variants = {
        f"{registry.parse(model)[0]} {name} {rate:.0%}": {"model": model, "augment": ops, "label_noise": rate}
        for rate in options.rates
        for model in models
        for name, ops in ways.items()
    }
    if len(variants) < len(options.rates) * len(models) * len(ways):
        raise UserError(f"--model {options.model}: two networks have the same name, or two rates round to one.")
    recipe = {**commandline.adamw(options), "averaging": options.averaging or None, "keep": options.keep}
    return commandline.runs(options, variants, **recipe)


def condition(config: RunConfig) -> tuple[str, str]:
    """Return network and augmentation of a run."""
    network, augmentation, _ = config.name.removesuffix(f"-seed{config.seed}").split(" ")
    return network, augmentation


def runs_table(results: "Sequence[Result]") -> "pd.DataFrame":
    """Return a row a run, shares from 0 to 1."""
    import pandas as pd

    from fer_tf import evaluation
    from fer_tf.models.complexity import count_macs
    from fer_tf.privacy.audit import flipped_labels, membership, memorization
    from fer_tf.progress import bar
    from fer_tf.training.run import ENVIRONMENT, read_json
    from fer_tf.tuning.results import scored_once
    from fer_tf.tuning.runner import TableCache

    load, rows = TableCache(), []

    def examine(network: "keras.Model", config: RunConfig) -> dict[str, Any]:
        faces = flipped_labels(load(replace(config, label_noise=0.0)), config.label_noise, config.seed)
        both = [evaluation.logits(network, table.images, crop=config.crop) for table in (faces.train, faces.test)]
        return {"macs": count_macs(network), **memorization(*both, faces), **membership(*both, faces)}

    with bar(len(results), "audits", "run") as ticks:
        for result in results:
            config, test = result.config, result.metrics["test"]
            digest = read_json(result.folder / ENVIRONMENT)["data_digest"]
            found = scored_once(result, "examined.json", digest, lambda network, c=config: examine(network, c))
            network, augmentation = condition(config)
            rows.append(
                {
                    "run": config.name, "network": network, "augmentation": augmentation,
                    "wrong_labels": config.label_noise, "seed": config.seed,
                    "best_epoch": result.metrics["best_epoch"], "val_accuracy": result.metrics["val_accuracy"],
                    "accuracy": test["accuracy"], "macro_f1": test["macro_f1"],
                    "parameters": result.metrics["parameters"], "macs": found["macs"], "members": found["members"],
                    **{name: found[name] for name in MEASURES if name in found},
                }
            )  # fmt: skip
            ticks.update()
    return pd.DataFrame(rows).astype(dict.fromkeys(MEASURES, float))


def summary(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Return a row a network, augmentation and share of wrong labels: means over seeds, deviations, standard errors."""
    from fer_tf.reports.significance import over_seeds

    measures = ["parameters", "macs", "members", *MEASURES]
    return over_seeds(runs, ["network", "augmentation", "wrong_labels"], measures).reset_index()


def readable(table: "pd.DataFrame") -> "list[tuple[str, pd.DataFrame]]":
    """Return ``summary`` in two tables with headings, shares in percent."""
    who = ["network", "augmentation", "wrong_labels"]
    shares = table.assign(**{name: 100 * table[name] for name in (*LEARNED, *REVEALED, "wrong_labels")})
    shares = shares.rename(columns=lambda name: name.replace("_", " "))
    columns = [[name.replace("_", " ") for name in (*who, *names)] for names in (LEARNED, REVEALED)]
    learned = shares[[*columns[0], "parameters", "macs"]]
    return [
        ("What is learned, %", learned),
        ("What the loss attack finds, %", shares[[*columns[1], "members", "fp", "fn"]]),
    ]


def charts(table: "pd.DataFrame") -> list:
    """Return the figures: over the share of wrong labels, a line an augmentation, a panel a network."""
    from fer_tf.reports import figures

    def panels(rows: "pd.DataFrame", column: str, error: str, factor: float, name: str, reference: float | None = None):
        values, errors = {}, {}
        for network, own in rows.groupby("network", sort=False):
            wide = own.assign(x=100 * own["wrong_labels"]).pivot(index="x", columns="augmentation")
            order = list(dict.fromkeys(own["augmentation"]))  # as they are compared, not the alphabet's
            values[network], errors[network] = factor * wide[column][order], factor * wide[error][order]
        return figures.line_panels(values, "wrong training labels, %", name, errors, reference)

    pictures = [
        ("Accuracy over wrong labels", panels(table, "accuracy", "accuracy_sem", 100, "accuracy on test, %")),
        ("Train to test gap", panels(table, "gap", "gap_sem", 100, "train − test accuracy, points", 0)),
        ("AUC of the loss attack", panels(table, "auc", "auc_error", 1, "AUC of the loss attack", 0.5)),
    ]
    noisy = table.assign(excess=table["memorized"] - table["memorized_by_chance"])[table["wrong_labels"] > 0]
    if len(noisy):
        name = "wrong labels repeated, points above chance"
        pictures.insert(2, ("Memorized wrong labels", panels(noisy, "excess", "memorized_sem", 100, name, 0)))
    return pictures


def report(results: "Sequence[Result]", out: Path, options: argparse.Namespace) -> list[Path]:
    """Audit the runs; write the tables, the page and the winner."""
    from fer_tf import models
    from fer_tf.models.complexity import size_savings
    from fer_tf.training.run import MODEL
    from fer_tf.tuning import study_page

    title, finished = "Wrong labels, augmentation and membership", [r for r in results if r.metrics]
    if not finished:
        return study_page.write(results, out, title)
    runs = runs_table(finished)
    table, trained = summary(runs), models.load_model(finished[0].folder / MODEL)
    shape, count = trained.input_shape[1:], trained.output_shape[-1]
    sizes = size_savings(networks(options.model), networks(options.baselines), shape, count)
    tables = [*readable(table), ("Sizes at full width", sizes)]
    files = {"robustness.csv": runs, "sizes.csv": sizes}
    return study_page.write(results, out, title, lambda _: charts(table), tables, files)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study's flags."""
    group = parser.add_argument_group("study").add_argument
    group("--rates", type=_rates, default=(0.0, 0.1, 0.2), metavar="PERCENT,…",
          help="shares of wrong labels (default 0,10,20)")  # fmt: skip
    group("--alpha", type=float, default=0.2, help="of MixUp's Beta distribution (default %(default)s)")
    commandline.add_learning_rate(group, 0.002)
    group("--keep", choices=KEPT, default="last",
          help="the epoch examined; the best on validation, whose labels are right, comes before most wrong labels are "
               "memorized (default %(default)s)")  # fmt: skip
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


STUDY = commandline.Study(
    name="ghostface_robustness",
    description=__doc__,
    configs=configs,
    report=report,
    add_arguments=add_arguments,
    defaults={"model": "resnet10; ghostface", "width": 0.25, "epochs": 10, "crop": 0, "batch_size": 32},
)

if __name__ == "__main__":
    commandline.main(STUDY)
