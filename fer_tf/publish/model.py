"""Write the published files of a finished run: network, numbers and model card."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.pretrained import FOLDER
from fer_tf.publish import card, measure
from fer_tf.training.callbacks import metadata_for
from fer_tf.training.config import RunConfig
from fer_tf.training.run import CONFIG, ENVIRONMENT, METRICS, MODEL, read_json


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
    out: Path = FOLDER,
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
    config, metrics, environment = (read_json(Path(run) / file) for file in (CONFIG, METRICS, ENVIRONMENT))
    if config is None or metrics is None or not (Path(run) / MODEL).is_file():
        raise UserError(f"{run} is not a finished run. Expected a folder with {CONFIG}, {METRICS} and {MODEL}.")
    config = RunConfig.from_json(config)
    dataset, data = dataset or config.dataset, data or config.data
    network = models.load_model(Path(run) / MODEL)
    tables = measure.load_faces(dataset, data, network.metadata.face_size if network.metadata else config.image_size)
    facts = network.metadata or metadata_for(config, tables["train"], network)
    if facts.label_set.classes != tables["test"].label_set.classes:
        names = ", ".join(facts.label_set.classes)
        raise UserError(
            f"The network has the classes {names}, but {dataset} has {', '.join(tables['test'].label_set.classes)}."
        )
    facts = replace(facts, temperature=measure.fitted_temperature(network, tables["validation"]))
    path = Path(out) / f"{name}.keras"
    models.save_model(network, path, facts)
    distributions = measure.load_distributions(dataset, data, facts.face_size)
    record = {
        "name": name,
        "file": _file(path),
        "network": {**measure.measured_network(network, facts), "hardware": notes.hardware},
        "data": {"dataset": dataset, **measure.measured_data(tables)},
        "training": _training(config, metrics, environment or {}, notes),
        **measure.measured_scores(network, tables, distributions, facts.temperature),
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
