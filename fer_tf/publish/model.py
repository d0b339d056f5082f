"""Measure a finished run, and write its network, numbers and model card."""

import hashlib
import inspect
import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from fer_tf import datasets, evaluation, models, registry
from fer_tf.datasets import DATASETS
from fer_tf.datasets.splits import NEAR, copies_in
from fer_tf.errors import UserError
from fer_tf.evaluation import measure_latency
from fer_tf.facetable import SPLITS, FaceTable
from fer_tf.io import atomic
from fer_tf.io.pictures import resized
from fer_tf.metrics import calibration
from fer_tf.metrics.distribution import softmax
from fer_tf.models.complexity import measure_complexity
from fer_tf.models.saving import SHIPPED
from fer_tf.publish import card
from fer_tf.training.callbacks import metadata_for
from fer_tf.training.config import RunConfig
from fer_tf.training.run import CONFIG, ENVIRONMENT, METRICS, MODEL, read_json, read_metrics

# Latency is measured so many times; the lowest median counts, because other work can only add.
ROUNDS = 5


def load_faces(dataset: str, data: str | None, face_size: int | None) -> dict[str, FaceTable]:
    """Load the splits of a dataset, resized to the face size of a network (``None`` means no resizing)."""
    return _splits(datasets.get(dataset, data), face_size)


def load_distributions(dataset: str, data: str | None, face_size: int) -> FaceTable | None:
    """Load the test faces with label distributions; ``None`` if the dataset has none."""
    name, keywords = registry.parse(dataset)
    if "evaluation" not in inspect.signature(DATASETS[name].load()).parameters:
        return None
    wide = registry.render(name, {**keywords, "evaluation": "cross_entropy"})
    return _splits(datasets.get(wide, data), face_size)["test"]


def _splits(table: FaceTable, face_size: int | None) -> dict[str, FaceTable]:
    tables = {split: table.select(split) for split in SPLITS}
    return {s: t.with_images(resized(t.images, face_size)) if face_size else t for s, t in tables.items()}


# How much of the change to equally frequent classes is applied, in the model card.
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def fitted_temperature(network: keras.Model, validation: FaceTable) -> float:
    """Fit the calibration temperature on the validation split."""
    return calibration.fit_temperature(evaluation.logits(network, validation.images), validation.targets)


def measured_scores(
    network: keras.Model, tables: Mapping[str, FaceTable], distributions: FaceTable | None, temperature: float
) -> dict[str, Any]:
    """Compute the scores on validation and test.

    Args:
        network: A model whose input is the central part of the faces.
        tables: The ``train``, ``validation`` and ``test`` faces.
        distributions: Test faces with label distributions, or ``None``.
        temperature: Calibration temperature, which divides the logits.

    Returns:
        A dict with ``validation``, ``test``, ``test_flip`` (mean logits of a face and its mirror image),
        ``test_without_copies`` (faces without a copy in train or validation), ``distribution``, ``calibration``
        (before and after the temperature) and ``prior`` (see ``prior_scores``).
    """
    logits = {split: evaluation.logits(network, tables[split].images) for split in ("validation", "test")}
    flipped = evaluation.logits(network, tables["test"].images, view="flip")
    new = ~_with_copies(tables)
    record = {split: evaluation.scores(z / temperature, tables[split]) for split, z in logits.items()}
    record["test_flip"] = evaluation.scores(flipped / temperature, tables["test"])
    record["test_without_copies"] = evaluation.scores(logits["test"][new] / temperature, tables["test"].take(new))
    record["calibration"] = {
        split: {"before": _calibration(z, tables[split]), "after": _calibration(z / temperature, tables[split])}
        for split, z in logits.items()
    }
    shares = tables["train"].targets.mean(axis=0, dtype=np.float64)
    record["prior"] = prior_scores({split: z / temperature for split, z in logits.items()}, tables, shares)
    if distributions is not None:
        scored = evaluation.logits(network, distributions.images) / temperature
        record["distribution"] = evaluation.distribution_scores(scored, distributions)
    return record


def prior_scores(
    logits: Mapping[str, np.ndarray], tables: Mapping[str, FaceTable], shares: np.ndarray
) -> dict[str, Any] | None:
    """Compute the scores of answers that are shifted towards equally frequent classes.

    Args:
        logits: Calibrated logits (N, C) of each split.
        tables: The faces of each split.
        shares: Share of each class in the training targets, shape (C,).

    Returns:
        A dict with ``shares`` by class, and for each split a list of scores, one for each of ``STRENGTHS``; ``None``
        where a class does not occur in training.
    """
    if not (shares > 0).all():
        return None
    names = ("accuracy", "balanced_accuracy", "macro_f1", "ece")
    found: dict[str, Any] = {"shares": dict(zip(tables["test"].label_set.classes, shares.tolist(), strict=True))}
    for split, z in logits.items():
        shifts = {strength: calibration.prior_shift(shares, np.ones_like(shares), strength) for strength in STRENGTHS}
        scored = {strength: evaluation.scores(z + shift, tables[split]) for strength, shift in shifts.items()}
        found[split] = [{"strength": s, **{name: scores[name] for name in names}} for s, scores in scored.items()]
    return found


def _calibration(logits: np.ndarray, table: FaceTable) -> dict[str, float]:
    """Return calibration error, negative log-likelihood, and mean confidence minus accuracy."""
    scores, probabilities = evaluation.scores(logits, table), softmax(logits)
    excess = float(probabilities.max(axis=1).mean()) - scores["accuracy"]
    return {"ece": scores["ece"], "nll": scores["nll"], "overconfidence": excess}


