"""The building blocks of training on Keras' JAX backend: the same tests in one other process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = (
    "test_optimizers.py",
    "test_averaging.py",
    "test_sharpness.py",
    "test_schedule_free.py",
    "test_muon.py",
    "test_learning_rates.py",
)


@pytest.mark.slow
def test_the_same_on_jax():
    pytest.importorskip("jax", reason="JAX is not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / name) for name in FILES)]
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
