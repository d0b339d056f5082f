"""Rounds of both sides in turn, and what they say."""

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from benchmarks.rows import Group, Row
from benchmarks.worker import JobFailed, Worker

WORK = Path(__file__).with_name("work.py")
LIST = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"


@dataclass(frozen=True)
class Measured:
    """What the rounds of a row gave.

    Attributes:
        row: which.
        ours, theirs: seconds of a job, one a round; empty where it could not be done.
        ours_mb, theirs_mb: peak of resident memory.
        peer: the other package and its version, or why there is nothing of it.
        failed: why there is nothing of ours.
    """

    row: Row
    ours: Sequence[float] = ()
    theirs: Sequence[float] = ()
    ours_mb: float | None = None
    theirs_mb: float | None = None
    peer: str = ""
    failed: str = ""

    @property
    def ratios(self) -> list[float]:
        """Their seconds over ours, round by round."""
        return [b / a for a, b in zip(self.ours, self.theirs, strict=False)]

    @property
    def met(self) -> bool | None:
        """Whether what is wanted was reached; ``None`` where nothing is, or nothing can be said."""
        if self.failed:
            return False
        if self.row.limit is not None and self.ours:
            return median(self.ours) <= self.row.limit
        if self.row.wanted is not None and self.ratios:
            return median(self.ratios) >= self.row.wanted
        return None


@dataclass(frozen=True)
class Pythons:
    """The Pythons at hand, those that were named before our own, and what is installed in each."""

    installed: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, named: Sequence[str]) -> "Pythons":
        """Ask each Python for its packages.

        Raises:
            OSError: one of them is no program.
            subprocess.CalledProcessError: it is no Python.
        """
        found = {}
        for python in [*named, sys.executable]:
            said = subprocess.run([python, "-c", LIST], capture_output=True, text=True, check=True).stdout
            found[python] = {name.replace("_", "-"): version for name, version in json.loads(said).items()}
        return cls(found)

    def with_all(self, packages: Sequence[str]) -> str | None:
        """Return the first Python that has all the packages."""
        return next((p for p, has in self.installed.items() if all(name in has for name in packages)), None)

    def version(self, python: str, package: str) -> str:
        """Return ``package`` and its version in a Python."""
        return f"{package} {self.installed[python][package]}"


def command(python: str, module: str, role: str, folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return how ``work.py`` is started."""
    return [python, str(WORK), module, role, str(folder), json.dumps(dict(settings))]


def measure(
    group: Group, pythons: Pythons, rounds: int, cores: int, folder: Path, tick: Callable[[Measured], None]
) -> None:
    """Measure the rows of a group, one after the other; call ``tick`` with each when it is done."""
    settings = {**group.settings, "cores": cores}
    ours = pythons.with_all(group.needs) if group.needs else sys.executable
    theirs = pythons.with_all(group.theirs)
    missing = f"{' and '.join(group.theirs)} not installed together in any Python given"
    peer = missing if theirs is None else pythons.version(theirs, group.theirs[0])
    if ours is None:
        for row in group.rows:
            tick(Measured(row, peer=f"not measured: {', '.join(group.needs)} not installed"))
        return
    if group.files:
        prepare = command(ours, group.jobs, "prepare", folder, settings)
        subprocess.run(prepare, check=True, cwd=folder, stdout=sys.stderr)
    workers = [
        Worker(command(ours, group.jobs, "ours", folder, settings), folder, folder / "ours.log", group.environment)
    ]
    if theirs and any(row.peer for row in group.rows):
        workers.append(Worker(command(theirs, group.jobs, "theirs", folder, settings), folder, folder / "theirs.log"))
    try:
        for row in group.rows:
            tick(in_turn(row, workers[: 2 if row.peer else 1], rounds, peer if row.peer else ""))
    finally:
        for worker in workers:
            worker.close()


def in_turn(row: Row, workers: Sequence[Callable[[str], Any]], rounds: int, peer: str) -> Measured:
    """Do a row's job in rounds, ours and theirs one right after the other, first the one and then the other."""
    seconds: list[list[float]] = [[] for _ in workers]
    peaks, same = [0.0] * len(workers), [None] * len(workers)
    turns = list(range(len(workers)))
    failed = ["" for _ in workers]
    # The first round compiles, opens and loads; it does not count.
    for number in range(rounds + 1):
        for i in turns[:: 1 if number % 2 else -1]:
            if failed[i]:
                continue
            try:
                clock, _, found, mb = workers[i](row.job)
            except JobFailed as error:
                failed[i] = f"failed: {error}"
                continue
            told = found if isinstance(found, dict) else {}
            peaks[i], same[i] = max(peaks[i], told.get("mb", mb)), told.get("same")
            seconds[i] += [told.get("seconds", clock)] if number else []
    if len(workers) == 1 or failed[0]:
        return Measured(row, seconds[0], ours_mb=peaks[0] or None, peer=peer, failed=failed[0])
    if failed[1]:
        return Measured(row, seconds[0], ours_mb=peaks[0], peer=f"{peer} {failed[1]}")
    if same[0] != same[1]:
        return Measured(row, peer=peer, failed=f"not the same job: ours {same[0]}, theirs {same[1]}")
    return Measured(row, *seconds, *peaks, peer)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent p of the power law y ~ x**p that fits best on logarithmic axes."""
    return linear_regression([math.log(value) for value in x], [math.log(value) for value in y]).slope


def grow(
    task: str, values: Mapping[str, Sequence[int]], rounds: int, cores: int, folder: Path
) -> dict[str, dict[int, float]]:
    """Return axis → value → median seconds of a task; values are taken in turn within a round.

    Raises:
        JobFailed: a job could not be done.
    """
    seconds: dict[tuple[str, int], list[float]] = {}
    for used in sorted({cores, *values.get("workers", ())}):
        asked = {axis: list(given) for axis, given in values.items() if axis != "workers" and used == cores}
        asked |= {"workers": [used]} if used in values.get("workers", ()) else {}
        settings = {"task": task, "values": asked, "cores": used}
        worker = Worker(command(sys.executable, "growth", "ours", folder, settings), folder, folder / "growth.log")
        try:
            jobs = [(axis, value) for axis, given in asked.items() for value in given]
            for number, (axis, value) in itertools.product(range(rounds + 1), jobs):
                clock, _, found, _ = worker(f"{axis} {value}")
                took = found["seconds"] if isinstance(found, dict) else clock
                seconds.setdefault((axis, value), []).extend([took] if number else [])
        finally:
            worker.close()
    return {axis: {v: median(seconds[axis, v]) for v in given} for axis, given in values.items()}
