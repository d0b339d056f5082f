"""Run a list of configurations; keep the results of those that end, and the reasons of those that do not."""

import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_tf import atomic
from fer_tf.errors import UserError
from fer_tf.sweeps import results
from fer_tf.training.config import RunConfig
from fer_tf.training.run import METRICS, Tables, execute, load_tables, read_json


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
        noise = (config.label_noise, config.seed if config.label_noise else 0)
        key = (
            config.dataset, config.data, config.skip_bad, config.limit, config.image_size, config.landmarks,
            config.cover, noise,
        )  # fmt: skip
        if key != self._key:
            self._tables = load_tables(config)
            self._key = key
        return self._tables


def run_folder(config: RunConfig, out: Path) -> Path:
    """Return the folder of a run within a study's."""
    return Path(out) / "runs" / config.folder()


def run_all(
    configs: Sequence[RunConfig],
    out: Path,
    load: Callable[[RunConfig], Tables] = load_tables,
    selected: Collection[str] | None = None,
) -> list[Result]:
    """Execute configurations in their order; after each, rewrite ``results.csv``.

    Whatever ends one run (no finite loss, a full disk, unreadable data, too little memory) is recorded, and the others
    go on; the traceback of what was not foreseen is in the run's folder.

    Args:
        configs: runs that differ in name or settings.
        out: study folder; each run has a folder below ``out/runs``.
        load: gives the tables of a configuration.
        selected: names of the runs to execute, ``None`` for all. The others are in the results if they are finished.

    Returns:
        The results that there are, in the order of ``configs``.

    Raises:
        UserError: two equal configurations, ``out`` is no folder, or another process is at work in it.
    """
    folders = {config: run_folder(config, out) for config in configs}
    if len(set(folders.values())) != len(configs):
        raise UserError("Two runs of the study have the same name and settings.")
    chosen = [c for c in configs if selected is None or c.name in selected]
    with atomic.alone_in(Path(out)):
        stored = {c: read_json(folders[c] / METRICS) for c in configs}
        ended = {c: Result(c, folders[c], metrics) for c, metrics in stored.items() if metrics}
        for i, config in enumerate(chosen, start=1):
            ended[config] = _result(config, folders[config], load, f"{i}/{len(chosen)} {config.name}")
            if ended[config].reason:
                sys.stderr.write(f"failed: {config.name}: {ended[config].reason}\n")
            _keep_table([ended[c] for c in configs if c in ended], out)
    return [ended[c] for c in configs if c in ended]


def _result(config: RunConfig, folder: Path, load: Callable[[RunConfig], Tables], description: str) -> Result:
    try:
        return Result(config, folder, execute(config, folder, load, description))
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        try:
            atomic.write_text(folder / "traceback.txt", traceback.format_exc())
        except OSError as full:
            sys.stderr.write(f"could not write {folder / 'traceback.txt'}: {full}\n")
        return Result(config, folder, None, reason)


def _keep_table(ended: Sequence[Result], out: Path) -> None:
    try:
        results.write(ended, Path(out) / results.FILE)
    except OSError as error:  # A full disk: the runs' own folders have what the next start needs.
        sys.stderr.write(f"could not write {Path(out) / results.FILE}: {error}\n")
