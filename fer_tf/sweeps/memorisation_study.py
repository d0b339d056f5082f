"""The study of augmentation against wrong labels: its runs, what they memorise, what they give away, what they cost."""

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fer_tf import callstring
from fer_tf.errors import UserError
from fer_tf.models import small_configuration
from fer_tf.sweeps import commandline
from fer_tf.training.config import RunConfig

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from fer_tf.facetable import FaceTable
    from fer_tf.sweeps.runner import Result

TABLE, EXAMINED = "robustness.csv", "examined.json"
# The attack that the figures show; the others are in the runs' own files.
ATTACK, ATTACKS = "loss", ("loss", "confidence", "entropy", "modified_entropy")
# Bootstrap of one audit; the spread over seeds is what tells conditions apart.
RESAMPLES = 300
# Numbers of a run that are averaged over seeds.
MEASURES = (
    "accuracy", "macro_f1", "train_accuracy", "gap", "memorised", "memorised_by_chance", "auc", "auc_error",
    "auc_right_labels", "auc_wrong_labels", "tpr_at_1_percent", "balanced_accuracy", "fp", "fn",
)  # fmt: skip


def augmentations(alpha: float) -> dict[str, tuple[str, ...]]:
    """Return the augmentations that are compared, by name."""
    rand, mixup = "randaugment(n=2, m=9)", callstring.render("mixup", {"alpha": alpha})
    return {"none": (), "randaugment": (rand,), "mixup": (mixup,), "both": (rand, mixup)}


