"""Memory of reading shards, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "stream_shards.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def peaks(ended):
    """Return the peak in GB by part."""
    assert ended.returncode == 0, ended.stderr[-2000:]
    return {part: float(peak) for part, peak in re.findall(r"^(\w+) .* peak +([\d.]+) GB", ended.stdout, re.MULTILINE)}


def test_memory_does_not_grow_with_the_shards(tmp_path):
    ended = run("--gigabytes", 0.4, "--steps", 0, "--out", tmp_path / "shards")
    found = peaks(ended)
    assert re.search(r"^shards +0.4\d GB in 11 files", ended.stdout, re.MULTILINE)
    assert "read         45,056 faces" in ended.stdout
    # For 45,000 rows, a batch and what NumPy takes on first use: a quarter of the pixels.
    assert found["read"] < found["imports"] + 0.1
    assert not (tmp_path / "shards").exists()


@pytest.mark.slow
def test_training_stays_below_two_gigabytes(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    found = peaks(run("--quick", "--keep", "--out", tmp_path / "shards"))
    assert list(found) == ["imports", "opened", "read", "trained"] and found["trained"] < 2
    assert (tmp_path / "shards" / "index.json").is_file()
    over = run("--quick", "--steps", 0, "--limit", 0.001, "--out", tmp_path / "shards")
    assert over.returncode == 1 and "over the limit" in over.stderr
    assert (tmp_path / "shards" / "index.json").is_file()  # of an earlier start, and so not its own to delete
    refused = run("--quick", "--out", tmp_path / "full")
    assert refused.returncode == 2 and "is not empty" in refused.stderr and (tmp_path / "full" / "mine.txt").exists()
