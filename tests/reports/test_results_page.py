"""Pages of results: every number comes from the folders of the runs."""

import json
import math

import pandas as pd
import pytest

from fer_tf.reports import results_page
from fer_tf.training.config import RunConfig


def run(root, name, seed, right, seconds=60.0, **settings):
    """Write what a finished run leaves: ``right`` of 100 test faces, 60 of which are of the first class."""
    folder = root / f"{name}-{seed}"
    folder.mkdir()
    config = RunConfig(name=f"{name}-seed{seed}", seed=seed, epochs=4, limit=500, data="/home/me/faces", **settings)
    environment = {"machine": "x86_64", "processor": "AMD EPYC", "cores": 2, "keras": "3.15.1", "backend": "tensorflow"}
    confusion = [[right, 60 - right], [0, 40]]
    metrics = {
        "val_accuracy": right / 100, "best_epoch": 3, "seconds": seconds,
        "test": {"accuracy": (right + 40) / 100, "macro_f1": 0.5, "confusion": confusion},
    }  # fmt: skip
    for file, value in (("config", config.to_json()), ("environment", environment), ("metrics", metrics)):
        (folder / f"{file}.json").write_text(json.dumps(value))
    return folder


@pytest.fixture
def folders(tmp_path):
    return [run(tmp_path, "a", 0, 20), run(tmp_path, "a", 1, 24), run(tmp_path, "b", 0, 40, 180.0, learning_rate=0.5)]


def test_runs_are_averaged_over_seeds_and_sorted_by_validation(folders):
    table = results_page.runs_table(folders, {"a": "60.1 (arXiv 1)"}).set_index("run")
    assert list(table.index) == ["b", "a"] and list(table["seeds"]) == [1, 2]
    a = table.loc["a"]
    assert (a["validation"], a["test"], a["minutes"], a["published"]) == (
        0.22,
        pytest.approx(0.62),
        1,
        "60.1 (arXiv 1)",
    )
    assert a["sd"] == pytest.approx(math.sqrt(2 * 0.02**2)) and math.isnan(table.loc["b", "sd"])
    assert (a["low"], a["high"]) == pytest.approx(results_page.wilson_interval(0.62, 100))
    assert pd.isna(table.loc["b", "published"])


def test_the_page_says_command_data_settings_hardware_and_chance(folders):
    page = results_page.results_page("A study", folders, "python experiments/a.py --data DIR", {"a": "60.1"})
    plain = page.replace("\n", " ")
    assert page.startswith("# A study\n\n```sh\npython experiments/a.py --data DIR\n```\n")
    assert "3 runs, 5.0 minutes of training on 2 cores of AMD EPYC with Keras 3.15.1 (tensorflow)" in plain
    assert "the 100 test faces are scored once, view center" in plain and "would score 60.0 % on test" in plain
    assert "`dataset='synthetic'`, `limit=500`, `epochs=4`, `batch_size=64`, seeds 0, 1" in plain
    # What differs between the runs, and what is at its default, is not said to be the same.
    assert "learning_rate" not in page and "crop" not in page and "/home/me" not in page
    header, _, first, second = (line for line in page.splitlines() if line.startswith("|"))
    columns = "run seeds validation test interval sd macro-F1 epoch minutes published"
    assert [name.split()[-1] for name in header.strip("| ").split(" | ")] == columns.split()
    assert first == "| b | 1 | 40 | 80 | 71.1–86.7 | – | 50 | 3 | 3 | – |"
    assert second == "| a | 2 | 22 | 62 | 52.2–70.9 | 2.83 | 50 | 3 | 1 | 60.1 |"


def test_a_study_without_results_has_a_page(tmp_path):
    assert "No run ended well." in results_page.results_page("A study", [], "python a.py")


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # Newcombe 1998, table I, method 3.
    [
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)  # fmt: skip
def test_wilson_interval_as_published(share, count, low, high):
    assert results_page.wilson_interval(share, count) == pytest.approx((low, high), abs=5e-5)
