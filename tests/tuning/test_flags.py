"""The flags for searches, early stopping and clusters."""

import sys
from dataclasses import replace
from importlib.util import find_spec

import pandas as pd
import pytest

from fer_tf.training.config import RunConfig
from fer_tf.tuning import Halving, Processes, Ray, commandline, recipes, runner

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="the extra 'search' is not installed")


def configs(options):
    base = RunConfig(name="slow", learning_rate=1e-5, model=recipes.sized(options.model, options.width),
                     **recipes.shared_settings(options))  # fmt: skip
    return recipes.over_seeds([base, replace(base, name="fast", learning_rate=0.02)], options.seeds)


STUDY = commandline.Study("demo", "Demo", "What is it?", configs, defaults={"space": "rate,dropout"})
TINY = ["--dataset", "synthetic(faces=90)", "--model", "vgg(filters=(4, 8), depth=1, head=(8,))", "--width", "1",
        "--epochs", "2", "--batch-size", "16", "--crop", "24"]  # fmt: skip


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        commandline.main(STUDY, arguments)
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "3"], "--trials needs --search optuna."),
        (["--storage", "sqlite:///x"], "--storage needs --search optuna."),
        (["--address", "auto"], "--address needs --executor ray."),
        (["--gpus-per-run", "0.5"], "--gpus-per-run needs --executor ray."),
        (["--retries", "0"], "--retries needs --executor ray."),
        (["--stop-early", "0"], "0 is not above 0"),
        (["--devices", "0"], "0 is not above 0"),
        (["--processes", "-1"], "--processes is -1. Expected 0 or more."),
        (["--devices", "2", "--executor", "ray"], "--devices is for runs on this machine"),
        (["--processes", "2", "--executor", "ray"], "--processes is for runs on this machine"),
        (["--runs-at-once", "2", "--executor", "ray"], "--runs-at-once is for runs on this machine"),
        (["--runs-at-once", "2", "--devices", "2"], "--devices gives a run several graphics cards"),
        (["--runs-at-once", "2", "--executor", "ray"], "--runs-at-once is for runs on this machine"),
        (["--runs-at-once", "2", "--devices", "2"], "--runs-at-once shares them. Leave one out."),
        (["--dataset", "synthetic(faces=90)", "--devices", "64"], "64 devices were asked for; Keras on"),
        pytest.param(["--search", "optuna", "--seeds", "1,2"], "--search takes one seed", marks=needs_optuna),
        pytest.param(["--search", "optuna", "--space", "depth"], "Unknown dimension 'depth'", marks=needs_optuna),
    ],
)
def test_flags_that_would_do_nothing_are_refused(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("optuna", ["--search", "optuna"], "fer-tf[search]"),
        ("optuna", ["--stop-early"], "fer-tf[search]"),
        ("ray", ["--executor", "ray"], "fer-tf[cluster]"),
    ],
)
def test_a_missing_extra_is_named(package, arguments, extra, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert run(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and f"pip install '{extra}'" in lines[0]


@needs_optuna
def test_list_shows_what_is_searched(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--list", "--search", "optuna") == 0
    shown = capsys.readouterr().out.splitlines()[-3:]
    assert shown == [
        "searched: run: slow, fast",
        "searched: rate: 0.1 to 10, by its logarithm",
        "searched: dropout: 0 to 0.6",
    ]
    assert not list(tmp_path.iterdir())


def options(*arguments):
    return commandline._parse(STUDY, arguments)


def test_flags_choose_the_executor():
    load = runner.TableCache()
    ray = ["--executor", "ray"]
    assert commandline.make_executor(options(*ray), load) == Ray()
    more = ["--address", "host:6379", "--cpus-per-run", "2", "--gpus-per-run", "0.5", "--retries", "0"]
    found = commandline.make_executor(options(*ray, *more, "--stop-early", "--epochs", "45"), load)
    assert found == Ray("host:6379", cpus=2.0, gpus=0.5, retries=0, stop=Halving(5))
    found = commandline.make_executor(options("--stop-early", "4", "--devices", "2", "--processes", "3"), load)
    assert isinstance(found, runner.Local)
    assert (found.load, found.stop, found.devices, found.processes) == (load, Halving(4), 2, 3)
    found = commandline.make_executor(options("--runs-at-once", "2", "--processes", "3"), load)
    assert isinstance(found, Processes) and (found.count, found.stop, found.processes) == (2, None, 3)
    found = commandline.make_executor(options("--jit"), load)  # XLA keeps what it compiled until its process ends
    assert isinstance(found, Processes) and found.count == 1
    assert isinstance(commandline.make_executor(options("--jit", "--devices", "2"), load), runner.Local)


@pytest.mark.parametrize(("epochs", "first"), [(1, 1), (9, 1), (17, 1), (45, 5)])
def test_runs_are_compared_first_after_a_ninth_of_their_epochs(epochs, first):
    assert commandline.make_executor(options("--stop-early", "--epochs", str(epochs)), None).stop == Halving(first)


@pytest.mark.slow
@needs_optuna
def test_a_search_leaves_table_page_and_winner_and_goes_on(tmp_path, capsys):
    out = tmp_path / "out"
    search = [*TINY, "--search", "optuna", "--stop-early", "--out", str(out)]
    assert run(*search, "--trials", "2") == 0
    assert "best of 2 trials: 00" in capsys.readouterr().out
    assert run(*search, "--trials", "3") == 0
    assert f"wrote {out / 'trials.csv'}" in capsys.readouterr().out
    table, trials = pd.read_csv(out / "results.csv"), pd.read_csv(out / "trials.csv")
    assert list(trials["trial"]) == [0, 1, 2] and list(trials.columns[3:]) == ["run", "rate", "dropout"]
    states = {"done": "complete", "stopped": "pruned"}
    assert [states[s] for s in table["status"]] == list(trials["state"])
    page = (out / "report.html").read_text()
    assert "Search of 3 trials" in page and "002" in page and (out / "winner.keras").is_file()


@pytest.mark.slow
def test_stop_early_ends_the_worse_run_of_a_study(tmp_path, capsys):
    out = tmp_path / "out"
    assert run(*TINY, "--only", "fast", "--out", str(out)) == 0
    (history,) = out.glob("runs/fast-*/history.csv")
    pd.read_csv(history).assign(val_accuracy=2.0).to_csv(history, index=False)
    assert run(*TINY, "--stop-early", "1", "--out", str(out)) == 0
    table = pd.read_csv(out / "results.csv").set_index("run")
    assert dict(table["status"]) == {"slow": "stopped", "fast": "done"}
    assert "stopped after epoch 1: 1 of 1 other runs were above" in table.loc["slow", "reason"]
    assert "failed" not in capsys.readouterr().err
