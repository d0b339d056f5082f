"""The audited network and the faces that it was, and was not, trained on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf import callstring, evaluation, pretrained
from fer_tf.datasets.noise import flip_labels
from fer_tf.datasets.pictures import resized
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable, converted
from fer_tf.models import facts_of
from fer_tf.privacy import scores
from fer_tf.privacy.draws import balanced
from fer_tf.privacy.predictions import Predictions
from fer_tf.training.config import RunConfig
from fer_tf.training.run import CONFIG, load_tables

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
    path = pretrained.path_of(model)
    network = pretrained.load_model(model)
    facts, config = facts_of(network), config_beside(path)
    dataset = dataset or (config.dataset if config else facts.dataset)
    if not dataset:
        raise UserError(f"{path} does not say what it was trained on. Give --dataset, and --data for real faces.")
    trained = config is not None
    config = config or RunConfig(name=path.stem, image_size=None, crop=None, seed=0)
    same = callstring.parse(dataset) == callstring.parse(config.dataset)
    data = str(Path(data).absolute()) if data else config.data if same else None
    return Subject(str(model), network, replace(config, dataset=dataset, data=data, landmarks=None), trained)


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


def tables_of(subject: Subject) -> dict[str, FaceTable]:
    """Return the three splits as the network met them: its size of face, its classes, its wrong labels.

    Where labels of the training faces were made wrong on purpose, those of the test faces are, too: pairs of a face
    and a label then come from one distribution, and a wrong label alone does not tell a member.
    """
    facts, config = facts_of(subject.network), subject.config
    tables = {}
    for split, table in load_tables(config).items():
        if split == "test" and config.label_noise:
            table, _ = flip_labels(table, config.label_noise, config.seed)
        table = converted(table, facts.label_set)
        tables[split] = table.with_images(resized(table.images, facts.face_size))
    return tables


@dataclass(frozen=True, eq=False)
class AuditedFaces:
    """Members and non-members, as many of each in every class.

    Attributes:
        images: uint8 (N, H, W, channels), not augmented.
        labels: int (N,).
        member: bool (N,).
        ids: str (N,).
        rows: int (N,), their places among the training faces followed by the test faces.
    """

    images: np.ndarray
    labels: np.ndarray
    member: np.ndarray
    ids: np.ndarray
    rows: np.ndarray


def audited_faces(train: FaceTable, test: FaceTable, most: int | None = None, seed: int = 0) -> AuditedFaces:
    """Draw as many training as test faces of each class, at most ``most`` of either side."""
    labels = np.concatenate([train.labels, test.labels])
    member = np.arange(len(labels)) < len(train)
    rows = balanced(labels, member, most, seed)
    inside, outside = rows[member[rows]], rows[~member[rows]] - len(train)
    images = np.concatenate([train.images[inside], test.images[outside]])
    ids = np.concatenate([train.ids[inside].astype(str), test.ids[outside].astype(str)])
    return AuditedFaces(images, labels[rows], member[rows], ids, rows)


def answers(network: "keras.Model", faces: AuditedFaces) -> Predictions:
    """Return what a network with facts says of the faces, at its temperature: what its users are told."""
    facts = facts_of(network)
    logits = evaluation.logits(network, faces.images) / facts.temperature
    return Predictions(scores.from_logits(logits), faces.labels, faces.member, facts.label_set.classes, faces.ids)
