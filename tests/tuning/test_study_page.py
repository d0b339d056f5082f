"""The ranking of a study over its seeds, with intervals, and who is trained again."""

from dataclasses import replace

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training.config import RunConfig
from fer_tf.training.run import read_metrics
from fer_tf.tuning import runner, study_page
from fer_tf.tuning.runner import Result
from fer_tf.tuning.study_page import Ranking

FACES = 200


def run(root, name, validation, right, seed=None, targets=True, **settings):
    """Write what a finished run leaves: the first ``right`` of the test faces are named rightly."""
    suffix = "" if seed is None else f"-seed{seed}"
    config = RunConfig(name=f"{name}{suffix}", seed=seed or 0, **settings)
    folder = runner.run_folder(config, root)
    folder.mkdir(parents=True)
    wrong = np.arange(FACES) >= right
    known = {"targets": np.eye(2)[np.zeros(FACES, int)]} if targets else {}
    np.savez(folder / "test_logits.npz", ids=np.arange(FACES).astype(str), logits=np.eye(2)[wrong.astype(int)], **known)
    test = {"accuracy": right / FACES, "macro_f1": 0.5, "faces": FACES}
    metrics = {"best_epoch": 3, "val_accuracy": validation, "seconds": 8.0, "images_per_second": 900.0, "test": test}
    atomic.write_json(folder / "metrics.json", metrics)
    return Result(config, folder, metrics)


@pytest.fixture
def runs(tmp_path):
    return [
        run(tmp_path, "adam-constant", 0.60, 120),
        run(tmp_path, "muon-constant", 0.90, 170, seed=0),
        run(tmp_path, "muon-constant", 0.80, 174, seed=1),
        run(tmp_path, "lion-constant", 0.86, 168),
        Result(RunConfig(name="lost"), runner.run_folder(RunConfig(name="lost"), tmp_path), None, "no data"),
    ]


def test_settings_are_ranked_by_their_mean_on_validation(runs):
    table = Ranking.of(runs).table()
    assert list(table["run"]) == ["lion-constant", "muon-constant", "adam-constant"]
    assert list(table["seeds"]) == [1, 2, 1] and list(table["rank"]) == [1, 2, 3]
    assert table.loc[1, ["val", "test"]].tolist() == [85.0, 86.0]
    assert list(table["vs. 1st"]) == ["", "unclear", "worse"] and (table["±"] > 3).all()
    assert runner.ranked(runs)[1].runs[0].config.seed == 0  # the better of the two is the one that is kept


def test_the_text_fits_a_terminal_and_says_what_is_real(runs, tmp_path):
    long = run(tmp_path, "expression, valence and arousal together", 0.1, 20)
    text = Ranking.of([*runs, long]).text()
    assert max(map(len, text.splitlines())) <= 100
    assert "ranks 3 and 4 are worse by more than chance; rank 2 cannot be told from it" in " ".join(text.split())
    assert Ranking.of(runs[-1:]).text() == "No run ended well."


def test_runs_of_an_older_version_have_no_intervals(runs, tmp_path):
    ranking = Ranking.of([*runs, run(tmp_path, "old", 0.5, 100, targets=False)])
    assert "±" not in ranking.table() and ranking.sentence() == ""


def test_the_leaders_run_again_once_all_have_ended(runs, tmp_path):
    configs = [r.config for r in runs]
    assert runner.leading(configs, tmp_path, 2, seed=5) == []  # one has neither a result nor a failure
    atomic.write_json(runs[-1].folder / "failure.json", {"reason": "no data"})
    again = runner.leading(configs, tmp_path, 2, seed=5)
    assert [c.name for c in again] == ["muon-constant-seed0-seed5", "lion-constant-seed5"]
    assert again[1] == replace(configs[3], seed=5, name="lion-constant-seed5")


def test_a_page_takes_no_finished_run_at_all(tmp_path):
    failed = Result(RunConfig(name="a"), tmp_path / "a", None, "disk <full>")
    written = study_page.write([failed], tmp_path, "A study")
    assert tmp_path / "results.md" in written and "disk &lt;full&gt;" in (tmp_path / "report.html").read_text()


def test_a_damaged_network_is_never_copied_over_the_winner(runs, tmp_path):
    (tmp_path / "winner.keras").write_bytes(b"of an earlier start")
    (runs[3].folder / "model.keras").write_bytes(b"PK damaged")
    with pytest.raises(UserError, match=r"is not a \.keras file"):
        study_page.write(runs, tmp_path, "A study")
    assert (tmp_path / "winner.keras").read_bytes() == b"of an earlier start"
    assert read_metrics(runs[3].folder) is None and read_metrics(runs[0].folder) == runs[0].metrics
    assert runner.finished(runs[3].config, tmp_path) is None