def _with_copies(tables: Mapping[str, FaceTable]) -> np.ndarray:
    """Mark test faces with an exact or near copy in train or validation: bool (N,)."""
    return copies_in(tables["train"], tables["test"]).near | copies_in(tables["validation"], tables["test"]).near


def measured_data(tables: Mapping[str, FaceTable]) -> dict[str, Any]:
    """Return digests, sizes and class counts of the splits, and the duplicates between them."""
    pairs = list(itertools.combinations(SPLITS, 2))
    copies = {(a, b): copies_in(tables[a], tables[b]) for a, b in pairs}
    shared = {pair: np.intersect1d(tables[pair[0]].ids, tables[pair[1]].ids).size for pair in pairs}
    return {
        "digest": {split: table.digest() for split, table in tables.items()},
        "faces": {split: len(table) for split, table in tables.items()},
        "class_counts": {s: dict(_counts(t)) for s, t in tables.items()},
        "near_correlation": NEAR,
        "copies": [
            {"of": b, "in": a, "ids": shared[a, b], "exact": int(c.exact.sum()), "exact_or_near": int(c.near.sum())}
            for (a, b), c in copies.items()
        ],
    }


def _counts(table: FaceTable) -> list[tuple[str, int]]:
    return list(zip(table.label_set.classes, table.class_counts().tolist(), strict=True))


def measured_network(network: keras.Model, facts: models.ModelMetadata) -> dict[str, Any]:
    """Return the architecture, size and latency of the network."""
    size = measure_complexity(network)
    return {
        "model": facts.model,
        "label_set": facts.label_set.name,
        "classes": list(facts.label_set.classes),
        "input": list(network.input_shape[1:]),
        "face_size": facts.face_size,
        "temperature": facts.temperature,
        "views": facts.views,
        "parameters": size.parameters,
        "non_trainable": size.non_trainable,
        "macs": size.macs,
        "milliseconds": min(measure_latency(network) for _ in range(ROUNDS)),
    }


class Notes(NamedTuple):
    """Describe what a run folder does not record.

    Attributes:
        command: Command line that made the run.
        hardware: Hardware on which the latency is measured.
        training_hardware: Hardware on which the run was trained.
    """

    command: str = ""
    hardware: str = ""
    training_hardware: str = ""


def publish_model(
    run: Path,
    name: str,
    dataset: str | None = None,
    data: str | None = None,
    out: Path = SHIPPED,
    notes: Notes | None = None,
) -> list[Path]:
    """Write ``NAME.keras``, ``NAME.json`` and ``NAME.md`` from a finished run.

    The temperature is fitted on the validation split; nothing is chosen on the test split.

    Args:
        run: Folder of a finished run.
        name: Name of the published network: lower-case letters, digits and hyphens.
        dataset: Call string of the dataset to score on; ``None`` means the run's own.
        data: Folder of the dataset; ``None`` means the run's own.
        out: Folder for the files.
        notes: Further facts for the card.

    Returns:
        The paths of the three files.

    Raises:
        UserError: The run is not finished, the name is not valid, or the data have other classes than the network.
    """
    notes = notes or Notes()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise UserError(
            f"{name!r} is not a valid name. Expected lower-case letters, digits and hyphens, such as ferplus-small."
        )
    config, environment = (read_json(Path(run) / file) for file in (CONFIG, ENVIRONMENT))
    metrics = read_metrics(Path(run))
    if config is None or metrics is None or not (Path(run) / MODEL).is_file():
        raise UserError(f"{run} is not a finished run. Expected a folder with {CONFIG}, {METRICS} and {MODEL}.")
    config = RunConfig.from_json(config)
    dataset, data = dataset or config.dataset, data or config.data
    network = models.load_model(Path(run) / MODEL)
    tables = load_faces(dataset, data, network.metadata.face_size if network.metadata else config.image_size)
    facts = network.metadata or metadata_for(config, tables["train"], network)
    if facts.label_set.classes != tables["test"].label_set.classes:
        names = ", ".join(facts.label_set.classes)
        raise UserError(
            f"The network has the classes {names}, but {dataset} has {', '.join(tables['test'].label_set.classes)}."
        )
    prior = metadata_for(config, tables["train"], network).prior
    facts = replace(facts, prior=prior, temperature=fitted_temperature(network, tables["validation"]))
    path = Path(out) / f"{name}.keras"
    models.save_model(network, path, facts)
    distributions = load_distributions(dataset, data, facts.face_size)
    record = {
        "name": name,
        "file": _file(path),
        "network": {**measured_network(network, facts), "hardware": notes.hardware},
        "data": {"dataset": dataset, **measured_data(tables)},
        "training": _training(config, metrics, environment or {}, notes),
        **measured_scores(network, tables, distributions, facts.temperature),
    }
    atomic.write_json(path.with_suffix(".json"), record)
    atomic.write_text(path.with_suffix(".md"), card.render(record))
    return [path, path.with_suffix(".json"), path.with_suffix(".md")]


def _file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _training(config: RunConfig, metrics: dict, environment: dict, notes: Notes) -> dict[str, Any]:
    """Return how the network was trained, without absolute paths."""
    settings = {k: _without_folders(v) for k, v in config.to_json().items()}
    return {
        "command": notes.command,
        "hardware": notes.training_hardware,
        "minutes": metrics["seconds"] / 60,
        "best_epoch": metrics["best_epoch"],
        "seed": config.seed,
        "config": {**settings, "data": "DIR" if config.data else None},
        "environment": environment,
    }


def _without_folders(value: Any) -> Any:
    """Shorten absolute paths to file names, also inside call strings."""
    return re.sub(r"(?<![\w.])/(?:[^/'\"]+/)*", "", value) if isinstance(value, str) else value
