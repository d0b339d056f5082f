"""The ranking of a study over its seeds, with intervals, and who is trained again."""

from dataclasses import replace

import numpy as np
import pytest

from fer_tf.io import atomic
from fer_tf.training.config import RunConfig
from fer_tf.tuning import optimizer_study, regularizer_study, results
from fer_tf.tuning.results import Result
from fer_tf.tuning.study_page import Ranking

FACES = 200


def run(root, name, validation, right, seed=None, targets=True, **settings):
    """Write what a finished run leaves: the first ``right`` of the test faces are named rightly."""
    suffix = "" if seed is None else f"-seed{seed}"
    config = RunConfig(name=f"{name}{suffix}", seed=seed or 0, **settings)
    folder = root / config.folder()
    folder.mkdir()
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
        Result(RunConfig(name="lost"), tmp_path / "lost", None, "no data"),
    ]


def test_settings_are_ranked_by_their_mean_on_validation(runs):
    table = Ranking.of(runs).table()
    assert list(table["run"]) == ["lion-constant", "muon-constant", "adam-constant"]
    assert list(table["seeds"]) == [1, 2, 1] and list(table["rank"]) == [1, 2, 3]
    assert table.loc[1, ["val", "test"]].tolist() == [85.0, 86.0]
    assert list(table["vs. 1st"]) == ["", "unclear", "worse"] and (table["±"] > 3).all()
    assert results.ranked(runs)[1].runs[0].config.seed == 0  # the better of the two is the one that is kept


def test_the_text_fits_a_terminal_and_says_what_is_real(runs, tmp_path):
    long = run(tmp_path, "expression, valence and arousal together", 0.1, 20)
    text = Ranking.of([*runs, long]).text()
    assert max(map(len, text.splitlines())) <= 100
    assert "ranks 3 and 4 are worse by more than chance; rank 2 cannot be told from it" in " ".join(text.split())
    assert Ranking.of(runs[-1:]).text() == "No run ended well."


def test_runs_of_an_older_version_have_no_intervals(runs, tmp_path):
    ranking = Ranking.of([*runs, run(tmp_path, "old", 0.5, 100, targets=False)])
    assert "±" not in ranking.table() and ranking.sentence() == ""


def test_the_chart_has_a_place_for_each_pair_that_ran_and_no_other(tmp_path):
    pairs = optimizer_study.grid("cross", 8)
    ended = [
        run(tmp_path, f"{o}-{s.partition('(')[0]}", 0.5, 100 + i, optimizer=o, schedule=s)
        for i, (o, s) in enumerate(pairs)
    ]
    [(heading, figure)] = optimizer_study.charts(ended)
    above, below = figure.axes
    assert heading == "Accuracy by optimizer and schedule"
    assert above.get_title(loc="left") == "Optimizers at a constant rate" and len(above.get_yticks()) == 13
    assert below.get_title(loc="left") == "Schedules of nesterov" and len(below.get_yticks()) == 7
    assert [c.has_xerr for c in (*above.containers, *below.containers)] == [True, True]
    assert len(optimizer_study.charts(ended[:2])) == 1 and optimizer_study.charts(ended[:1])


def test_regularizers_are_compared_with_the_baseline_not_the_winner(tmp_path):
    ended = [run(tmp_path, "baseline", 0.5, 100), run(tmp_path, "SAM 0.05", 0.7, 120)]
    [(_, figure)] = regularizer_study.charts(ended)
    [bar] = figure.axes[0].patches
    assert bar.get_width() == pytest.approx(10) and "baseline's 50.0 %" in figure.axes[0].get_xlabel()
    assert regularizer_study.charts(ended[1:]) == []


def test_the_leaders_run_again_once_all_have_ended(runs):
    configs, folders = [r.config for r in runs], [r.folder for r in runs]
    assert results.leading(configs, folders, 2, seed=5) == []  # one has neither a result nor a failure
    folders[-1].mkdir()
    atomic.write_json(folders[-1] / "failure.json", {"reason": "no data"})
    again = results.leading(configs, folders, 2, seed=5)
    assert [c.name for c in again] == ["muon-constant-seed0-seed5", "lion-constant-seed5"]
    assert again[1] == replace(configs[3], seed=5, name="lion-constant-seed5")
