"""The scripts as a user starts them."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fer_tf import models

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(p.name for p in (ROOT / "experiments").glob("*.py"))
STUDIES = {
    "vgg_optim_sweep.py": "adam-constant", "vgg_regularizer_sweep.py": "baseline", "small_resnet.py": "resnet10",
    "zoo.py": "scn", "noisy_labels.py": "scn 30%", "regions.py": "ran sigmoid", "landmarks.py": "landmarks 1",
    "multitask.py": "expression, valence, arousal", "ldl_study.py": "resnet10 sharpened",
    "ghostface_robustness.py": "resnet10 both 20%",
}  # fmt: skip
# What the others write beside results.csv.
TABLES = {
    "zoo.py": "zoo.csv", "noisy_labels.py": "noise.csv", "regions.py": "occlusion.csv", "ldl_study.py": "ldl.csv",
    "ghostface_robustness.py": "robustness.csv",
}  # fmt: skip


def script(name, *arguments, cwd):
    command = [sys.executable, str(ROOT / "experiments" / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_help_with_examples(name, tmp_path):
    ended = script(name, "--help", cwd=tmp_path)
    assert ended.returncode == 0 and f"python experiments/{name}" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_leaves_table_page_and_winner(name, tmp_path):
    run = STUDIES[name]
    ended = script(name, "--quick", "--only", run, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    out = tmp_path / "runs" / f"{Path(name).stem}_quick"
    assert f"wrote {out.relative_to(tmp_path) / 'report.html'}" in ended.stdout
    table = pd.read_csv(out / "results.csv")
    assert list(table["run"]) == [run] and list(table["status"]) == ["done"]
    winner = models.load_model(out / "winner.keras")
    assert models.logits_of(winner.output).shape == (None, len(winner.metadata.label_set))
    assert name not in TABLES or len(pd.read_csv(out / TABLES[name])) == 1
    page = (out / "report.html").read_text()
    assert f"| {run} | 1 |" in (out / "results.md").read_text()
    assert run in page and page.count("data:image/png;base64,") >= 2
    again = script(name, "--quick", "--only", run, cwd=tmp_path)
    pd.testing.assert_frame_equal(table, pd.read_csv(out / "results.csv"))  # the finished run was kept, times and all
    assert again.returncode == 0


@pytest.mark.slow
def test_fusion_trains_its_members_first(tmp_path):
    ended = script("fusion.py", "--quick", "--width", "0.05", "--limit", "96", "--fusion-epochs", "1", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr[-2000:]
    table = pd.read_csv(tmp_path / "runs" / "fusion_quick" / "results.csv")
    assert list(table["run"]) == ["vgg19", "resnet18", "fusion frozen", "fusion fine-tuned"]
    assert list(table["status"]) == ["done"] * 4
