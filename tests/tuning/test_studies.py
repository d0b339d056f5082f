"""The two studies: which runs they have, under which names, with which decay."""

import argparse

import pytest

from fer_tf.errors import UserError
from fer_tf.training import schedules
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS
from fer_tf.tuning import optimizer_study, regularizer_study
from fer_tf.tuning.runner import Result


def test_every_optimizer_runs_constant_and_nesterov_with_every_schedule():
    pairs = optimizer_study.grid("cross", epochs=10)
    assert {o for o, s in pairs if s == "constant"} == set(OPTIMIZERS)
    names = [s.partition("(")[0] for o, s in pairs if o == "nesterov"]
    assert sorted(names) == sorted(
        ["constant", "step", "plateau", "cosine", "warm_restarts", "one_cycle", "warmup_cosine"]
    )
    assert len(pairs) == len(set(pairs)) == 19


def test_the_full_grid_has_every_optimizer_with_plateau_too():
    pairs = optimizer_study.grid("full", epochs=300)
    assert {o for o, s in pairs if s.startswith("plateau")} == set(OPTIMIZERS) - {"schedule_free_adamw"}
    assert ("nesterov", "step") in pairs and ("nesterov", "cosine") in pairs


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 10, 30, 99, 100, 300])
def test_schedules_are_valid_for_any_length(epochs):
    for text in optimizer_study.schedules(epochs):
        built = schedules.get(text, 0.01, epochs, steps_per_epoch=7)
        assert built.plateau is not None or built.table.shape == (7 * epochs,)


def test_short_schedules_still_do_what_their_names_say():
    rates = {s.partition("(")[0]: s for s in optimizer_study.schedules(30)}
    step = schedules.table(rates["step"], 1.0, 30, 1)
    assert step[-1] == pytest.approx(0.5**4)
    cosine = schedules.table(rates["cosine"], 1.0, 31, 1)
    assert cosine[10] < 1e-5 and cosine[20] == pytest.approx(1) and cosine[30] < 1e-5


def test_decay_is_of_the_kind_that_the_name_means():
    assert optimizer_study.settings("adam", "own", 1e-4) == {"optimizer": "adam", "learning_rate": 0.001, "l2": 1e-4}
    adamw = optimizer_study.settings("adamw", "own", 1e-4)
    assert "l2" not in adamw and adamw["weight_decay"] * adamw["learning_rate"] == pytest.approx(1e-4 * 0.01)


def test_learning_rate_of_the_study_own_or_given():
    assert optimizer_study.settings("adadelta", "study", 0)["learning_rate"] == 0.01
    assert optimizer_study.settings("lion", "study", 0)["learning_rate"] == OPTIMIZERS["lion"].facts["learning_rate"]
    assert optimizer_study.settings("lion", "0.5", 0)["learning_rate"] == 0.5
    with pytest.raises(UserError, match=r"Unknown learning rate 'fast'\. Expected own, study or a number"):
        optimizer_study.settings("lion", "fast", 0)


def test_each_regularizer_differs_from_the_baseline_in_one_thing():
    base = RunConfig(name="x", augment=("light",), dropout=0.0)
    variants = {c.name: c for c in regularizer_study.variants(base)}
    assert len(variants) == 21
    assert len({c.digest() for c in variants.values()}) == 21
    baseline = variants["baseline"].to_json()
    for name, config in variants.items():
        changed = [k for k, v in config.to_json().items() if v != baseline[k] and k != "name"]
        assert len(changed) == (name != "baseline"), name
    assert variants["coupled decay 5e-4"].l2 and not variants["coupled decay 5e-4"].weight_decay
    assert variants["decoupled decay 5e-4"].weight_decay and not variants["decoupled decay 5e-4"].l2


def test_a_network_without_batch_norm_or_spatial_dropout_has_no_such_rows():
    names = {c.name for c in regularizer_study.variants(RunConfig(name="x", model="resnet10(width=0.1)"))}
    assert len(names) == 19 and "no batch-norm" not in names and "dropout 0.5" in names


def test_report_takes_no_results_at_all(tmp_path):
    failed = Result(RunConfig(name="a"), tmp_path / "a", None, "disk <full>")
    written = regularizer_study.report([failed], tmp_path, argparse.Namespace())
    assert tmp_path / "results.md" in written and "disk &lt;full&gt;" in (tmp_path / "report.html").read_text()
