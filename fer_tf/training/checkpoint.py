"""Save and restore the state of a run after an epoch."""

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fer_tf.io import atomic


@dataclass
class Progress:
    """What a run knows besides its variables.

    Attributes:
        epoch: finished epochs.
        history: one dict of numbers an epoch.
        best_epoch: 1-based epoch whose network is kept: of the highest validation accuracy so far (the first on ties),
            or the last one, as the configuration says; 0 for none.
        schedule_state: state of a schedule that reacts to results; ``None`` for the others.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    schedule_state: dict[str, Any] | None = None


def _variables(objective: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, list]:
    # `variables` has the dropout seeds besides the weights: without them a continued run draws other masks.
    # The compiled metrics' and the optimizer's variables hang on the trainer, so they are left to their owners.
    network = list(objective.network.variables)
    metrics = [v for m in objective.metrics for v in m.variables]
    others = {id(v) for v in [*network, *metrics, *optimizer.variables]}
    return {
        "network": network,
        "objective": [v for v in objective.variables if id(v) not in others],
        "optimizer": list(optimizer.variables),
    }


def save_state(path: Path, objective: keras.Model, optimizer: keras.optimizers.Optimizer, progress: Progress) -> None:
    """Write the variables of a built objective, its network and the optimizer, and the progress, atomically."""
    arrays = {
        f"{owner}/{i:04d}": keras.ops.convert_to_numpy(v)
        for owner, variables in _variables(objective, optimizer).items()
        for i, v in enumerate(variables)
    }
    with atomic.atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, progress=json.dumps(asdict(progress)), **arrays)


def restore_state(path: Path, objective: keras.Model, optimizer: keras.optimizers.Optimizer) -> Progress | None:
    """Assign what ``save`` wrote to a built objective and optimizer.

    Returns:
        The progress, or ``None`` (nothing assigned) when there is no checkpoint, it cannot be read, or it is of
        another network or objective.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    progress = Progress(**json.loads(str(arrays.pop("progress"))))
    targets = {
        f"{owner}/{i:04d}": v
        for owner, variables in _variables(objective, optimizer).items()
        for i, v in enumerate(variables)
    }
    if {k: a.shape for k, a in arrays.items()} != {k: tuple(v.shape) for k, v in targets.items()}:
        return None
    for name, variable in targets.items():
        variable.assign(arrays[name])
    return progress
