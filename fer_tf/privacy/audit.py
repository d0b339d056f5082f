"""Run membership attacks; measure what networks memorize of wrong labels."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_tf.datasets.splits import flip_labels
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.privacy import ATTACKS, SHADOW_ATTACKS, USUAL
from fer_tf.privacy.measures import held_out_decisions, measure_attack, roc_curve
from fer_tf.privacy.predictions import Predictions, balanced_rows, from_logits
from fer_tf.progress import bar

_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class AttackResult:
    """The result of one attack.

    Attributes:
        name: call string of the attack.
        title: its name for tables and figures.
        scores: float64 (N,), higher for members.
        decided: bool (N,), faces that are called members, by a threshold chosen on the other half of the faces.
        overall: measures of all faces, see ``measure_attack``.
        slices: the same measures of some of the faces: of each class by its name, of ``rightly classified`` and of
            ``wrongly classified`` ones.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> logits, member = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) < 10
        >>> predictions = privacy.Predictions(privacy.from_logits(logits), np.arange(20) % 3, member, ("a", "b", "c"))
        >>> [result] = privacy.audit_predictions(predictions, ["loss"], resamples=0)
        >>> result.title, result.scores.shape
        ('loss threshold', (20,))
    """

    name: str
    title: str
    scores: np.ndarray
    decided: np.ndarray
    overall: Mapping[str, Any]
    slices: Mapping[str, Mapping[str, Any]]


def choose_attacks(texts: Sequence[str] | None, shadows: bool) -> list[str]:
    """Check the call strings of attacks, or return the usual attacks.

    Args:
        texts: call strings of ``ATTACKS``; ``None`` for the usual ones.
        shadows: whether there are shadow models.

    Raises:
        UserError: an unknown attack, one named twice, or one that needs shadow models where there are none.
    """
    if texts is None:
        return [*USUAL, *(SHADOW_ATTACKS if shadows else ())]
    for text in texts:
        if needs(text, "shadow_member") and not shadows:
            name = ATTACKS.resolve(text)[0].name
            raise UserError(f"Attack {name!r} needs shadow models: --shadows 8, or shadow_logits in the file.")
        if texts.count(text) > 1:
            raise UserError(f"Attack {text!r} is named twice.")
    return list(texts)


def needs(attack: str, argument: str) -> bool:
    """Tell whether the function of an attack takes an argument, such as ``shadow_member``."""
    return argument in inspect.signature(ATTACKS.resolve(attack)[0].load()).parameters


def audit_predictions(
    predictions: Predictions, attacks: Sequence[str] | None = None, seed: int = 0, resamples: int = _RESAMPLES
) -> list[AttackResult]:
    """Run membership inference attacks on predictions, and measure each.

    Args:
        predictions: of members and non-members, as many of each in every class (``balanced_rows``).
        attacks: call strings of ``ATTACKS``; ``None`` for the usual ones.
        seed: of halves, learned attackers and the bootstrap.
        resamples: of the bootstrap; 0 for no intervals.

    Returns:
        An ``AttackResult`` for each attack, in order.

    Raises:
        UserError: an unknown attack, one named twice, one that needs shadow models where there are none; or fewer than
            two members or non-members.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> labels, member = np.arange(20) % 2, np.arange(20) < 10
        >>> logits = np.eye(2)[labels] * np.where(member, 5, 1)[:, None]  # more confident on the members
        >>> predictions = privacy.Predictions(privacy.from_logits(logits), labels, member, ("sad", "happy"))
        >>> [result] = privacy.audit_predictions(predictions, ["loss"], resamples=0)
        >>> result.overall["auc"]["value"]
        1.0
    """
    names = choose_attacks(attacks, predictions.shadows is not None)
    for side, faces in (("members", predictions.member), ("non-members", ~predictions.member)):
        if faces.sum() < 2:
            raise UserError(f"There are {faces.sum()} {side}. An audit needs two of each side at least.")
    found = []
    with bar(len(names), "attacks", "attack") as ticks:
        for name in names:
            ticks.set_postfix_str(name)
            found.append(_run_attack(name, predictions, seed, resamples))
            ticks.update()
    return found


def attack_scores(name: str, predictions: Predictions, seed: int = 0) -> np.ndarray:
    """Compute the scores of one attack.

    Args:
        name: call string of ``ATTACKS``.
        predictions: of members and non-members.
        seed: of the draws of learned attackers.

    Returns:
        float64 (N,), higher for members.

    Raises:
        UserError: an unknown attack, or one that cannot run on these predictions.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> logits, labels = np.array([[2.0, 2.0], [9.0, 0.0]]), np.array([0, 1])
        >>> member = np.array([True, False])
        >>> predictions = privacy.Predictions(privacy.from_logits(logits), labels, member, ("sad", "happy"))
        >>> privacy.attack_scores("correctness", predictions)
        array([1., 0.])
    """
    shadows = predictions.shadows
    known = {"member": predictions.member, "seed": seed}
    if shadows is not None:
        known |= {"shadow_log_probabilities": shadows.log_probabilities, "shadow_member": shadows.member}
    given = {key: value for key, value in known.items() if needs(name, key)}
    return ATTACKS.make(name, predictions.log_probabilities, predictions.labels, **given)


def _run_attack(name: str, predictions: Predictions, seed: int, resamples: int) -> AttackResult:
    scores = attack_scores(name, predictions, seed)
    decided = held_out_decisions(scores, predictions.member, predictions.labels, seed)

    def measure(rows: np.ndarray) -> dict[str, Any]:
        return measure_attack(scores[rows], decided[rows], predictions.member[rows], seed, resamples)

    slices = {part: measure(rows) for part, rows in _parts(predictions)}
    title = ATTACKS.resolve(name)[0].facts["title"]
    return AttackResult(name, title, scores, decided, measure(np.arange(len(scores))), slices)


def _parts(predictions: Predictions) -> Iterator[tuple[str, np.ndarray]]:
    for label, name in enumerate(predictions.classes):
        yield name, np.flatnonzero(predictions.labels == label)
    yield "rightly classified", np.flatnonzero(predictions.right)
    yield "wrongly classified", np.flatnonzero(~predictions.right)


def generalization_gap(predictions: Predictions) -> dict[str, float]:
    """Return the accuracies on members and on non-members, and the gap between them."""
    members, others = (float(predictions.right[predictions.member == side].mean()) for side in (True, False))
    return {"members": members, "non_members": others, "gap": members - others}


def summarize(predictions: Predictions, attacks: Sequence[AttackResult]) -> dict[str, Any]:
    """Return all numbers of an audit as a record that JSON can hold.

    Args:
        predictions: what the attacks ran on.
        attacks: their results.

    Returns:
        ``faces`` and ``by_class`` on both sides, ``shadow_models``, ``accuracy`` on both sides with their gap, and the
        measures of each attack.

    Example:
        >>> import numpy as np
        >>> from fer_tf import privacy
        >>> logits, labels = np.eye(2)[[0, 1, 0, 0]], np.array([0, 1, 0, 1])
        >>> member = np.array([True, True, False, False])
        >>> predictions = privacy.Predictions(privacy.from_logits(logits), labels, member, ("sad", "happy"))
        >>> privacy.summarize(predictions, [])["accuracy"]
        {'members': 1.0, 'non_members': 0.5, 'gap': 0.5}
    """
    sides = {"members": predictions.member, "non_members": ~predictions.member}
    names = predictions.classes
    by_class = {side: np.bincount(predictions.labels[rows], minlength=len(names)) for side, rows in sides.items()}
    return {
        "faces": {name: int(rows.sum()) for name, rows in sides.items()},
        "by_class": {side: dict(zip(names, count.tolist(), strict=True)) for side, count in by_class.items()},
        "shadow_models": 0 if predictions.shadows is None else len(predictions.shadows.member),
        "accuracy": generalization_gap(predictions),
        "attacks": {a.name: {"title": a.title, **a.overall, "slices": a.slices} for a in attacks},
    }


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
