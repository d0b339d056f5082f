"""Walls of the house: TensorFlow only in its rooms, nothing at import, the same run on another backend."""

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fer_tf

# The rooms that need TensorFlow; all others must import and work without it.
TENSORFLOW_ROOMS = {
    "fer_tf.demo.analysis", "fer_tf.explain.explainer", "fer_tf.explain.faithfulness", "fer_tf.explain.methods",
    "fer_tf.explain.pictures", "fer_tf.faces.crop", "fer_tf.faces.extraction", "fer_tf.inference.classifier",
    "fer_tf.inference.pipeline", "fer_tf.serving.devices", "fer_tf.serving.savedmodel", "fer_tf.serving.signatures",
}  # fmt: skip
MODULES = sorted(m.name for m in pkgutil.walk_packages(fer_tf.__path__, "fer_tf."))


# Imports go down only. Evaluation stands beside training, which chooses its epochs by it.
FLOORS = (
    {"cli", "errors", "registry", "labels", "facetable", "io", "progress"},
    {"datasets", "augment", "models", "layers", "losses", "metrics"},
    {"input_pipeline", "evaluation", "training", "faces"},
    {"privacy", "robustness", "publish", "reports", "tuning", "inference", "explain", "serving", "shards", "stats"},
    {"__main__", "commands", "demo", "gradcam", "export", "client", "predict"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(path):
    """Return the rooms of fer_tf that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "fer_tf":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fer_tf."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("fer_tf."))


def test_imports_go_down_only():
    root = Path(fer_tf.__file__).parent
    rooms = {p.relative_to(root).parts[0].removesuffix(".py") for p in root.rglob("*.py")} - {"__init__"}
    assert rooms == set(FLOOR), "a new room needs a floor"
    up = [
        f"{path.relative_to(root)} imports {room}"
        for path in root.rglob("*.py")
        for room in imported_rooms(path)
        if room in FLOOR and FLOOR[room] > FLOOR.get(path.relative_to(root).parts[0].removesuffix(".py"), 9)
    ]
    assert not up


# A finder that refuses, because Keras takes an entry of None in sys.modules for TensorFlow itself.
BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
"""


def python(code):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(fer_tf.__file__).parents[1])}
    ended = subprocess.run(
        [sys.executable, "-c", BLOCK + code], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def test_everything_else_imports_with_tensorflow_blocked():
    others = [m for m in MODULES if m not in TENSORFLOW_ROOMS]
    assert len(others) > 40 and set(MODULES) >= TENSORFLOW_ROOMS
    code = f"""
import importlib
for name in {others}:
    importlib.import_module(name)
assert not {{"ray", "optuna"}} & set(sys.modules)
"""
    python(code)  # pyarrow is imported by pandas wherever it is installed


def test_importing_the_package_loads_nothing_heavy():
    code = """
import fer_tf, fer_tf.labels, fer_tf.facetable, fer_tf.datasets, fer_tf.augment, fer_tf.models
heavy = {"keras", "tensorflow", "jax", "torch", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    python(code)


@pytest.mark.slow
def test_a_vgg_trains_three_steps_on_jax_without_tensorflow(tmp_path):
    code = f"""
import keras
from fer_tf.training.config import RunConfig
from fer_tf.training.run import execute
from fer_tf.training.parts import load_tables
assert keras.backend.backend() == "jax"
config = RunConfig(name="jax", dataset="synthetic(faces=90)", model="vgg(width=0.03)", batch_size=20, epochs=1,
                   augment=("light",), averaging="ema(decay=0.5)")
assert len(load_tables(config)["train"]) // 20 == 3
metrics = execute(config, {str(tmp_path)!r})
print(metrics["best_epoch"], metrics["test"]["accuracy"])
"""
    best_epoch, accuracy = python(code).split()
    assert best_epoch == "1" and 0 <= float(accuracy) <= 1
    assert (tmp_path / "model.keras").is_file()
