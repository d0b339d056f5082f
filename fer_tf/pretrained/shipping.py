"""From a finished run to files that ship: the calibrated network, its numbers, and the card for people."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.pretrained import FOLDER, card, measuring
from fer_tf.training.callbacks import facts_for
from fer_tf.training.config import RunConfig
from fer_tf.training.run import CONFIG, ENVIRONMENT, METRICS, MODEL, read_json


class Notes(NamedTuple):
    """What no file of a run says.

    Attributes:
        command: the command line that made the run.
        hardware: where the time of a face was measured.
        training_hardware: where it was trained.
    """

    command: str = ""
    hardware: str = ""
    training_hardware: str = ""


def ship(
    run: Path,
    name: str,
    dataset: str | None = None,
    data: str | None = None,
    out: Path = FOLDER,
    notes: Notes | None = None,
) -> list[Path]:
    """Write ``NAME.keras``, ``NAME.json`` and ``NAME.md`` from a finished run.

    The temperature is fitted on validation; nothing is chosen on test.

    Args:
        run: folder of a finished run.
        name: of the shipped network: small letters, digits, hyphens.
        dataset: call string of what to score it on; ``None`` for the run's own.
        data: folder of the dataset; ``None`` for the run's own.
        out: where the files go.
        notes: what the card should say besides.

    Returns:
        The three files.

    Raises:
        UserError: no finished run, a name that is no file name, or data of other classes than the network's.
    """
    notes = notes or Notes()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise UserError(f"{name!r} is no name. Expected small letters, digits and hyphens, such as ferplus-small.")
    config, metrics, environment = (read_json(Path(run) / file) for file in (CONFIG, METRICS, ENVIRONMENT))
    if config is None or metrics is None or not (Path(run) / MODEL).is_file():
        raise UserError(f"{run} is no finished run. Expected a folder with {CONFIG}, {METRICS} and {MODEL}.")
    config = RunConfig.from_json(config)
    dataset, data = dataset or config.dataset, data or config.data
    network = models.load_model(Path(run) / MODEL)
    tables = measuring.load_faces(dataset, data, network.metadata.face_size if network.metadata else config.image_size)
    facts = network.metadata or facts_for(config, tables["train"], network)
    if facts.label_set.classes != tables["test"].label_set.classes:
        names = ", ".join(facts.label_set.classes)
        raise UserError(f"The network tells {names}, but {dataset} has {', '.join(tables['test'].label_set.classes)}.")
    facts = replace(facts, temperature=measuring.fitted_temperature(network, tables["validation"]))
    path = Path(out) / f"{name}.keras"
    models.save_model(network, path, facts)
    opinions = measuring.load_opinions(dataset, data, facts.face_size)
    record = {
        "name": name,
        "file": _file(path),
        "network": {**measuring.measured_network(network, facts), "hardware": notes.hardware},
        "data": {"dataset": dataset, **measuring.measured_data(tables)},
        "training": _training(config, metrics, environment or {}, notes),
        **measuring.measured_scores(network, tables, opinions, facts.temperature),
    }
    atomic.write_json(path.with_suffix(".json"), record)
    atomic.write_text(path.with_suffix(".md"), card.render(record))
    return [path, path.with_suffix(".json"), path.with_suffix(".md")]


def _file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _training(config: RunConfig, metrics: dict, environment: dict, notes: Notes) -> dict[str, Any]:
    """Return how the network was trained, without the names of anybody's folders."""
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
    """Cut absolute paths down to file names, also inside call strings."""
    return re.sub(r"(?<![\w.])/(?:[^/'\"]+/)*", "", value) if isinstance(value, str) else value
