"""The heat maps' experiment and benchmark, as a user starts them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_tf.explain.faithfulness import gains_table

ROOT = Path(__file__).parents[2]


def run(name, *arguments, cwd):
    command = [sys.executable, str(ROOT / "experiments" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_gains_are_paired_with_the_random_maps_of_the_same_faces():
    areas = {"a": [0.2, 0.4, 0.9], "random": [0.3, 0.2, 0.5]}
    faces = pd.concat(
        pd.DataFrame({"method": name, "right": [True, True, False], "deletion": d, "insertion": d, "hot": 0.5})
        for name, d in areas.items()
    )
    table = gains_table(faces).set_index(["method", "predictions"])
    right = table.loc[("a", "right")]
    assert right["faces"] == 2 and right["deletion"] == pytest.approx(0.3)
    assert right["deletion_gain"] == pytest.approx(100 * (0.1 - 0.2) / 2)
    assert right["insertion_gain"] == pytest.approx(100 * (0.2 - 0.1) / 2)
    assert right["insertion_gain_se"] == pytest.approx(100 * np.std([-0.1, 0.2], ddof=1) / np.sqrt(2))
    assert table.loc[("a", "wrong"), "insertion_gain"] == pytest.approx(40)
    assert (table.loc["random"][["deletion_gain", "insertion_gain"]] == 0).all(axis=None)


@pytest.mark.slow
def test_the_experiment_leaves_tables_and_a_figure(tmp_path):
    ended = run("explain.py", "--quick", "--methods", "gradcam,eigencam", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    out = tmp_path / "runs" / "explain"
    assert ended.stdout.splitlines()[-3:] == [
        f"wrote runs/explain/{n}" for n in ("faces.csv", "explain.csv", "explain.png")
    ]
    faces = pd.read_csv(out / "faces.csv")
    assert len(faces) == 4 * 48 and faces[["deletion", "insertion", "hot"]].to_numpy().min() >= 0
    table = pd.read_csv(out / "explain.csv")
    assert list(table["method"].unique()) == ["gradcam", "eigencam", "random", "center"]
    assert (table.groupby("method")["faces"].sum() == 48).all()
    with Image.open(out / "explain.png") as figure:
        assert np.asarray(figure).std() > 10


def test_a_mistake_is_one_line(tmp_path):
    ended = run("explain.py", "--methods", "gradcam,cam", cwd=tmp_path)
    assert ended.returncode == 2 and "Unknown heat map method 'cam'" in ended.stderr
    assert "Traceback" not in ended.stderr and not list(tmp_path.iterdir())
