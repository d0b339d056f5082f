"""The audited network and the faces that it was, and was not, trained on."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf import callstring, evaluation, models
from fer_tf.datasets import COVERS, DATASETS
from fer_tf.datasets.label_noise import flip_labels
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable, converted
from fer_tf.io.pictures import resized
from fer_tf.models import metadata_of
from fer_tf.privacy import scores
from fer_tf.privacy.draws import balanced
from fer_tf.privacy.predictions import Predictions
from fer_tf.training.config import RunConfig
from fer_tf.training.run import CONFIG
from fer_tf.training.tables import load_tables

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Subject:
    """What is audited.

    Attributes:
        name: what it was called.
        network: with facts.
        config: how its faces are read; how it was trained, where ``trained`` says so.
        trained: whether the configuration is that of the network's own training.
    """

    name: str
    network: "keras.Model"
    config: RunConfig
    trained: bool


def load_subject(model: str, dataset: str | None, data: str | None) -> Subject:
    """Load a network, and find out how it was trained: ``config.json`` beside it, or the record of a shipped network.

    Args:
        model: a shipped name or the path of a ``.keras`` file.
        dataset: call string of its dataset; ``None`` for what it was trained on.
        data: where the dataset is; ``None`` for where it was.

    Raises:
        UserError: no such network, one without facts, or one that does not say on what it was trained.
    """
    path = models.weights_path(model)
    network = models.load_model(model)
    facts, config = metadata_of(network), config_beside(path)
    dataset = dataset or (config.dataset if config else facts.dataset)
    if not dataset:
        raise UserError(f"{path} does not say what it was trained on. Give --dataset, and --data for real faces.")
    trained = config is not None
    config = config or RunConfig(name=path.stem, image_size=None, crop=None, seed=0)
    same = callstring.parse(dataset) == callstring.parse(config.dataset)
    data = str(Path(data).absolute()) if data else config.data if same else None
    return Subject(str(model), network, replace(config, dataset=dataset, data=data), trained)


def config_beside(model: Path) -> RunConfig | None:
    """Return the configuration of the run that made a network; ``None`` where nothing tells.

    Raises:
        UserError: a configuration that cannot be read.
    """
    run, card = model.with_name(CONFIG), model.with_suffix(".json")
    if run.is_file():
        return config_at(run)
    if not card.is_file():
        return None
    try:
        return config_of_card(json.loads(card.read_text(encoding="utf-8"))["training"]["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{card} is no record of a training ({error}).") from None


def config_at(path: Path) -> RunConfig:
    """Read the configuration of a run from its folder, or from the file itself.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    file = path / CONFIG if path.is_dir() else path
    try:
        return RunConfig.from_json(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}. Expected a run's folder or its {CONFIG}.") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is no configuration of a run ({error}).") from None


def config_of_card(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration in a shipped network's record, without the files of another machine."""
    objective = values.get("objective", "classification")
    if callstring.parse(objective)[0] == "distillation":
        objective = "classification"
    return RunConfig.from_json({**values, "data": None, "start": None, "landmarks": None, "objective": objective})


@dataclass(frozen=True, eq=False)
class Tables:
    """The faces of an audit, in the network's size and classes.

    Attributes:
        train: what the network was taught.
        validation: what its epoch was chosen on.
        members: those training faces, with those labels, that the rules of the test faces would keep.
        test: the non-members.
    """

    train: FaceTable
    validation: FaceTable
    members: FaceTable
    test: FaceTable


def tables_of(subject: Subject) -> Tables:
    """Return the faces that the network met, and test faces that were chosen, labelled and covered as its own were.

    What sets training apart from test by rule is no sign of membership: FER+ may train on faces without a majority,
    which are harder, and tests on those with one; a study may cover faces, or make labels wrong, in training alone.
    """
    facts, config = metadata_of(subject.network), subject.config
    taught, same = load_tables(config), alike(config)
    judged = taught if same == config else load_tables(same)
    members, test = judged["train"], judged["test"]
    if config.label_noise:
        test, _ = flip_labels(test, config.label_noise, config.seed)
    members = members.take(np.isin(members.ids, taught["train"].ids))
    parts = [converted(part, facts.label_set) for part in (taught["train"], taught["validation"], members, test)]
    return Tables(*(part.with_images(resized(part.images, facts.face_size)) for part in parts))


def alike(config: RunConfig) -> RunConfig:
    """Return a configuration whose training and test faces are chosen, labelled and covered by one rule.

    Of voted faces that is the rule of the test faces, of parts and covers that of the training faces.
    """
    name, keywords = callstring.parse(config.dataset)
    accepted = inspect.signature(DATASETS[name].load()).parameters
    changed = dict(keywords)
    if {"mode", "evaluation"} <= accepted.keys() and not config.label_noise:
        rule = keywords.get("evaluation", accepted["evaluation"].default)
        if keywords.get("mode", accepted["mode"].default) != rule or {"labels", "temperature"} & keywords.keys():
            changed = {k: v for k, v in keywords.items() if k not in ("labels", "temperature")} | {"mode": rule}
            # Which faces an even spacing takes depends on the rule; all of them, then, and those that were taught.
            config = replace(config, limit=None)
    elif "part" in accepted:
        changed.pop("evaluation", None)
    if config.cover:
        kind, worn = callstring.parse(config.cover)
        same = callstring.render(kind, {**worn, "evaluation": COVERS.make(config.cover).train})
        config = replace(config, cover=same)
    return config if changed == keywords else replace(config, dataset=callstring.render(name, changed))


@dataclass(frozen=True, eq=False)
class AuditedFaces:
    """Members and non-members, as many of each in every class.

    Attributes:
        images: uint8 (N, H, W, channels), not augmented.
        labels: int (N,).
        member: bool (N,).
        ids: str (N,).
    """

    images: np.ndarray
    labels: np.ndarray
    member: np.ndarray
    ids: np.ndarray


def audited_faces(members: FaceTable, others: FaceTable, most: int | None = None, seed: int = 0) -> AuditedFaces:
    """Draw as many members as others of each class, at most about ``most`` of either side."""
    labels = np.concatenate([members.labels, others.labels])
    member = np.arange(len(labels)) < len(members)
    rows = balanced(labels, member, most, seed)
    inside, outside = rows[member[rows]], rows[~member[rows]] - len(members)
    images = np.concatenate([members.images[inside], others.images[outside]])
    ids = np.concatenate([members.ids[inside].astype(str), others.ids[outside].astype(str)])
    return AuditedFaces(images, labels[rows], member[rows], ids)


def answers(network: "keras.Model", faces: AuditedFaces) -> Predictions:
    """Return what a network with facts says of the faces, at its temperature: what its users are told."""
    facts = metadata_of(network)
    logits = evaluation.logits(network, faces.images) / facts.temperature
    return Predictions(scores.from_logits(logits), faces.labels, faces.member, facts.label_set.classes, faces.ids)
