"""One run of the benchmark: a network, its reference, corruptions and drift, with a progress bar."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet
from fer_tf.progress import bar
from fer_tf.robustness import SEVERITIES, benchmark, drift, reference, results, subjects
from fer_tf.robustness.benchmark import Answers, Comparable
from fer_tf.robustness.masks import canonical_landmarks
from fer_tf.robustness.reference import Errors
from fer_tf.robustness.subjects import Subject

NONE = "none"


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        model: a shipped name or the path of a ``.keras`` file.
        corruptions: call strings.
        drift: whether flips are counted.
        reference: a model, the path of a ``robustness.json``, ``"none"``, or ``None`` for the usual one.
        view: how faces are shown to ``model``; the reference sees the centre.
        seed: of the corruptions.
        canonical: give all faces FER2013's median landmarks in place of their own.
        dataset: what the faces are called in reports.
    """

    model: Path | str
    corruptions: tuple[str, ...]
    drift: bool = True
    reference: Path | str | None = None
    view: str = "center"
    seed: int = 0
    canonical: bool = False
    dataset: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that one run measured.

    Attributes:
        plan: what was asked for.
        faces: what was asked about.
        label_set: the network's classes.
        answers: of the network.
        errors: of the network.
        reference: errors that they are divided by, or ``None``.
        flips: its drift, or ``None``.
        settings: what must be equal for errors to be compared, see ``reference.to_json``.
        skipped: what was left out, a sentence each.
    """

    plan: Plan
    faces: Comparable
    label_set: LabelSet
    answers: Answers
    errors: Errors
    reference: Errors | None
    flips: drift.Flips | None
    settings: Mapping[str, Any]
    skipped: Sequence[str] = ()


def measure(table: FaceTable, plan: Plan) -> Outcome:
    """Measure a network on the faces of a table, pictures in memory.

    Raises:
        UserError: no such model or reference, one of other faces, or faces that no network has classes for.
    """
    network = subjects.load(plan.model, plan.view)
    if plan.canonical:
        table = replace(table, landmarks=canonical_landmarks(len(table), table.image_shape[:2]))
    alone = benchmark.comparable(table, [network])
    known = [text for text in plan.corruptions if benchmark.rows_for(text, alone.table).size]
    settings = {
        "faces": _digest(table.images, table.targets, table.ids.astype(str)), "scored": len(alone.table),
        "face_size": network.metadata.face_size, "seed": plan.seed,
    }  # fmt: skip
    stored, other = _reference(plan, settings, known, landmarks_digest(alone.table))
    asked = [network] if other is None else [network, other]
    faces = alone if other is None else benchmark.comparable(table, asked)
    count = len(faces.table)
    planned = sum(benchmark.rows_for(text, faces.table).size for text in known) * len(SEVERITIES)
    planned += count * len(drift.perturbations()) * plan.drift
    with bar(planned, "Asking", "face") as ticks:
        answers = benchmark.ask(asked, faces.table, known, plan.seed, ticks.update)
        flips = drift.measure(network.logits, faces.table.images, ticks.update) if plan.drift else None
    errors = [results.errors_of(s.name, i, a, faces) for i, (s, a) in enumerate(zip(asked, answers, strict=True))]
    against = errors[-1] if plan.reference != NONE and stored is None and known else stored
    skipped = _skipped(table, plan.corruptions, faces, len(faces.table))
    return Outcome(
        plan, faces, network.metadata.label_set, answers[0], errors[0], against, flips,
        {**settings, "scored": count}, skipped,
    )  # fmt: skip


def landmarks_digest(table: FaceTable) -> str | None:
    """Return what tells whether two runs had the same landmarks."""
    return None if table.landmarks is None else _digest(table.landmarks)


def _reference(
    plan: Plan, settings: Mapping[str, Any], corruptions: Sequence[str], landmarks: str | None
) -> tuple[Errors | None, Subject | None]:
    """Return the reference's stored errors, or the network that is to be asked; neither where there is none to ask.

    A network that is its own reference is not asked twice.
    """
    wanted = plan.reference
    if wanted == NONE or not corruptions:
        return None, None
    if wanted is not None and str(wanted).endswith(".json"):
        return reference.read(wanted, settings, corruptions, landmarks), None
    if wanted is None:
        try:
            return reference.read(reference.STORED, settings, corruptions, landmarks), None
        except UserError:
            wanted = reference.NETWORK
    same = models.weights_path(wanted).resolve() == models.weights_path(plan.model).resolve()
    return None, None if same and plan.view == "center" else subjects.load(wanted)


def _skipped(table: FaceTable, corruptions: Sequence[str], faces: Comparable, count: int) -> list[str]:
    lines = []
    if count < len(table):
        lines.append(f"{len(table) - count} of {len(table)} faces left out: a network has no class for them.")
    for text in corruptions:
        found = benchmark.rows_for(text, faces.table).size
        if found < count:
            lines.append(f"{text}: {count - found} of {count} faces left out, they have no landmarks. See --landmarks.")
    return lines


def _digest(*columns: np.ndarray) -> str:
    state = hashlib.blake2b(digest_size=8)
    for column in columns:
        state.update(np.ascontiguousarray(column).data)
    return state.hexdigest()
