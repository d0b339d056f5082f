"""The two VGG studies: which runs they have, under which names, with which decay, and their figures."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training import schedules
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizers import OPTIMIZERS
from fer_tf.tuning import commandline, recipes
from fer_tf.tuning.runner import Result, run_folder


def load(name):
    spec = importlib.util.spec_from_file_location(f"{name}_script", EXPERIMENTS / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


EXPERIMENTS = Path(__file__).parents[2] / "experiments"
optimizers, regularizers = load("vgg_optim_sweep"), load("vgg_regularizer_sweep")
FACES = 200


def run(root, name, validation, right, **settings):
    return ended(root, RunConfig(name=name, **settings), validation, right)


def ended(root, config, validation, right):
    """Write what a finished run leaves: the first ``right`` of the test faces are named rightly."""
    folder = run_folder(config, root)
    folder.mkdir(parents=True)
    logits, targets = np.eye(2)[(np.arange(FACES) >= right).astype(int)], np.eye(2)[np.zeros(FACES, int)]
    np.savez(folder / "test_logits.npz", ids=np.arange(FACES).astype(str), logits=logits, targets=targets)
    test = {"accuracy": right / FACES, "macro_f1": 0.5, "faces": FACES}
    metrics = {"best_epoch": 3, "val_accuracy": validation, "seconds": 8.0, "images_per_second": 900.0, "test": test}
    atomic.write_json(folder / "metrics.json", metrics)
    return Result(config, folder, metrics)


def test_every_optimizer_runs_constant_and_nesterov_with_every_schedule():
    pairs = optimizers.grid("cross", epochs=10)
    assert {o for o, s in pairs if s == "constant"} == set(OPTIMIZERS)
    names = [s.partition("(")[0] for o, s in pairs if o == "nesterov"]
    assert sorted(names) == sorted(
        ["constant", "step", "plateau", "cosine", "warm_restarts", "one_cycle", "warmup_cosine"]
    )
    assert len(pairs) == len(set(pairs)) == 19


def test_the_full_grid_has_every_optimizer_with_plateau_too():
    pairs = optimizers.grid("full", epochs=300)
    assert {o for o, s in pairs if s.startswith("plateau")} == set(OPTIMIZERS) - {"schedule_free_adamw"}
    assert ("nesterov", "step") in pairs and ("nesterov", "cosine") in pairs


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 10, 30, 99, 100, 300])
def test_schedules_are_valid_for_any_length(epochs):
    for text in recipes.schedules(epochs):
        built = schedules.get(text, 0.01, epochs, steps_per_epoch=7)
        assert built.plateau is not None or built.table.shape == (7 * epochs,)


def test_short_schedules_still_do_what_their_names_say():
    rates = {s.partition("(")[0]: s for s in recipes.schedules(30)}
    step = schedules.table(rates["step"], 1.0, 30, 1)
    assert step[-1] == pytest.approx(0.5**4)
    cosine = schedules.table(rates["cosine"], 1.0, 31, 1)
    assert cosine[10] < 1e-5 and cosine[20] == pytest.approx(1) and cosine[30] < 1e-5


def test_decay_is_of_the_kind_that_the_name_means():
    assert recipes.optimizer_settings("adam", "own", 1e-4) == {"optimizer": "adam", "learning_rate": 0.001, "l2": 1e-4}
    adamw = recipes.optimizer_settings("adamw", "own", 1e-4)
    assert "l2" not in adamw and adamw["weight_decay"] * adamw["learning_rate"] == pytest.approx(1e-4 * 0.01)


def test_learning_rate_of_the_study_own_or_given():
    assert recipes.optimizer_settings("adadelta", "study", 0)["learning_rate"] == 0.01
    assert recipes.optimizer_settings("lion", "study", 0)["learning_rate"] == OPTIMIZERS["lion"].facts["learning_rate"]
    assert recipes.optimizer_settings("lion", "0.5", 0)["learning_rate"] == 0.5
    with pytest.raises(UserError, match=r"Unknown learning rate 'fast'\. Expected own, study or a number"):
        recipes.optimizer_settings("lion", "fast", 0)


def test_each_regularizer_differs_from_the_baseline_in_one_thing():
    options = commandline.parser(regularizers.STUDY).parse_args([])
    variants = {c.name: c for c in regularizers.configs(options)}
    assert len(variants) == 21
    assert len({c.digest() for c in variants.values()}) == 21
    baseline = variants["baseline"].to_json()
    for name, config in variants.items():
        changed = [k for k, v in config.to_json().items() if v != baseline[k] and k != "name"]
        assert len(changed) == (name != "baseline"), name
    assert variants["coupled decay 5e-4"].l2 and not variants["coupled decay 5e-4"].weight_decay
    assert variants["decoupled decay 5e-4"].weight_decay and not variants["decoupled decay 5e-4"].l2


def test_a_network_without_batch_norm_or_spatial_dropout_has_no_such_rows():
    names = regularizers.variants("resnet10(width=0.1)", ())
    assert len(names) == 19 and "no batch-norm" not in names and "dropout 0.5" in names


def test_the_chart_has_a_place_for_each_pair_that_ran_and_no_other(tmp_path):
    pairs = optimizers.grid("cross", 8)
    runs = [
        run(tmp_path, f"{o}-{s.partition('(')[0]}", 0.5, 100 + i, optimizer=o, schedule=s)
        for i, (o, s) in enumerate(pairs)
    ]
    [(heading, figure)] = optimizers.report(runs, None)["charts"]
    above, below = figure.axes
    assert heading == "Accuracy by optimizer and schedule"
    assert above.get_title(loc="left") == "Optimizers at a constant rate" and len(above.get_yticks()) == 13
    assert below.get_title(loc="left") == "Schedules of nesterov" and len(below.get_yticks()) == 7
    assert [c.has_xerr for c in (*above.containers, *below.containers)] == [True, True]
    assert len(optimizers.report(runs[:2], None)["charts"]) == 1 == len(optimizers.report(runs[:1], None)["charts"])


def test_regularizers_are_compared_with_the_baseline_not_the_winner(tmp_path):
    runs = [run(tmp_path, "baseline", 0.5, 100), run(tmp_path, "SAM 0.05", 0.7, 120)]
    [(_, figure)] = regularizers.report(runs, None)["charts"]
    [bar] = figure.axes[0].patches
    assert bar.get_width() == pytest.approx(10) and "baseline's 50.0 %" in figure.axes[0].get_xlabel()
    assert regularizers.report(runs[1:], None) == {}


def test_the_leading_runs_come_again_with_a_second_seed(tmp_path):
    options = commandline.parser(optimizers.STUDY).parse_args(["--out", str(tmp_path), "--finalists", "2"])
    first = optimizers.configs(options)
    assert len(first) == 19
    for i, config in enumerate(first):
        ended(tmp_path, config, i / 100, 150)
    again = optimizers.configs(options)[19:]
    assert [(c.name, c.seed) for c in again] == [(f"{c.name}-seed1", 1) for c in (first[18], first[17])]
