"""Run the corruption benchmark on a network and its reference."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf import evaluation, labels, models
from fer_tf.augment.photometric import to_gray
from fer_tf.errors import UserError
from fer_tf.faces.masks import wearable
from fer_tf.facetable import FaceTable
from fer_tf.io.pictures import resized
from fer_tf.progress import bar
from fer_tf.robustness.corruptions import CORRUPTIONS, NETWORK, SEVERITIES, STORED, NetworkErrors, corrupt, read_errors
from fer_tf.robustness.effects import canonical_landmarks
from fer_tf.robustness.prediction_flips import PredictionFlips, count_flips, perturbations

if TYPE_CHECKING:
    import keras

# Corrupted faces that are in memory at once; two such pieces, one waiting for the network.
_PIECE_BYTES = 64_000_000
_NONE = "none"


@dataclass(frozen=True, eq=False)
class BenchmarkedNetwork:
    """A network that predicts faces of any size and channels.

    Attributes:
        name: Its name in reports.
        network: A Keras model with metadata.
        view: How faces are shown to it, see ``fer_tf.models.composites``.
    """

    name: str
    network: "keras.Model"
    view: str = "center"

    @classmethod
    def load(cls, model: "Path | str | BenchmarkedNetwork", view: str = "center") -> "BenchmarkedNetwork":
        """Load a shipped network or a ``.keras`` file; a ``BenchmarkedNetwork`` is returned unchanged.

        Raises:
            UserError: There is no such model, or it has no metadata.
        """
        if isinstance(model, cls):
            return model
        path = models.weights_path(model)
        loaded = cls(path.stem if path.stem != "model" else path.parent.name, models.load_model(model), view)
        _ = loaded.metadata
        return loaded

    @property
    def metadata(self) -> models.ModelMetadata:
        """Return its classes, and the size of face that it expects."""
        return models.metadata_of(self.network)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return calibrated logits (N, C) of faces of any size, uint8 (N, S, S, 1 or 3)."""
        fitted = resized(images, self.metadata.face_size)
        channels = self.network.input_shape[-1]
        if channels == 1 and fitted.shape[-1] == 3:
            fitted = np.rint(to_gray(fitted.astype(np.float32)))
        elif channels == 3 and fitted.shape[-1] == 1:
            fitted = fitted.repeat(3, axis=-1)
        return evaluation.logits(self.network, fitted, view=self.view) / np.float32(self.metadata.temperature)

    def targets(self, table: FaceTable) -> tuple[np.ndarray, np.ndarray]:
        """Return the faces' targets over its classes, float32 (M, C), and which M rows have a class there."""
        return labels.convert(table.targets, table.label_set, self.metadata.label_set)


