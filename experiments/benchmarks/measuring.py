"""Measure rows in rounds, both sides in turn, and the growth of costs."""

import contextlib
import importlib
import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

from benchmarks import worker
from benchmarks.rows import Group, Row
from benchmarks.worker import JobFailed, Worker

LIST = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"


@dataclass
class Side:
    """Collect what one side of a row did, round by round."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)  # seconds of all threads
    mb: float | None = None  # peak of resident memory
    found: Any = None  # what the job returned, such as how many faces it found
    same: Any = None  # what both sides must agree on
    failed: str = ""  # why there is no more
    profile: Mapping[str, float] = field(default_factory=dict)  # milliseconds of a job's parts

    def do(self, work: Callable[[str], Any], job: str, counts: bool) -> None:
        """Have the job done once; a round that does not count compiles, opens and loads."""
        if self.failed:
            return
        try:
            clock, processor, self.found, mb = work(job)
        except JobFailed as error:
            self.failed = f"failed: {error}"
            return
        told = self.found if isinstance(self.found, dict) else {}
        self.same, self.mb = told.get("same"), max(self.mb or 0, told.get("mb", mb))
        if counts:
            self.seconds.append(told.get("seconds", clock))
            self.processor.append(processor)


@dataclass(frozen=True)
class Measured:
    """Hold what the rounds of a row gave, and the other package with its version, or why there is nothing of it."""

    row: Row
    ours: Side = field(default_factory=Side)
    theirs: Side = field(default_factory=Side)
    peer: str = ""

    @property
    def failed(self) -> str:
        """Why there is nothing of ours."""
        if self.ours.failed or self.ours.same == self.theirs.same or not self.theirs.seconds:
            return self.ours.failed
        return f"not the same job: ours {self.ours.same}, theirs {self.theirs.same}"

    @property
    def ratios(self) -> list[float]:
        """Their seconds over ours, round by round."""
        whole = not self.failed and not self.theirs.failed
        return [b / a for a, b in zip(self.ours.seconds, self.theirs.seconds, strict=False)] if whole else []

    @property
    def met(self) -> bool | None:
        """Whether what is wanted was reached; ``None`` where nothing is, or nothing can be said."""
        row, seconds = self.row, self.ours.seconds
        said = [not self.failed] if self.failed else []
        said += [median(seconds) <= row.limit * row.count] if row.limit and seconds else []
        said += [self.ours.mb <= row.limit_mb] if row.limit_mb and self.ours.mb is not None else []
        said += [median(self.ratios) >= row.wanted] if row.wanted and self.ratios else []
        return all(said) if said else None


def installed(pythons: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the packages and versions of each Python, our own last."""
    found = {}
    for python in [*pythons, sys.executable]:
        said = subprocess.run([python, "-c", LIST], capture_output=True, text=True, check=True).stdout
        found[python] = {name.replace("_", "-"): version for name, version in json.loads(said).items()}
    return found


def with_all(pythons: Mapping[str, Mapping[str, str]], packages: Sequence[str]) -> str | None:
    """Return the first Python that has all the packages; the running one where none are named."""
    return next((p for p, has in pythons.items() if set(packages) <= has.keys()), None) if packages else sys.executable


def command(python: str, module: str, role: str, folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return how a process of jobs is started."""
    return [python, worker.__file__, module, role, str(folder), json.dumps(dict(settings))]


def measure(
    group: Group, pythons: Mapping[str, Mapping[str, str]], rounds: int, cores: int, folder: Path, profile: bool = False
) -> Iterator[Measured]:
    """Measure the rows of a group; with ``profile`` also do the jobs that are called "profile" and the row's job."""
    ours, theirs = with_all(pythons, group.needs), with_all(pythons, group.theirs)
    if ours is None:
        yield from (Measured(row, peer=f"not measured: {', '.join(group.needs)} not installed") for row in group.rows)
        return
    peer = "this package"
    if group.theirs:
        peer = f"{' and '.join(group.theirs)} not installed together in any Python given"
        peer = f"{group.theirs[0]} {pythons[theirs][group.theirs[0]]}" if theirs else peer
    settings = {**group.settings, "cores": cores}
    if hasattr(importlib.import_module(f"benchmarks.{group.jobs}"), "prepare"):
        prepare = command(ours, group.jobs, "prepare", folder, settings)
        subprocess.run(prepare, check=True, cwd=folder, stdout=sys.stderr)
    sides = [(ours, "ours", group.ours), (theirs, "theirs", {})]
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(command(python, group.jobs, role, folder, settings), folder, role, environment))
            for python, role, environment in sides[: 1 + bool(theirs and any(row.peer for row in group.rows))]
        ]
        for row in group.rows:
            found = in_turn(row, workers[: 1 + row.peer], 0 if row.once else rounds, peer if row.peer else "")
            for side, work in zip((found.ours, found.theirs), workers if profile else (), strict=False):
                with contextlib.suppress(JobFailed):
                    side.profile = dict(work(f"profile {row.job}")[2])
            yield found


def in_turn(row: Row, workers: Sequence[Callable[[str], Any]], rounds: int, peer: str) -> Measured:
    """Do a row's job in rounds by turns; the first of ``rounds + 1`` does not count, unless it is the only one."""
    sides, turns = [Side() for _ in workers], list(range(len(workers)))
    for number in range(rounds + 1):
        for i in turns[:: 1 if number % 2 else -1]:
            sides[i].do(workers[i], row.job, counts=number > 0 or not rounds)
    failed = f" {sides[1].failed}" if len(sides) > 1 and sides[1].failed else ""
    return Measured(row, *sides, peer=f"{peer}{failed}")


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent p of the power law y ~ x**p that fits best on logarithmic axes."""
    return linear_regression([math.log(value) for value in x], [math.log(value) for value in y]).slope


def grow(
    task: str, values: Mapping[str, Sequence[int]], rounds: int, cores: int, folder: Path
) -> dict[str, dict[int, float]]:
    """Return axis → value → median seconds of a task; values are taken in turn within a round."""
    seconds: dict[tuple[str, int], list[float]] = {}
    for used in sorted({cores, *values.get("workers", ())}):
        asked = {axis: list(given) for axis, given in values.items() if axis != "workers" and used == cores}
        asked |= {"workers": [used]} if used in values.get("workers", ()) else {}
        settings = {"task": task, "values": asked, "cores": used}
        with Worker(command(sys.executable, "growth", "ours", folder, settings), folder, "growth") as process:
            jobs = [(axis, value) for axis, given in asked.items() for value in given]
            for number, (axis, value) in itertools.product(range(rounds + 1), jobs):
                clock, _, found, _ = process(f"{axis} {value}")
                took = found["seconds"] if isinstance(found, dict) else clock
                seconds.setdefault((axis, value), []).extend([took] if number else [])
    return {axis: {v: median(seconds[axis, v]) for v in given} for axis, given in values.items()}
