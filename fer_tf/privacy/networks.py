"""Load the audited network and its member and non-member faces."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer_tf import evaluation, models, registry
from fer_tf.datasets import COVERS, DATASETS
from fer_tf.datasets.splits import flip_labels
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable, converted
from fer_tf.io.pictures import resized
from fer_tf.models import metadata_of
from fer_tf.privacy.predictions import Predictions, ShadowPredictions, balanced_rows, from_logits, shadow_halves
from fer_tf.training.callbacks import RunFailed
from fer_tf.training.config import RunConfig
from fer_tf.training.parts import load_tables
from fer_tf.training.run import CONFIG, MODEL, execute

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class AuditedModel:
    """A network whose training faces are known.

    Attributes:
        name: the name or path that it was loaded by.
        network: the Keras model, with metadata.
        config: the configuration of the run that trained it; without one, how its faces are read.
        trained: whether ``config`` is that of its training.

    Example:
        >>> from fer_tf import privacy
        >>> audited = privacy.load_audited_model("ferplus", dataset="synthetic_ferplus(faces=30)")
        >>> audited.trained, audited.config.dataset
        (True, 'synthetic_ferplus(faces=30)')
    """

    name: str
    network: "keras.Model"
    config: RunConfig
    trained: bool


def load_audited_model(model: str, dataset: str | None = None, data: str | None = None) -> AuditedModel:
    """Load a network and the configuration that it was trained by.

    The configuration is ``config.json`` beside the file, or the record of a shipped network.

    Args:
        model: a shipped name or the path of a ``.keras`` file.
        dataset: call string of its dataset; ``None`` for the one that it was trained on.
        data: folder or file of the dataset; ``None`` for where it was at the training.

    Returns:
        An ``AuditedModel``.

    Raises:
        UserError: no such network, one without metadata, or one that does not say on what it was trained.

    Example:
        >>> from fer_tf import privacy
        >>> privacy.load_audited_model("ferplus", dataset="synthetic_ferplus(faces=30)").name
        'ferplus'
    """
    path = models.weights_path(model)
    network = models.load_model(model)
    facts, config = metadata_of(network), _config_beside(path)
    dataset = dataset or (config.dataset if config else facts.dataset)
    if not dataset:
        raise UserError(f"{path} does not say what it was trained on. Give --dataset, and --data for real faces.")
    trained = config is not None
    config = config or RunConfig(name=path.stem, image_size=None, crop=None, seed=0)
    same = registry.parse(dataset) == registry.parse(config.dataset)
    data = str(Path(data).absolute()) if data else config.data if same else None
    return AuditedModel(str(model), network, replace(config, dataset=dataset, data=data), trained)


def _config_beside(model: Path) -> RunConfig | None:
    """Return the configuration of the run that trained a network; ``None`` where there is none.

    Raises:
        UserError: a configuration that cannot be read.
    """
    run, card = model.with_name(CONFIG), model.with_suffix(".json")
    if run.is_file():
        return read_config(run)
    if not card.is_file():
        return None
    try:
        return _config_of_card(json.loads(card.read_text(encoding="utf-8"))["training"]["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{card} is not a record of a training ({error}).") from None


def read_config(path: Path) -> RunConfig:
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
        raise UserError(f"{file} is not a configuration of a run ({error}).") from None


def _config_of_card(values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration in a shipped network's record, without the files of another machine."""
    objective = values.get("objective", "classification")
    if registry.parse(objective)[0] == "distillation":
        objective = "classification"
    return RunConfig.from_json({**values, "data": None, "start": None, "landmarks": None, "objective": objective})


@dataclass(frozen=True, eq=False)
class AuditTables:
    """The faces of an audit, in the network's size and classes.

    Attributes:
        train: faces and labels that the network was trained on.
        validation: faces that its epoch was chosen on.
        members: training faces that are chosen and labeled by the rules of the test faces.
        test: the non-members.
    """

    train: FaceTable
    validation: FaceTable
    members: FaceTable
    test: FaceTable


def load_tables_of(audited: AuditedModel) -> AuditTables:
    """Load the faces of the training, and test faces chosen, labeled and covered by the same rules.

    A rule that differs between training and test must not be taken for a sign of membership: FER+ may train on faces
    without a majority, which are more difficult, and tests on those with one; a study may cover faces, or flip labels,
    in the training alone.
    """
    facts, config = metadata_of(audited.network), audited.config
    taught, same = load_tables(config), same_rules(config)
    judged = taught if same == config else load_tables(same)
    members, test = judged["train"], judged["test"]
    if config.label_noise:
        test, _ = flip_labels(test, config.label_noise, config.seed)
    members = members.take(np.isin(members.ids, taught["train"].ids))
    parts = [converted(part, facts.label_set) for part in (taught["train"], taught["validation"], members, test)]
    return AuditTables(*(part.with_images(resized(part.images, facts.face_size)) for part in parts))


