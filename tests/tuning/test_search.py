"""Searches end with as many trials as they should, whatever interrupts them. Accuracies are a formula: no training."""

import csv
import math
import shutil
from dataclasses import replace

import pytest

from fer_tf.errors import UserError
from fer_tf.io import atomic
from fer_tf.training.config import RunConfig
from fer_tf.training.run import read_json
from fer_tf.tuning import runner

optuna = pytest.importorskip("optuna", reason="the extra 'search' is not installed")

from fer_tf.tuning import search  # noqa: E402

RUN = RunConfig(name="a", learning_rate=0.01, epochs=3)
RUNS = [RUN, replace(RUN, name="b", seed=7)]


def accuracy(config):
    """Best, 0.9, for run b at a rate of 0.02."""
    return 0.9 - 0.1 * abs(math.log10(config.learning_rate / 0.02)) - (0.2 if config.seed == 0 else 0.0)


def trained(job):
    """Write what a run leaves, and return its result."""
    value = accuracy(job.config)
    metrics = {"best_epoch": 2, "val_accuracy": value, "seconds": 1.0, "images_per_second": 1.0,
               "test": {"accuracy": 0.5, "macro_f1": 0.5}}  # fmt: skip
    atomic.write_text(job.folder / "history.csv", f"epoch,val_accuracy\n1,{value / 2}\n2,{value}\n")
    atomic.write_json(job.folder / "metrics.json", metrics)
    return runner.Result(job.config, job.folder, metrics)


def local(jobs, fresh=None):
    """Take up what folders hold, as runs do; train the others, and add them to the list ``fresh``."""
    for job in jobs:
        known = {name: read_json(job.folder / f"{name}.json") for name in ("metrics", "failure", "stopped")}
        if any(known.values()):
            reason = next((k["reason"] for k in (known["failure"], known["stopped"]) if k), "")
            yield runner.Result(job.config, job.folder, known["metrics"], reason, stopped=bool(known["stopped"]))
        else:
            if fresh is not None:
                fresh.append(job)
            yield trained(job)


def new(out, trials, **keywords):
    return search.Search("demo", RUNS, search.space_of(("rate", "augment"), RUNS), trials, out, **keywords)


def rows(found):
    return found.table().to_dict("records")


