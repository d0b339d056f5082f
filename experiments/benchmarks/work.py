"""The process behind one side of some rows: ``python work.py MODULE prepare|ours|theirs FOLDER SETTINGS``."""

import importlib
import json
import os
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[1]
# As a script it would find its own folder, and not the one with the benchmarks, nor fer_tf.
sys.path[:1] = [str(EXPERIMENTS), str(EXPERIMENTS.parent)]

from benchmarks.worker import Work, serve  # noqa: E402


def main(arguments: list[str]) -> None:
    """Prepare files in the folder, or do the jobs of one side (``benchmarks.worker.serve``)."""
    module, role, folder, text = arguments
    settings = json.loads(text)
    use_cores(settings["cores"])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # For the programs that jobs start.
    os.environ["PYTHONPATH"] = str(EXPERIMENTS.parent)

    def load() -> Work | None:
        jobs = importlib.import_module(f"benchmarks.{module}")
        return getattr(jobs, role)(Path(folder), settings)

    if role == "prepare":
        load()
    else:
        serve(load)


def use_cores(count: int) -> None:
    """Keep to the first ``count`` cores that this process may use, with as many threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"):
        os.environ[name] = str(count)


if __name__ == "__main__":
    main(sys.argv[1:])
