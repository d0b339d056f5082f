"""The study of augmentation against wrong labels: its runs, and its tables and figures."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_tf.errors import UserError
from fer_tf.tuning import commandline

SCRIPT = Path(__file__).parents[2] / "experiments" / "ghostface_robustness.py"
SPEC = importlib.util.spec_from_file_location("ghostface_robustness_script", SCRIPT)
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def options(*arguments):
    return commandline.parser(script.STUDY).parse_args(["--dataset", "synthetic(faces=60)", *arguments])


def test_every_network_meets_every_augmentation_and_share_of_wrong_labels():
    runs = script.configs(options())
    assert len(runs) == 24 == len({c.digest() for c in runs})
    assert {c.label_noise for c in runs} == {0.0, 0.1, 0.2}
    augment = {c.name.split(" ")[1]: c.augment for c in runs}
    assert augment == {
        "none": (), "randaugment": ("randaugment(n=2, m=9)",), "mixup": ("mixup(alpha=0.2)",),
        "both": ("randaugment(n=2, m=9)", "mixup(alpha=0.2)"),
    }  # fmt: skip
    # Who stops early on clean labels learns fewer wrong ones: that would be another remedy.
    assert {c.keep for c in runs} == {"last"}
    # A random crop would be an augmentation, too.
    assert {c.crop for c in runs} == {None}
    small = "ghostface(width=0.25, strides=(1, 2, 1, 1, 2, 1, 1))"
    assert {c.model for c in runs} == {"resnet10(width=0.25)", small}
    two = script.configs(options("--seeds", "0,3"))
    assert len(two) == 48 and two[-1].name == "ghostface both 20%-seed3"


def test_two_networks_of_one_name_are_refused():
    with pytest.raises(UserError, match="two networks have the same name"):
        script.configs(options("--model", "vgg; vgg(depth=1)"))


def rows(rates, seeds):
    """Return what ``runs_table`` gives, with numbers that name their condition."""
    return pd.DataFrame(
        [
            {
                "network": network, "augmentation": name, "wrong_labels": rate, "seed": seed, "parameters": 10,
                "macs": 20, "members": 30, **dict.fromkeys(script.MEASURES, 0.5),
                "accuracy": 0.6 + 0.1 * seed,
                "memorized": rate + 0.3 if rate else np.nan, "memorized_by_chance": 0.1 if rate else np.nan,
            }
            for rate in rates for network in ("n1", "n2") for name in ("none", "both") for seed in seeds
        ]
    )  # fmt: skip


def test_the_summary_averages_seeds_and_charts_show_every_condition():
    found = script.summary(rows((0.0, 0.2), (0, 1)))
    assert len(found) == 8 and set(found["seeds"]) == {2}
    assert found["accuracy"].to_numpy() == pytest.approx(0.65) and found["accuracy_sem"].to_numpy() == pytest.approx(
        0.05
    )
    charts = dict(script.charts(found))
    assert list(charts) == [
        "Accuracy over wrong labels", "Train to test gap", "Memorized wrong labels", "AUC of the loss attack",
    ]  # fmt: skip
    axes = charts["Memorized wrong labels"].axes
    assert [a.get_title(loc="left") for a in axes] == ["n1", "n2"]
    line = axes[0].containers[0].lines[0]
    assert line.get_xdata() == pytest.approx([20], abs=0.1) and line.get_ydata() == pytest.approx(
        [40]
    )  # 0.2 + 0.3 − 0.1
    assert [c.get_label() for c in axes[0].containers] == ["none", "both"]
    learned, revealed = (frame for _, frame in script.readable(found))
    assert learned["accuracy"].to_numpy() == pytest.approx(65) and learned["wrong labels"].iloc[-1] == 20
    assert list(revealed["network"]) == list(learned["network"]) and revealed["auc"].iloc[0] == 50


def test_without_wrong_labels_there_is_no_figure_of_them():
    found = script.summary(rows((0.0,), (0,)))
    assert "Memorized wrong labels" not in dict(script.charts(found))
