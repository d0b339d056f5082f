"""A network on corrupted faces: every corruption, every severity, and beside it a reference."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fer_tf.errors import UserError
from fer_tf.faces.masks import wearable
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import resized
from fer_tf.robustness import CORRUPTIONS, SEVERITIES, corrupted
from fer_tf.robustness.subjects import Subject

# Corrupted faces that are in memory at once; two such pieces, one waiting for the network.
PIECE_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class Comparable:
    """Faces on which networks of several label sets can be compared.

    Attributes:
        table: N faces of the size that the first network expects.
        targets: by network, float32 (N, C) over its classes.
    """

    table: FaceTable
    targets: tuple[np.ndarray, ...]

    def wrong(self, number: int, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Tell which of the faces ``rows`` (M,) a network's logits (..., M, C) call wrongly, bool (..., M)."""
        return logits.argmax(axis=-1) != self.targets[number][rows].argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Answers:
    """What one network says.

    Attributes:
        clean: float (N, C), calibrated logits of the faces as they are.
        corrupted: by corruption, float (severities, M, C) of the M faces that it can be applied to.
        rows: by corruption, which faces these are, int (M,).
    """

    clean: np.ndarray
    corrupted: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]


def comparable(table: FaceTable, subjects: Sequence[Subject]) -> Comparable:
    """Bring faces to the first network's size, and leave out those for which a network has no class.

    Raises:
        UserError: no face is left, or the pictures are not in memory.
    """
    if table.images is None:
        raise UserError("This dataset leaves its pictures on disk. Give its size=, so that they are read.")
    found = [subject.targets(table) for subject in subjects]
    kept = found[0][1]
    for _, rows in found[1:]:
        kept = np.intersect1d(kept, rows)
    if not kept.size:
        raise UserError("No face has a class that every network knows.")
    targets = tuple(t[np.searchsorted(rows, kept)] for t, rows in found)
    faces = table.take(kept)
    return Comparable(faces.with_images(resized(faces.images, subjects[0].metadata.face_size)), targets)


def rows_for(text: str, table: FaceTable) -> np.ndarray:
    """Return the faces that a corruption can be applied to, int (M,): all of them, or those with good landmarks."""
    row, _ = CORRUPTIONS.resolve(text)
    if not row.facts["landmarks"]:
        return np.arange(len(table))
    if table.landmarks is None or table.landmarks.shape[1] not in (5, 68):
        return np.arange(0)
    return np.flatnonzero(wearable(table.landmarks))


def ask(
    subjects: Sequence[Subject],
    table: FaceTable,
    corruptions: Sequence[str],
    seed: int = 0,
    tick: Callable[[int], object] = lambda faces: None,
) -> list[Answers]:
    """Ask networks about faces as they are and under every corruption and severity.

    Args:
        subjects: all see the same corrupted pictures.
        table: faces of the size at which they are corrupted.
        corruptions: call strings; one that no face has landmarks for is left out of the answers.
        seed: of the corruptions.
        tick: called with the number of faces that all networks have answered for.
    """
    answers = [Answers(s.logits(table.images), {}, {}) for s in subjects]
    for text in corruptions:
        rows = rows_for(text, table)
        if not rows.size:
            continue
        found: list[list[tuple[int, np.ndarray]]] = [[] for _ in subjects]
        for severity, images in _conditions(table, text, rows, seed):
            for number, subject in enumerate(subjects):
                found[number].append((severity, subject.logits(images)))
            tick(len(images))
        for number, answer in enumerate(answers):
            answer.corrupted[text], answer.rows[text] = _by_severity(found[number]), rows
    return answers


def _by_severity(found: list[tuple[int, np.ndarray]]) -> np.ndarray:
    return np.stack([np.concatenate([z for s, z in found if s == severity]) for severity in SEVERITIES])


def _conditions(table: FaceTable, text: str, rows: np.ndarray, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield severity and corrupted faces, piece by piece; the next piece is made while the network works."""
    most = max(1, PIECE_BYTES // max(1, int(np.prod(table.image_shape))))
    tasks = [(s, rows[i : i + most]) for s in SEVERITIES for i in range(0, len(rows), most)]

    def make(task: tuple[int, np.ndarray]) -> tuple[int, np.ndarray]:
        severity, part = task
        landmarks = None if table.landmarks is None else table.landmarks[part]
        return severity, corrupted(table.images[part], text, severity, seed, table.ids[part], landmarks)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, tasks[0])
        for task in tasks[1:]:
            ready, waiting = waiting.result(), pool.submit(make, task)
            yield ready
        yield waiting.result()
