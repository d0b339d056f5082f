"""Run attacks on a network's answers, and measure them as a whole, by class, and on faces it gets right or wrong."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_tf.errors import UserError
from fer_tf.privacy import ATTACKS, SHADOW_ATTACKS, USUAL, roc
from fer_tf.privacy.intervals import measured
from fer_tf.privacy.predictions import Predictions
from fer_tf.progress import bar

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Attack:
    """How one attack went.

    Attributes:
        name: call string.
        title: what people call it.
        scores: float64 (N,), higher for members.
        decided: bool (N,), called a member by a threshold chosen on the other half of the faces.
        overall: measures of all faces, see ``intervals.measured``.
        slices: the same of parts of them: each class by its name, ``rightly classified``, ``wrongly classified``.
    """

    name: str
    title: str
    scores: np.ndarray
    decided: np.ndarray
    overall: Mapping[str, Any]
    slices: Mapping[str, Mapping[str, Any]]


def chosen_attacks(texts: Sequence[str] | None, shadows: bool) -> list[str]:
    """Return the attacks to run: those named, or the usual ones.

    Raises:
        UserError: an unknown attack, one named twice, or one that needs shadow models where there are none.
    """
    if texts is None:
        return [*USUAL, *(SHADOW_ATTACKS if shadows else ())]
    for text in texts:
        row, _ = ATTACKS.resolve(text)
        if row.facts["needs"] == "shadows" and not shadows:
            raise UserError(f"Attack {row.name!r} needs shadow models: --shadows 8, or shadow_logits in the file.")
        if texts.count(text) > 1:
            raise UserError(f"Attack {text!r} is named twice.")
    return list(texts)


def audit(
    predictions: Predictions, attacks: Sequence[str] | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> list[Attack]:
    """Run attacks and measure each.

    Args:
        predictions: answers for members and non-members, balanced by class (``draws.balanced``).
        attacks: call strings of ``ATTACKS``; ``None`` for the usual ones.
        seed: of halves, learned attackers and the bootstrap.
        resamples: of the bootstrap; 0 for no intervals.

    Raises:
        UserError: as ``chosen_attacks``; or one side has fewer than two faces.
    """
    names = chosen_attacks(attacks, predictions.shadows is not None)
    for side, faces in (("members", predictions.member), ("non-members", ~predictions.member)):
        if faces.sum() < 2:
            raise UserError(f"There are {faces.sum()} {side}. An audit needs two of each side at least.")
    found = []
    with bar(len(names), "attacks", "attack") as ticks:
        for name in names:
            ticks.set_postfix_str(name)
            found.append(_attack(name, predictions, seed, resamples))
            ticks.update()
    return found


def attack_scores(name: str, predictions: Predictions, seed: int = 0) -> np.ndarray:
    """Return one attack's scores, float64 (N,), higher for members."""
    row, _ = ATTACKS.resolve(name)
    given = [predictions.log_probabilities, predictions.labels]
    if row.facts["needs"] == "members":
        given.append(predictions.member)
    elif row.facts["needs"] == "shadows":
        given += [predictions.shadows.log_probabilities, predictions.shadows.member]
    return ATTACKS.make(name, *given, **({"seed": seed} if row.facts.get("seeded") else {}))


def _attack(name: str, predictions: Predictions, seed: int, resamples: int) -> Attack:
    scores = attack_scores(name, predictions, seed)
    decided = roc.held_out_decisions(scores, predictions.member, predictions.labels, seed)

    def measure(rows: np.ndarray) -> dict[str, Any]:
        return measured(scores[rows], decided[rows], predictions.member[rows], seed, resamples)

    slices = {part: measure(rows) for part, rows in _parts(predictions)}
    title = ATTACKS.resolve(name)[0].facts["title"]
    return Attack(name, title, scores, decided, measure(np.arange(len(scores))), slices)


def _parts(predictions: Predictions) -> Iterator[tuple[str, np.ndarray]]:
    for label, name in enumerate(predictions.classes):
        yield name, np.flatnonzero(predictions.labels == label)
    yield "rightly classified", np.flatnonzero(predictions.right)
    yield "wrongly classified", np.flatnonzero(~predictions.right)


def generalisation(predictions: Predictions) -> dict[str, float]:
    """Return the accuracy on members and on non-members, and the gap between them."""
    members, others = (float(predictions.right[predictions.member == side].mean()) for side in (True, False))
    return {"members": members, "non_members": others, "gap": members - others}


def summary(predictions: Predictions, attacks: Sequence[Attack]) -> dict[str, Any]:
    """Return all numbers of an audit as a record that JSON can hold."""
    sides = {"members": predictions.member, "non_members": ~predictions.member}
    names = predictions.classes
    by_class = {side: np.bincount(predictions.labels[rows], minlength=len(names)) for side, rows in sides.items()}
    return {
        "faces": {name: int(rows.sum()) for name, rows in sides.items()},
        "by_class": {side: dict(zip(names, count.tolist(), strict=True)) for side, count in by_class.items()},
        "shadow_models": 0 if predictions.shadows is None else len(predictions.shadows.member),
        "accuracy": generalisation(predictions),
        "attacks": {a.name: {"title": a.title, **a.overall, "slices": a.slices} for a in attacks},
    }
