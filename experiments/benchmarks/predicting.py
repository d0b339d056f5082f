"""From photographs, faces and videos to expressions, beside PyPI fer: the jobs of ``bench_predict.py``."""

from pathlib import Path
from typing import Any

import bench_predict

from benchmarks.worker import Work


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Write what both read."""
    bench_predict.write_files(folder)


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return a way to do each job of ``bench_predict.JOBS``."""
    return bench_predict.our_work(folder)


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return fer's ways."""
    return bench_predict.their_work(folder)