def same_rules(config: RunConfig) -> RunConfig:
    """Return a configuration whose training and test faces are chosen, labeled and covered by the same rules.

    Of faces with votes that is the rule of the test faces, of parts and covers that of the training faces.
    """
    name, keywords = registry.parse(config.dataset)
    accepted = inspect.signature(DATASETS[name].load()).parameters
    changed = dict(keywords)
    if {"mode", "evaluation"} <= accepted.keys() and not config.label_noise:
        rule = keywords.get("evaluation", accepted["evaluation"].default)
        if keywords.get("mode", accepted["mode"].default) != rule or {"labels", "temperature"} & keywords.keys():
            changed = {k: v for k, v in keywords.items() if k not in ("labels", "temperature")} | {"mode": rule}
            # Which faces a limit takes depends on the rule: load all faces, of which the trained ones are taken later.
            config = replace(config, limit=None)
    elif "part" in accepted:
        changed.pop("evaluation", None)
    if config.cover:
        kind, worn = registry.parse(config.cover)
        same = registry.render(kind, {**worn, "evaluation": COVERS.make(config.cover).train})
        config = replace(config, cover=same)
    return config if changed == keywords else replace(config, dataset=registry.render(name, changed))


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


def draw_faces(members: FaceTable, others: FaceTable, most: int | None = None, seed: int = 0) -> AuditedFaces:
    """Draw as many members as non-members of each class, at most about ``most`` of each."""
    labels = np.concatenate([members.labels, others.labels])
    member = np.arange(len(labels)) < len(members)
    rows = balanced_rows(labels, member, most, seed)
    inside, outside = rows[member[rows]], rows[~member[rows]] - len(members)
    images = np.concatenate([members.images[inside], others.images[outside]])
    ids = np.concatenate([members.ids[inside].astype(str), others.ids[outside].astype(str)])
    return AuditedFaces(images, labels[rows], member[rows], ids)


def predict_faces(network: "keras.Model", faces: AuditedFaces) -> Predictions:
    """Compute a network's predictions for the faces, at its temperature, as its users see them."""
    facts = metadata_of(network)
    logits = evaluation.logits(network, faces.images) / facts.temperature
    return Predictions(from_logits(logits), faces.labels, faces.member, facts.label_set.classes, faces.ids)


def _pool(train: FaceTable, test: FaceTable) -> FaceTable:
    """Return training and test faces as one table of images and targets."""
    columns = {
        name: np.concatenate([getattr(train, name), getattr(test, name)]) for name in ("images", "targets", "ids")
    }
    split = np.full(len(train) + len(test), "train", dtype="U10")
    return FaceTable(**columns, label_set=train.label_set, split=split, draw_targets=train.draw_targets)


def shadow_configs(recipe: RunConfig, count: int, epochs: int | None = None) -> list[RunConfig]:
    """Make the configurations of the shadow models, which differ from the recipe in their seed.

    Args:
        recipe: how the audited network was trained, or is supposed to have been trained.
        count: number S of shadow models.
        epochs: instead of the recipe's.

    Raises:
        UserError: the recipe begins from other networks or needs more of a face than its label.
    """
    needs = [name for name in recipe.columns if name != "index"]
    if recipe.networks or needs:
        what = "other networks" if recipe.networks else ", ".join(needs)
        raise UserError(f"Shadow models are trained from images and labels; this recipe needs {what}. Give another.")
    # The tables have these settings applied already.
    plain = {"label_noise": 0.0, "landmarks": None, "cover": None, "epochs": epochs or recipe.epochs}
    return [replace(recipe, name=f"shadow{i:03d}", seed=recipe.seed + 1 + i, **plain) for i in range(count)]


def train_shadows(
    runs: Sequence[RunConfig], train_table: FaceTable, validation: FaceTable, test: FaceTable, out: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Train the shadow models that are not trained yet.

    Each is trained on its half of the training and test faces, chooses its epoch on validation, and is tested on the
    other half.

    Args:
        runs: from ``shadow_configs``.
        train_table: training faces of the audited network.
        validation: its validation faces.
        test: its test faces.
        out: each run has a folder here; a finished one is kept, an interrupted one is continued.

    Returns:
        str (N,), the ids of all faces, and bool (S, N), which of them each model was trained on.

    Raises:
        UserError: a run cannot be trained.
    """
    pool = _pool(train_table, test)
    seen = shadow_halves(pool.labels, len(runs))
    for i, (config, half) in enumerate(zip(runs, seen, strict=True), start=1):
        tables = {"train": pool.take(half), "validation": validation, "test": pool.take(~half)}
        try:
            execute(config, out / config.folder(), lambda _, tables=tables: tables, f"shadow {i}/{len(runs)}")
        except RunFailed as failure:
            raise UserError(f"Shadow model {i} failed: {failure}. Choose another recipe with --shadow-run.") from None
    return pool.ids.astype(str), seen


def predict_shadows(
    runs: Sequence[RunConfig], out: Path, images: np.ndarray, seen: np.ndarray, temperature: float = 1.0
) -> ShadowPredictions:
    """Compute the predictions of trained shadow models.

    Args:
        runs: from ``shadow_configs``, trained by ``train_shadows``.
        out: folder of their folders.
        images: uint8 (N, H, W, channels).
        seen: bool (S, N), which faces each model was trained on.
        temperature: divides the logits, as those of the audited network.
    """
    found = [
        from_logits(evaluation.logits(models.load_model(out / c.folder() / MODEL), images, crop=c.crop) / temperature)
        for c in runs
    ]
    return ShadowPredictions(np.stack(found), seen)