@dataclass(frozen=True, eq=False)
class SharedFaces:
    """Faces on which networks of several label sets can be compared.

    Attributes:
        table: N faces of the size that the first network expects.
        targets: By network, float32 (N, C) over its classes.
    """

    table: FaceTable
    targets: tuple[np.ndarray, ...]

    def wrong(self, number: int, rows: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Tell which of the faces ``rows`` (M,) are misclassified by a network's logits (..., M, C), bool (..., M)."""
        return logits.argmax(axis=-1) != self.targets[number][rows].argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits of one network.

    Attributes:
        clean: float (N, C), calibrated logits of the unchanged faces.
        corrupted: By corruption, float (severities, M, C) of the M faces that it can be applied to.
        rows: By corruption, which faces these are, int (M,).
    """

    clean: np.ndarray
    corrupted: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    def errors(self, name: str, number: int, faces: SharedFaces) -> NetworkErrors:
        """Return the network's errors; ``number`` is its place among the compared ones."""
        clean = {t: float(faces.wrong(number, rows, self.clean[rows]).mean()) for t, rows in self.rows.items()}
        corrupted = {
            text: tuple(faces.wrong(number, self.rows[text], logits).mean(axis=1).tolist())
            for text, logits in self.corrupted.items()
        }
        return NetworkErrors(name, clean, corrupted)


@dataclass(frozen=True)
class BenchmarkPlan:
    """Choose what the benchmark measures.

    Attributes:
        model: A shipped name, the path of a ``.keras`` file, or a ``BenchmarkedNetwork``.
        corruptions: Call strings.
        flips: Whether prediction flips are counted.
        reference: A model, the path of a ``robustness.json``, ``"none"``, or ``None`` for the usual one.
        view: How faces are shown to ``model``; the reference sees the center.
        seed: Seed of the corruptions.
        canonical: Give all faces FER2013's median landmarks in place of their own.
        dataset: Name of the faces in reports.

    Example:
        >>> BenchmarkPlan("default", ("jpeg", "mask"), canonical=True).flips
        True
    """

    model: Path | str | BenchmarkedNetwork
    corruptions: tuple[str, ...]
    flips: bool = True
    reference: Path | str | BenchmarkedNetwork | None = None
    view: str = "center"
    seed: int = 0
    canonical: bool = False
    dataset: str = ""


@dataclass(frozen=True, eq=False)
class BenchmarkResult:
    """Hold all that one run measured.

    Attributes:
        plan: What was asked for.
        faces: The faces that every network has classes for.
        label_set: The network's classes.
        predictions: Logits of the network.
        errors: Errors of the network.
        reference: Errors that they are divided by, or ``None``.
        flips: Its prediction flips, or ``None``.
        settings: What must be equal for errors to be compared, see ``NetworkErrors.to_json``.
        skipped: What was left out, a sentence each.

    Example:
        >>> import dataclasses
        >>> [field.name for field in dataclasses.fields(BenchmarkResult)][:3]
        ['plan', 'faces', 'label_set']
    """

    plan: BenchmarkPlan
    faces: SharedFaces
    label_set: labels.LabelSet
    predictions: Predictions
    errors: NetworkErrors
    reference: NetworkErrors | None
    flips: PredictionFlips | None
    settings: Mapping[str, Any]
    skipped: Sequence[str] = ()

    @property
    def clean_accuracy(self) -> float:
        """Return the accuracy on the unchanged faces."""
        return float(1 - self.faces.wrong(0, ..., self.predictions.clean).mean())


def run_benchmark(table: FaceTable, plan: BenchmarkPlan) -> BenchmarkResult:
    """Measure a network on the faces of a table, pictures in memory.

    Args:
        table: Faces, with landmarks where masks are among the corruptions.
        plan: What is measured.

    Returns:
        Predictions, errors and flips; ``write_report`` makes a page of them.

    Raises:
        UserError: There is no such model or reference, the reference is of other faces, or no network has classes for
            the faces.

    Example:
        >>> from fer_tf import datasets, robustness
        >>> faces = datasets.get("synthetic(faces=20)").select("test")
        >>> plan = robustness.BenchmarkPlan("default", ("brighter",), flips=False, reference="none")
        >>> result = robustness.run_benchmark(faces, plan)
        >>> len(result.errors.corrupted["brighter"])  # a share of misclassified faces a severity
        5
    """
    network = BenchmarkedNetwork.load(plan.model, plan.view)
    if plan.canonical:
        table = replace(table, landmarks=canonical_landmarks(len(table), table.image_shape[:2]))
    alone = shared_faces(table, [network])
    known = [text for text in plan.corruptions if rows_for(text, alone.table).size]
    settings = {
        "faces": _digest(table.images, table.targets, table.ids.astype(str)), "scored": len(alone.table),
        "face_size": network.metadata.face_size, "seed": plan.seed,
    }  # fmt: skip
    stored, other = _reference(plan, settings, known, landmarks_digest(alone.table))
    networks = [network] if other is None else [network, other]
    faces = alone if other is None else shared_faces(table, networks)
    count = len(faces.table)
    planned = sum(rows_for(text, faces.table).size for text in known) * len(SEVERITIES)
    planned += count * len(perturbations()) * plan.flips
    with bar(planned, "Predicting", "face") as ticks:
        found = predict_corrupted(networks, faces.table, known, plan.seed, ticks.update)
        flips = count_flips(network.logits, faces.table.images, ticks.update) if plan.flips else None
    errors = [p.errors(n.name, i, faces) for i, (n, p) in enumerate(zip(networks, found, strict=True))]
    against = errors[-1] if plan.reference != _NONE and stored is None and known else stored
    return BenchmarkResult(
        plan, faces, network.metadata.label_set, found[0], errors[0], against, flips, {**settings, "scored": count},
        _skipped(table, plan.corruptions, faces, count),
    )  # fmt: skip


def shared_faces(table: FaceTable, networks: Sequence[BenchmarkedNetwork]) -> SharedFaces:
    """Bring faces to the first network's size, and leave out those for which a network has no class.

    Raises:
        UserError: No face is left, or the pictures are not in memory.
    """
    if table.images is None:
        raise UserError("This dataset leaves its pictures on disk. Give its size=, so that they are read.")
    found = [network.targets(table) for network in networks]
    kept = found[0][1]
    for _, rows in found[1:]:
        kept = np.intersect1d(kept, rows)
    if not kept.size:
        raise UserError("No face has a class that every network knows.")
    targets = tuple(t[np.searchsorted(rows, kept)] for t, rows in found)
    faces = table.take(kept)
    return SharedFaces(faces.with_images(resized(faces.images, networks[0].metadata.face_size)), targets)


def rows_for(text: str, table: FaceTable) -> np.ndarray:
    """Return the faces that a corruption can be applied to, int (M,): all of them, or those with good landmarks."""
    row, _ = CORRUPTIONS.resolve(text)
    if not row.facts["landmarks"]:
        return np.arange(len(table))
    if table.landmarks is None or table.landmarks.shape[1] not in (5, 68):
        return np.arange(0)
    return np.flatnonzero(wearable(table.landmarks))


def predict_corrupted(
    networks: Sequence[BenchmarkedNetwork],
    table: FaceTable,
    corruptions: Sequence[str],
    seed: int = 0,
    tick: Callable[[int], object] = lambda faces: None,
    piece_bytes: int = _PIECE_BYTES,
) -> list[Predictions]:
    """Predict faces without corruption, and under every corruption and severity.

    Args:
        networks: All see the same corrupted pictures.
        table: Faces of the size at which they are corrupted.
        corruptions: Call strings; one that no face has landmarks for is left out.
        seed: Seed of the corruptions.
        tick: Called with the number of faces that all networks have predicted.
        piece_bytes: Size of the pieces in which faces are corrupted and predicted.
    """
    predictions = [Predictions(network.logits(table.images), {}, {}) for network in networks]
    for text in corruptions:
        rows = rows_for(text, table)
        if not rows.size:
            continue
        found: list[list[tuple[int, np.ndarray]]] = [[] for _ in networks]
        for severity, images in _conditions(table, text, rows, seed, piece_bytes):
            for number, network in enumerate(networks):
                found[number].append((severity, network.logits(images)))
            tick(len(images))
        for number, one in enumerate(predictions):
            one.corrupted[text], one.rows[text] = _by_severity(found[number]), rows
    return predictions


def landmarks_digest(table: FaceTable) -> str | None:
    """Return what tells whether two runs had the same landmarks."""
    return None if table.landmarks is None else _digest(table.landmarks)


def _by_severity(found: list[tuple[int, np.ndarray]]) -> np.ndarray:
    return np.stack([np.concatenate([z for s, z in found if s == severity]) for severity in SEVERITIES])


def _conditions(
    table: FaceTable, text: str, rows: np.ndarray, seed: int, piece_bytes: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield severity and corrupted faces, piece by piece; the next piece is made while the network works."""
    most = max(1, piece_bytes // max(1, int(np.prod(table.image_shape))))
    tasks = [(s, rows[i : i + most]) for s in SEVERITIES for i in range(0, len(rows), most)]

    def make(task: tuple[int, np.ndarray]) -> tuple[int, np.ndarray]:
        severity, part = task
        landmarks = None if table.landmarks is None else table.landmarks[part]
        return severity, corrupt(table.images[part], text, severity, seed, table.ids[part], landmarks)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(make, tasks[0])
        for task in tasks[1:]:
            ready, waiting = waiting.result(), pool.submit(make, task)
            yield ready
        yield waiting.result()


def _reference(
    plan: BenchmarkPlan, settings: Mapping[str, Any], corruptions: Sequence[str], landmarks: str | None
) -> tuple[NetworkErrors | None, BenchmarkedNetwork | None]:
    """Return the reference's stored errors, or the network to run beside; neither where there is none.

    A network that is its own reference does not run twice.
    """
    wanted = plan.reference
    if wanted == _NONE or not corruptions:
        return None, None
    if str(wanted).endswith(".json"):
        return read_errors(wanted, settings, corruptions, landmarks), None
    if wanted is None:
        try:
            return read_errors(STORED, settings, corruptions, landmarks), None
        except UserError:
            wanted = NETWORK
    same = _place(wanted) == _place(plan.model) and plan.view == "center"
    return None, None if same else BenchmarkedNetwork.load(wanted)


def _place(model: Path | str | BenchmarkedNetwork) -> object:
    """Return what tells whether two models are one."""
    return model if isinstance(model, BenchmarkedNetwork) else models.weights_path(model).resolve()


def _skipped(table: FaceTable, corruptions: Sequence[str], faces: SharedFaces, count: int) -> list[str]:
    lines = []
    if count < len(table):
        lines.append(f"{len(table) - count} of {len(table)} faces left out: a network has no class for them.")
    for text in corruptions:
        found = rows_for(text, faces.table).size
        if found < count:
            lines.append(f"{text}: {count - found} of {count} faces left out, they have no landmarks. See --landmarks.")
    return lines


def _digest(*columns: np.ndarray) -> str:
    state = hashlib.blake2b(digest_size=8)
    for column in columns:
        state.update(np.ascontiguousarray(column).data)
    return state.hexdigest()
