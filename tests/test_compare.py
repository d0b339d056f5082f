"""``fer-tf compare``: what it says of run folders whose predictions are drawn."""

import json

import numpy as np
import pandas as pd
import pytest

from fer_tf import cli
from fer_tf.training import RunConfig

FACES = 400


def write_run(folder, name, seed, accuracy, faces=FACES):
    """Write a finished run that is right about the first ``accuracy`` of shuffled faces."""
    config = RunConfig(name, seed=seed)
    targets = np.eye(7)[np.arange(faces) % 7]
    order = np.random.default_rng(0).permutation(faces)  # faces that are difficult for one are so for all
    wrong = order[round(accuracy * faces) :]
    logits = targets.copy()
    logits[wrong] = np.roll(targets[wrong], 1, axis=1)
    folder = folder / "runs" / config.folder()
    folder.mkdir(parents=True)
    ids = np.array([f"face{i}" for i in range(faces)])
    np.savez(folder / "test_logits.npz", ids=ids, logits=logits.astype("float32"), targets=targets.astype("float32"))
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    scores = {"faces": faces, "accuracy": accuracy, "macro_f1": accuracy}
    metrics = {"val_accuracy": accuracy, "best_epoch": 1, "seconds": 1.0, "images_per_second": 1.0, "test": scores}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def compare(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", *map(str, arguments)])
    said = capsys.readouterr()
    return end.value.code or 0, said.out, said.err


def test_a_study_is_compared_with_its_best_on_validation(tmp_path, capsys):
    write_run(tmp_path, "good", 0, 0.9)
    write_run(tmp_path, "equal", 0, 0.8975)
    write_run(tmp_path, "bad", 0, 0.6)
    code, out, _ = compare(capsys, tmp_path, "--out", tmp_path / "figures")
    assert code == 0
    assert "Beside the winner, good, on 400 test faces: rank 3 is worse by more than chance" in " ".join(out.split())
    table = pd.read_csv(tmp_path / "figures" / "compare.csv", index_col="run")
    assert table.loc["bad", "difference"] == pytest.approx(-30)
    assert table.loc["bad", "low"] < -25 and table.loc["bad", "high"] > -35
    assert (table.loc["bad", ["p (t)", "p (bootstrap)", "p (McNemar)"]] < 0.001).all()
    assert table.loc["equal", "verdict"] == "unclear" and pd.isna(table.loc["good", "p (t)"])
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"compare.csv", "compare.md", "intervals.png"}


def test_seeds_are_averaged_and_ranked(tmp_path, capsys):
    for seed, shift in enumerate((0, 0.01, 0.02)):
        for name, accuracy in (("a", 0.8), ("b", 0.7), ("c", 0.6)):
            write_run(tmp_path, name if seed == 0 else f"{name}-seed{seed}", seed, accuracy + shift)
    code, out, _ = compare(capsys, tmp_path, "--out", tmp_path / "figures", "--reference", "b")
    assert code == 0 and (tmp_path / "figures" / "ranks.png").is_file()
    assert "Seeds spread by 1.00 points: to see one point, 17 seeds of each are needed." in " ".join(out.split())
    table = pd.read_csv(tmp_path / "figures" / "compare.csv", index_col="run")
    assert table["seeds"].tolist() == [3, 3, 3] and table.loc["a", "test"] == pytest.approx(81)
    assert table["p (McNemar)"].isna().all() and table.loc["c", "verdict"] == "worse"


def test_mistakes_are_one_line_and_end_with_2(tmp_path, capsys):
    run = write_run(tmp_path / "one", "a", 0, 0.8)
    write_run(tmp_path / "other", "b", 0, 0.8, faces=300)
    for arguments, message in (
        ([tmp_path / "none"], "no finished run"),
        ([run], "Only one setting is finished (a)"),
        ([run, tmp_path / "other"], "was tested on other faces"),
        ([tmp_path / "one", "--reference", "x"], "Only one setting"),
    ):
        code, _, err = compare(capsys, *arguments)
        assert code == 2 and message in err and err.count("\n") == 1