def networks(text: str, width: float | None = None) -> list[str]:
    """Return the call strings of ``--model`` or ``--baselines``: for faces of FER2013's size, at a width."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        call = small_configuration(part)
        found.append(call if width is None else commandline.sized(call, width))
    return found


def configs(options: argparse.Namespace) -> list[RunConfig]:
    """Return a run for every network, augmentation and share of wrong labels, seed by seed."""
    settings = commandline.shared_settings(options)
    recipe = {
        "optimizer": "adamw", "learning_rate": options.learning_rate, "weight_decay": 0.05,
        "schedule": f"warmup_cosine(warmup={min(1, options.epochs / 10):g})", "averaging": options.averaging or None,
        "keep": options.keep,
    }  # fmt: skip
    runs = [
        RunConfig(
            name=f"{callstring.parse(model)[0]} {name} {rate:.0%}", model=model, augment=ops, label_noise=rate,
            **recipe, **settings,
        )
        for rate in options.rates
        for model in networks(options.model, options.width)
        for name, ops in augmentations(options.alpha).items()
    ]  # fmt: skip
    if len({c.name for c in runs}) < len(runs):
        raise UserError(f"--model {options.model}: two networks have the same name, or two rates round to one.")
    return commandline.over_seeds(runs, options.seeds)


def condition(config: RunConfig) -> tuple[str, str]:
    """Return network and augmentation of a run."""
    network, augmentation, _ = config.name.removesuffix(f"-seed{config.seed}").split(" ")
    return network, augmentation


@dataclass(frozen=True, eq=False)
class Taught:
    """The faces of a run with the labels that it was taught, and test faces with labels made wrong alike.

    Attributes:
        train: with wrong labels.
        test: with as large a share of wrong labels, which nobody was taught.
        train_wrong: bool (N,), whose label was made wrong.
        test_wrong: bool (M,).
        truth: int (M,), the test faces' labels before.
    """

    train: "FaceTable"
    test: "FaceTable"
    train_wrong: "np.ndarray"
    test_wrong: "np.ndarray"
    truth: "np.ndarray"


def taught(config: RunConfig, clean: "Mapping[str, FaceTable]") -> Taught:
    """Recover which labels of a run were made wrong: the noise depends on its rate and seed alone.

    Args:
        config: the run.
        clean: its tables without wrong labels.
    """
    from fer_tf.datasets.label_noise import flip_labels

    (train, train_wrong), (test, test_wrong) = (
        flip_labels(clean[split], config.label_noise, config.seed) for split in ("train", "test")
    )
    return Taught(train, test, train_wrong, test_wrong, clean["test"].labels)


def examine(result: "Result", load: "Callable[[RunConfig], Mapping[str, FaceTable]]") -> dict[str, Any]:
    """Return what a run memorised and gives away, computed once for its network and faces.

    Args:
        result: a finished run.
        load: gives the tables of a configuration.
    """
    from fer_tf import evaluation, models
    from fer_tf.io import atomic
    from fer_tf.models.complexity import macs
    from fer_tf.training.run import ENVIRONMENT, MODEL, read_json

    path, model = result.folder / EXAMINED, result.folder / MODEL
    digest = hashlib.blake2b(model.read_bytes(), digest_size=8).hexdigest()
    of, known = read_json(result.folder / ENVIRONMENT)["data_digest"] + digest, read_json(path)
    if known is None or known["of"] != of:
        faces, network = taught(result.config, load(replace(result.config, label_noise=0.0))), models.load_model(model)
        train, test = (
            evaluation.logits(network, table.images, crop=result.config.crop) for table in (faces.train, faces.test)
        )
        known = {"of": of, "macs": macs(network), **memorised(train, test, faces), **given_away(train, test, faces)}
        atomic.write_json(path, known)
    return known


def memorised(train: "np.ndarray", test: "np.ndarray", faces: Taught) -> dict[str, float | None]:
    """Return how far a network is right on what it was taught, rightly and wrongly.

    Args:
        train: logits (N, C) of the training faces.
        test: logits (M, C) of the test faces.
        faces: their labels.

    Returns:
        ``train_accuracy`` on the training faces whose label is right, and ``gap``, by how much it is above that on
        test; ``memorised``, the share of wrong training labels that it repeats, and ``memorised_by_chance``, the same
        of test faces' wrong labels, which it never met; both ``None`` where there are none.
    """
    repeats, by_chance = train.argmax(axis=1) == faces.train.labels, test.argmax(axis=1) == faces.test.labels
    right = float(repeats[~faces.train_wrong].mean()) if not faces.train_wrong.all() else None
    unseen = float((test.argmax(axis=1) == faces.truth).mean())
    return {
        "train_accuracy": right,
        "gap": None if right is None else right - unseen,
        "memorised": float(repeats[faces.train_wrong].mean()) if faces.train_wrong.any() else None,
        "memorised_by_chance": float(by_chance[faces.test_wrong].mean()) if faces.test_wrong.any() else None,
    }


def given_away(train: "np.ndarray", test: "np.ndarray", faces: Taught) -> dict[str, Any]:
    """Audit a run: can pairs of a face and a label that it was taught be told from others of the same making?

    Arguments as ``memorised``. Test faces' labels are made wrong alike, so that a wrong label is no sign of either
    side. ``auc_right_labels`` and ``auc_wrong_labels`` compare only pairs whose label is right, or wrong.
    """
    import numpy as np

    from fer_tf.privacy import draws, roc
    from fer_tf.privacy.audit import attack_scores
    from fer_tf.privacy.intervals import measured
    from fer_tf.privacy.predictions import Predictions
    from fer_tf.privacy.scores import from_logits

    labels = np.concatenate([faces.train.labels, faces.test.labels])
    wrong = np.concatenate([faces.train_wrong, faces.test_wrong])
    member = np.arange(len(labels)) < len(train)
    rows = draws.balanced(labels, member)
    told = Predictions(
        from_logits(np.concatenate([train, test])[rows]), labels[rows], member[rows], faces.train.label_set.classes
    )
    scores = {name: attack_scores(name, told) for name in ATTACKS}
    attacks = {
        name: measured(values, roc.held_out_decisions(values, told.member, told.labels), told.member, 0, RESAMPLES)
        for name, values in scores.items()
    }
    shown, auc = attacks[ATTACK], attacks[ATTACK]["auc"]
    parts = {}
    for name, part in (("auc_right_labels", ~wrong[rows]), ("auc_wrong_labels", wrong[rows])):
        both = part.any() and 0 < told.member[part].sum() < part.sum()
        parts[name] = roc.area(*roc.roc(scores[ATTACK][part], told.member[part])[1:]) if both else None
    return {
        "auc": auc["value"], "auc_error": (auc["high"] - auc["low"]) / 2, **parts,
        **{name: shown[name]["value"] for name in ("tpr_at_1_percent", "balanced_accuracy")},
        **{name: shown[name] for name in ("members", "tp", "fp", "tn", "fn")},
        "attacks": attacks,
    }  # fmt: skip


def runs_table(results: "Sequence[Result]") -> "pd.DataFrame":
    """Return a row a run, shares from 0 to 1."""
    import pandas as pd

    from fer_tf.progress import bar
    from fer_tf.sweeps.runner import TableCache

    load, rows = TableCache(), []
    with bar(len(results), "audits", "run") as ticks:
        for result in results:
            found = examine(result, load)
            network, augmentation = condition(result.config)
            test = result.metrics["test"]
            rows.append(
                {
                    "run": result.config.name, "network": network, "augmentation": augmentation,
                    "wrong_labels": result.config.label_noise, "seed": result.config.seed,
                    "best_epoch": result.metrics["best_epoch"], "val_accuracy": result.metrics["val_accuracy"],
                    "accuracy": test["accuracy"], "macro_f1": test["macro_f1"],
                    "parameters": result.metrics["parameters"], "macs": found["macs"], "members": found["members"],
                    **{name: found[name] for name in MEASURES if name in found},
                }
            )  # fmt: skip
            ticks.update()
    return pd.DataFrame(rows).astype({name: float for name in MEASURES})


def summary(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Return a row a network, augmentation and share of wrong labels: means over seeds, and standard errors."""
    import pandas as pd

    groups = runs.groupby(["network", "augmentation", "wrong_labels"], sort=False)
    mean = groups[["parameters", "macs", "members", *MEASURES]].mean()
    errors = groups[["accuracy", "gap", "memorised", "auc"]].sem().add_suffix("_sem")
    return pd.concat([groups.size().rename("seeds"), mean, errors], axis=1).reset_index()
