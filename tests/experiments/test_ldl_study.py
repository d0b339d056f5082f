"""The study of soft targets: runs differ in targets alone, all are scored on the same faces, and the sums are right."""

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_tf import datasets
from fer_tf.errors import UserError
from fer_tf.training.parts import load_tables
from fer_tf.tuning import commandline, runner

SCRIPT = Path(__file__).parents[2] / "experiments" / "ldl_study.py"
SPEC = importlib.util.spec_from_file_location("ldl_study_script", SCRIPT)
ldl_study = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ldl_study)
USUAL = ("--dataset", "synthetic_ferplus(faces=200)", "--epochs", "10", "--width", "0.125")


def options(*arguments: str) -> argparse.Namespace:
    return commandline.parser(ldl_study.STUDY).parse_args([*USUAL, *arguments])


def digest(table) -> str:
    """Of the faces and targets alone: whether targets are drawn in training is no matter in evaluation."""
    return replace(table, draw_targets=False).digest()


def test_the_runs_of_a_network_differ_in_data_and_loss_alone():
    runs = ldl_study.configs(options("--seeds", "0,1"))
    assert len(runs) == 2 * 2 * len(ldl_study.TARGETS) == len({c.digest() for c in runs})
    for network in ("vgg13", "resnet10"):
        mine = [c.to_json() for c in runs if c.name.startswith(network) and c.seed == 1]
        differing = {k for k in mine[0] if any(m[k] != mine[0][k] for m in mine)}
        assert differing == {"name", "dataset", "loss"}
    assert {tuple(runner.setting_name(c).split(" ", 1)) for c in runs} == {
        (n, t) for n in ("vgg13", "resnet10") for t in ldl_study.TARGETS
    }


def test_vgg13_has_the_rates_of_the_paper():
    from fer_tf.training import schedules

    run = ldl_study.configs(options("--model", "vgg13", "--width", "1", "--epochs", "100"))[0]
    rates = schedules.table(run.schedule, run.learning_rate, 100, 1)
    np.testing.assert_allclose(rates[[0, 19, 20, 39, 40, 99]], [0.005, 0.005, 0.0025, 0.0025, 0.0005, 0.0005])
    assert run.model == "vgg13(width=1.0)" and run.crop is None


@pytest.mark.slow
def test_every_target_is_chosen_and_scored_on_the_same_faces():
    runs = {runner.setting_name(c).split(" ", 1)[1]: c for c in ldl_study.configs(options("--model", "resnet10"))}
    tables = {target: load_tables(config) for target, config in runs.items()}
    for split in ("validation", "test"):
        assert len({digest(tables[t][split]) for t in runs}) == 1
    assert len({tables[t]["train"].digest() for t in runs}) == len(runs) - 3  # smoothing, KL and JS are losses
    assert len({ldl_study.voted_faces(config).digest() for config in runs.values()}) == 1
    wide, narrow = ldl_study.voted_faces(runs["majority"]), tables["majority"]["test"]
    assert set(narrow.ids) < set(wide.ids) and (wide.targets.max(axis=1) < 1).any()
    same = [tables[t]["train"].ids.tolist() for t in ("fer2013 label", "most votes", "sharpened", "cross-entropy")]
    assert same[0] == same[1] == same[2] == same[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--loss", "kl"), "every target has its own loss"),
        (("--dataset", "synthetic_ferplus(mode='majority')"), "the study sets 'mode' itself"),
        (("--dataset", "fer2013", "--data", "x"), "dataset 'fer2013' takes no 'mode'"),
    ],
)
def test_what_contradicts_the_study_is_said(arguments, message):
    with pytest.raises(UserError, match=message):
        ldl_study.configs(options(*arguments))


def test_leaks_are_asked_of_datasets_that_have_them():
    runs = ldl_study.configs(options("--dataset", "ferplus", "--data", "x", "--leaks", "drop_near"))
    assert all("leaks='drop_near'" in c.dataset for c in runs)
    assert not any("leaks" in c.dataset for c in ldl_study.configs(options()))


def rows(network, target, accuracies):
    measures = dict.fromkeys(ldl_study.MEASURES, 0.5)
    return [
        {"network": network, "target": target, "seed": i, "val_accuracy": a, "accuracy": a, "macro_f1": a / 2,
         "ece": 0.1, **measures}
        for i, a in enumerate(accuracies)
    ]  # fmt: skip


def test_summary_by_hand():
    runs = pd.DataFrame(
        rows("n", "cross-entropy", [84, 86]) + rows("n", "majority", [80, 82, 84]) + rows("m", "probability", [70])
    )
    table = ldl_study.summary(runs)
    assert list(table.index) == [("n", "majority"), ("n", "cross-entropy"), ("m", "probability")]
    soft = table.loc[("n", "cross-entropy")]
    assert (soft["seeds"], soft["accuracy"], soft["gain"], soft["paper"]) == (2, 85, 3, 84.716)
    assert soft["accuracy_sd"] == pytest.approx(np.sqrt(2))  # of 84 and 86, divided by n − 1
    assert soft["pooled_sd"] == pytest.approx(np.sqrt((2 + 4) / 2))
    alone = table.loc[("m", "probability")]
    assert np.isnan(alone["gain"]) and np.isnan(alone["accuracy_sd"])


@pytest.mark.real
def test_real_faces_are_the_same_for_all_targets(real_data):
    sizes, scored = {}, set()
    for name, (target, *_) in ldl_study.TARGETS.items():
        text = ", ".join(f"{k}={v!r}" for k, v in target.items())
        table = datasets.get(f"ferplus({text})", real_data)
        sizes[name] = len(table.select("train"))
        scored.add((digest(table.select("validation")), digest(table.select("test"))))
    assert len(scored) == 1 and sizes["fer2013 label"] == sizes["cross-entropy"] > sizes["majority"]
