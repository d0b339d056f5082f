"""Do jobs in a process of its own.

``python worker.py MODULE prepare|ours|theirs FOLDER SETTINGS`` reads a job's name a line and answers with its seconds.
"""

import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Name of a job → what does it. It may return a number, such as of the faces that it found, or a dict with what it
# measured itself ("seconds", "mb") and what both sides must agree on ("same").
Work = Mapping[str, Callable[[], Any]]

EXPERIMENTS = Path(__file__).resolve().parents[1]


class JobFailed(Exception):
    """A job raised, or its process ended; the message is the last line that it wrote."""


def main(arguments: Sequence[str]) -> None:
    """Prepare files in the folder, or do the jobs of one side."""
    module, role, folder, text = arguments
    settings = json.loads(text)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings["cores"]])
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"), str(settings["cores"]))
    from fer_tf import cli

    # As the package's commands set it; for the others, too.
    cli.prepare_environment()
    os.environ["PYTHONPATH"] = str(EXPERIMENTS.parent)  # for the programs that jobs start

    def load() -> Work | None:
        return getattr(importlib.import_module(f"benchmarks.{module}"), role)(Path(folder), settings)

    load() if role == "prepare" else serve(load)


def serve(load: Callable[[], Work]) -> None:
    """Do a job for each line on stdin; answer with seconds by the clock and by the processor, result, and peak MB."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the answers
    jobs = load()
    for line in sys.stdin:
        reset_peak()
        clock, processor = time.perf_counter(), time.process_time()
        try:
            found = jobs[line.strip()]()
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        else:
            answer = [time.perf_counter() - clock, time.process_time() - processor, found, peak_mb()]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def reset_peak() -> None:
    """Have ``peak_mb`` count from now, where the kernel allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the largest resident memory of this process, and what its children hold for themselves now, in MB."""
    try:
        own = _kilobytes(Path("/proc/self/status"), ("VmHWM",))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for task in Path("/proc/self/task").iterdir():
        # A thread or a child may have ended since it was listed.
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                own += _kilobytes(Path(f"/proc/{child}/smaps_rollup"), ("Private_Clean", "Private_Dirty"))
    return own / 1024


def _kilobytes(path: Path, names: Sequence[str]) -> int:
    lines = (line.split() for line in path.read_text().splitlines())
    return sum(int(words[1]) for words in lines if words[0].rstrip(":") in names)


class Worker(contextlib.AbstractContextManager):
    """Run a script that ends in ``serve`` in a folder, with variables beside this process's own."""

    def __init__(self, command: Sequence[str], folder: Path, log: str, environment: Mapping[str, str] | None = None):
        self._log = folder / f"{log}.log"
        with self._log.open("w") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, cwd=folder,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip

    def __call__(self, job: str) -> tuple[float, float, Any, float]:
        """Have a job done; return seconds by the clock and by the processor, its result, and the peak MB."""
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(job + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise JobFailed(self._last_line())
        found = json.loads(answer)
        if isinstance(found, dict):
            raise JobFailed(found["error"])
        return found

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"{' '.join(map(str, self._process.args[:3]))} ended with {self._process.wait()}"

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    # As a script it would find its own folder, and not the one with the benchmarks, nor fer_tf.
    sys.path[:1] = [str(EXPERIMENTS), str(EXPERIMENTS.parent)]
    main(sys.argv[1:])
