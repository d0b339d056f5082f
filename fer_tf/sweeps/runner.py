"""Run a list of configurations; keep the results of those that end, and the reasons of those that do not."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_tf.errors import UserError
from fer_tf.sweeps import results
from fer_tf.training.callbacks import RunFailed
from fer_tf.training.config import RunConfig
from fer_tf.training.run import Tables, execute, load_tables


@dataclass(frozen=True)
class Result:
    """How one run ended.

    Attributes:
        config: the run.
        folder: where its files are.
        metrics: contents of its ``metrics.json``, or ``None`` when it failed.
        reason: one line on why it failed, ``""`` when it did not.
    """

    config: RunConfig
    folder: Path
    metrics: dict[str, Any] | None
    reason: str = ""


class TableCache:
    """Keep the tables of the last dataset: the runs of a study share theirs."""

    def __init__(self):
        self._key: tuple = ()
        self._tables: Tables | None = None

    def __call__(self, config: RunConfig) -> Tables:
        """Return the tables of a configuration, read anew only when they are not those of the last call."""
        key = (config.dataset, config.data, config.skip_bad, config.limit)
        if key != self._key:
            self._tables = load_tables(config)
            self._key = key
        return self._tables


def run_all(configs: Sequence[RunConfig], out: Path, load: Callable[[RunConfig], Tables] = load_tables) -> list[Result]:
    """Execute configurations in their order; after each, rewrite ``results.csv``.

    A failure of one run (no finite loss, a full disk, unreadable data, too little memory) is recorded, and the
    others go on.

    Args:
        configs: runs that differ in name or settings.
        out: study folder; each run has a folder below ``out/runs``.
        load: gives the tables of a configuration.

    Returns:
        One result a configuration, in the same order.
    """
    folders = [Path(out) / "runs" / config.folder() for config in configs]
    if len(set(folders)) != len(folders):
        raise UserError("Two runs of the study have the same name and settings.")
    ended: list[Result] = []
    for i, (config, folder) in enumerate(zip(configs, folders, strict=True)):
        description = f"{i + 1}/{len(configs)} {config.name}"
        try:
            ended.append(Result(config, folder, execute(config, folder, load, description)))
        except (RunFailed, UserError, OSError, MemoryError) as error:
            ended.append(Result(config, folder, None, f"{type(error).__name__}: {error}".replace("\n", " ")))
            sys.stderr.write(f"failed: {config.name}: {ended[-1].reason}\n")
        _keep_table(ended, out)
    return ended


def _keep_table(ended: Sequence[Result], out: Path) -> None:
    try:
        results.write(ended, Path(out) / results.FILE)
    except OSError as error:  # A full disk: the runs' own folders have what the next start needs.
        sys.stderr.write(f"could not write {Path(out) / results.FILE}: {error}\n")
