"""Measure what networks memorize of wrong labels and reveal of their members."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_tf.datasets.label_noise import flip_labels
from fer_tf.facetable import FaceTable
from fer_tf.privacy.audit import attack_scores
from fer_tf.privacy.measures import held_out_decisions, measure_attack, roc_curve
from fer_tf.privacy.predictions import Predictions, from_logits
from fer_tf.privacy.sampling import balanced_rows

__all__ = ["FlippedLabels", "flipped_labels", "membership", "memorization"]

_ATTACKS = ("loss", "confidence", "entropy", "modified_entropy")


@dataclass(frozen=True, eq=False)
class FlippedLabels:
    """Training faces with the labels that a run was trained on, and test faces whose labels were flipped alike.

    Attributes:
        train: with wrong labels.
        test: with as large a share of wrong labels, on which nothing was trained.
        train_wrong: bool (N,), whose label was flipped.
        test_wrong: bool (M,).
        truth: int (M,), the test faces' labels before.
    """

    train: FaceTable
    test: FaceTable
    train_wrong: np.ndarray
    test_wrong: np.ndarray
    truth: np.ndarray


def flipped_labels(clean: Mapping[str, FaceTable], rate: float, seed: int) -> FlippedLabels:
    """Recover which labels of a run were flipped: the noise depends on its rate and seed alone.

    Args:
        clean: the run's tables by split, without wrong labels.
        rate: the run's ``label_noise``, from 0 to 1.
        seed: of the run.

    Example:
        >>> from fer_tf import datasets
        >>> table = datasets.load_synthetic(faces=100)
        >>> faces = flipped_labels({"train": table.train, "test": table.test}, rate=0.1, seed=0)
        >>> int(faces.train_wrong.sum()) == round(0.1 * len(faces.train))
        True
    """
    (train, train_wrong), (test, test_wrong) = (flip_labels(clean[s], rate, seed) for s in ("train", "test"))
    return FlippedLabels(train, test, train_wrong, test_wrong, clean["test"].labels)


def memorization(train: np.ndarray, test: np.ndarray, faces: FlippedLabels) -> dict[str, float | None]:
    """Return how often a network repeats the right and the wrong labels that it was trained on.

    Args:
        train: logits (N, C) of the training faces.
        test: logits (M, C) of the test faces.
        faces: their labels.

    Returns:
        ``train_accuracy`` on the training faces whose label is right, and ``gap``, by how much it is above that on
        test; ``memorized``, the share of wrong training labels that the network repeats, and ``memorized_by_chance``,
        the same of the test faces' wrong labels, which it never met. The last two are ``None`` without wrong labels.

    Example:
        >>> from fer_tf import datasets
        >>> table = datasets.load_synthetic(faces=100)
        >>> faces = flipped_labels({"train": table.train, "test": table.test}, rate=0.2, seed=0)
        >>> train, test = np.eye(7)[faces.train.labels], np.eye(7)[faces.truth]  # repeats what it was taught
        >>> memorization(train, test, faces)
        {'train_accuracy': 1.0, 'gap': 0.0, 'memorized': 1.0, 'memorized_by_chance': 0.0}
    """
    repeats, by_chance = train.argmax(axis=1) == faces.train.labels, test.argmax(axis=1) == faces.test.labels
    right = float(repeats[~faces.train_wrong].mean()) if not faces.train_wrong.all() else None
    unseen = float((test.argmax(axis=1) == faces.truth).mean())
    return {
        "train_accuracy": right,
        "gap": None if right is None else right - unseen,
        "memorized": float(repeats[faces.train_wrong].mean()) if faces.train_wrong.any() else None,
        "memorized_by_chance": float(by_chance[faces.test_wrong].mean()) if faces.test_wrong.any() else None,
    }


def membership(
    train: np.ndarray, test: np.ndarray, faces: FlippedLabels, attack: str = "loss", resamples: int = 300
) -> dict[str, Any]:
    """Attack a network: can pairs of a face and its training label be told from other pairs of the same making?

    Test faces' labels are flipped alike, so that a wrong label is no sign of either side.

    Args:
        train: logits (N, C) of the training faces.
        test: logits (M, C) of the test faces.
        faces: their labels.
        attack: the attack whose numbers stand at the top.
        resamples: of the bootstrap of each interval.

    Returns:
        Of ``attack``: ``auc`` and ``auc_error`` (half of its 95 % interval), ``auc_right_labels`` and
        ``auc_wrong_labels`` (only pairs whose label is right, or wrong; ``None`` without any), ``tpr_at_1_percent``,
        ``balanced_accuracy``, ``members``, ``tp``, ``fp``, ``tn``, ``fn``; and ``attacks``, all measures by attack.

    Example:
        >>> from fer_tf import datasets
        >>> table = datasets.load_synthetic(faces=400)
        >>> faces = flipped_labels({"train": table.train, "test": table.test}, rate=0.2, seed=0)
        >>> train, test = np.eye(7)[faces.train.labels], np.eye(7)[faces.truth]
        >>> membership(train, test, faces, resamples=10)["auc_wrong_labels"]
        1.0
    """
    labels = np.concatenate([faces.train.labels, faces.test.labels])
    wrong = np.concatenate([faces.train_wrong, faces.test_wrong])
    member = np.arange(len(labels)) < len(train)
    rows = balanced_rows(labels, member)
    answers = Predictions(
        from_logits(np.concatenate([train, test])[rows]), labels[rows], member[rows], faces.train.label_set.classes
    )
    scores = {name: attack_scores(name, answers) for name in _ATTACKS}
    attacks = {
        name: measure_attack(
            values, held_out_decisions(values, answers.member, answers.labels), answers.member, 0, resamples
        )
        for name, values in scores.items()
    }
    shown, auc = attacks[attack], attacks[attack]["auc"]
    parts = {}
    for name, part in (("auc_right_labels", ~wrong[rows]), ("auc_wrong_labels", wrong[rows])):
        both = part.any() and 0 < answers.member[part].sum() < part.sum()
        parts[name] = roc_curve(scores[attack][part], answers.member[part]).auc if both else None
    return {
        "auc": auc["value"], "auc_error": (auc["high"] - auc["low"]) / 2, **parts,
        **{name: shown[name]["value"] for name in ("tpr_at_1_percent", "balanced_accuracy")},
        **{name: shown[name] for name in ("members", "tp", "fp", "tn", "fn")},
        "attacks": attacks,
    }  # fmt: skip