def test_it_finds_what_is_best(tmp_path):
    found = new(tmp_path, 30)
    results = search.run_search(found, local)
    assert [r.config.name[:3] for r in results] == [f"{i:03d}" for i in range(30)]
    best = max(results, key=lambda r: r.metrics["val_accuracy"])
    assert best.config.seed == 7 and 0.015 < best.config.learning_rate < 0.027
    # Random draws of the first ten trials against the last ten.
    means = [sum(accuracy(r.config) for r in part) / 10 for part in (results[:10], results[-10:])]
    assert means[1] > means[0] + 0.05
    with (tmp_path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [r["run"] for r in table] == [r.config.name for r in results] and {r["status"] for r in table} == {"done"}
    with (tmp_path / "trials.csv").open() as file:
        assert list(next(csv.DictReader(file))) == ["trial", "state", "val_accuracy", "run", "rate", "augment"]


@pytest.mark.parametrize("after", [0, 3, 13])
def test_interrupted_and_continued_it_draws_the_same(tmp_path, after):
    # SQLite's URLs have their own use for some characters.
    whole = new(tmp_path / "50 %20 ? #1", 15)
    search.run_search(whole, local)

    def killed(jobs):
        for i, job in enumerate(jobs):
            if i == after:
                raise KeyboardInterrupt
            yield trained(job)

    with pytest.raises(KeyboardInterrupt):
        search.run_search(new(tmp_path / "killed", 15), killed)
    again = new(tmp_path / "killed", 15)
    results = search.run_search(again, local)
    assert rows(again) == rows(whole) and len(results) == 15
    fresh = []
    assert search.run_search(new(tmp_path / "killed", 15), lambda jobs: local(jobs, fresh)) == results
    assert fresh == []


def test_a_trial_that_was_being_drawn_is_drawn_again(tmp_path):
    new(tmp_path, 2).study.ask()
    found = new(tmp_path, 2)
    assert [r.config.name[:3] for r in search.run_search(found, local)] == ["000", "001"]


def test_a_kill_between_the_run_and_its_record_tells_it_once(tmp_path):
    def killed(jobs):
        trained(next(iter(jobs)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.run_search(new(tmp_path, 3), killed)
    found = new(tmp_path, 3)
    assert len(search.run_search(found, local)) == 3
    assert [row["state"] for row in rows(found)] == ["complete"] * 3
    assert found.study.get_trials()[0].intermediate_values.keys() == {1, 2}


def test_more_trials_go_on_and_another_space_is_another_search(tmp_path):
    search.run_search(new(tmp_path, 3), local)
    more = new(tmp_path, 5)
    assert len(search.run_search(more, local)) == 5
    other = search.Search("demo", RUNS, search.space_of(("decay",), RUNS), 2, tmp_path)
    assert len(search.run_search(other, local)) == 2
    assert len(rows(new(tmp_path, 5))) == 5


def test_several_at_once(tmp_path):
    """Jobs are drawn while others run, and end in another order."""

    def three_at_once(jobs):
        jobs, running = iter(jobs), []
        while True:
            while len(running) < 3 and (job := next(jobs, None)) is not None:
                running.append(job)
            if not running:
                return
            yield trained(running.pop())

    found = new(tmp_path, 8)
    results = search.run_search(found, three_at_once)
    assert [r.config.name[:3] for r in results] == [f"{i:03d}" for i in range(8)]
    assert len({(row["run"], row["rate"]) for row in rows(found)}) == 8


def test_what_ended_without_a_result(tmp_path):
    ends = ["diverged", "stopped", "full disk", "done"]

    def mixed(jobs):
        for job, end in zip(jobs, ends, strict=False):
            if end == "diverged":
                atomic.write_json(job.folder / "failure.json", {"reason": "loss is nan"})
                yield runner.Result(job.config, job.folder, None, "RunFailed: loss is nan")
            elif end == "stopped":
                atomic.write_text(job.folder / "history.csv", "epoch,val_accuracy\n1,0.25\n")
                atomic.write_json(job.folder / "stopped.json", {"reason": "others"})
                yield runner.Result(job.config, job.folder, None, "others", stopped=True)
            elif end == "full disk":
                yield runner.Result(job.config, job.folder, None, "OSError: no space")
            else:
                yield trained(job)

    found = new(tmp_path, 4)
    results = search.run_search(found, mixed)
    assert [r.status for r in results] == ["failed", "stopped", "failed", "done"]
    assert [row["state"] for row in rows(found)] == ["pruned", "pruned", "running", "complete"]
    assert found.study.get_trials()[1].value == 0.25
    again = new(tmp_path, 4)
    results = search.run_search(again, local)  # the disk has room now
    assert [r.status for r in results] == ["failed", "stopped", "done", "done"]
    assert [r.reason for r in results[:2]] == ["loss is nan", "others"]


def test_hosts_share_a_database_and_leave_each_others_trials_alone(tmp_path):
    url = f"sqlite:///{tmp_path / 'search.db'}"
    hosts = [new(tmp_path / name, 6, storage=url) for name in "ab"]
    works = [search.run_search, search.run_search]

    def with_the_other(jobs):
        """While host a is at work on its second trial, host b does all that is left."""
        for i, job in enumerate(jobs):
            if i == 1:
                assert len(works[1](hosts[1], local)) == 4
            yield trained(job)

    assert len(works[0](hosts[0], with_the_other)) == 2
    assert [row["state"] for row in rows(hosts[0])] == ["complete"] * 6
    # b's folder was lost with one of its trials open: a does not touch it.
    more = new(tmp_path / "b", 7, storage=url)
    *begun, last = more.jobs()
    assert len(begun) == 4 and last.config.name.startswith("006")
    shutil.rmtree(tmp_path / "b")
    assert len(search.run_search(new(tmp_path / "a", 7, storage=url), local)) == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [("nothing", "Cannot use the database nothing: "), ("sqlite:////no/such/folder/x.db", "unable to open"),
     ("oracle://me:secret@host/db", "Cannot use the database oracle://host/db: ")],
)  # fmt: skip
def test_a_database_that_cannot_be_used_is_a_users_mistake(tmp_path, url, message):
    with pytest.raises(UserError) as caught:
        new(tmp_path, 1, storage=url)
    assert message in str(caught.value) and "secret" not in str(caught.value) and "\n" not in str(caught.value)
