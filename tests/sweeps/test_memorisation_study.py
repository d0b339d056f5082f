"""The study of augmentation against wrong labels: its runs, its wrong labels, what is memorised, what it costs."""

import argparse

import numpy as np
import pandas as pd
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.models.complexity import measure
from fer_tf.sweeps import memorisation_page, memorisation_study
from fer_tf.training.config import RunConfig
from fer_tf.training.tables import load_tables

THREE = LabelSet("three", ("a", "b", "c"))


def options(**changes):
    usual = {
        "dataset": "synthetic(faces=60)", "data": None, "skip_bad": False, "limit": None, "size": None, "crop": 0,
        "loss": None, "epochs": 10, "batch_size": 32, "view": "center", "jit": False, "seeds": (0,), "width": 0.25,
        "model": "resnet10; ghostface", "rates": (0.0, 0.1, 0.2), "alpha": 0.2, "learning_rate": 0.002,
        "averaging": "ema()", "keep": "last",
    }  # fmt: skip
    return argparse.Namespace(**{**usual, **changes})


def test_every_network_meets_every_augmentation_and_share_of_wrong_labels():
    runs = memorisation_study.configs(options())
    assert len(runs) == 24 == len({c.digest() for c in runs})
    assert {c.label_noise for c in runs} == {0.0, 0.1, 0.2}
    augment = {memorisation_study.condition(c)[1]: c.augment for c in runs}
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
    two = memorisation_study.configs(options(seeds=(0, 3)))
    assert len(two) == 48 and memorisation_study.condition(two[-1]) == ("ghostface", "both")


def test_two_networks_of_one_name_are_refused():
    with pytest.raises(UserError, match="two networks have the same name"):
        memorisation_study.configs(options(model="vgg; vgg(depth=1)"))


def test_the_wrong_labels_of_a_run_are_recovered():
    noisy = RunConfig(name="a", dataset="synthetic(faces=60)", label_noise=0.25, seed=5)
    clean = load_tables(RunConfig(name="b", dataset="synthetic(faces=60)"))
    faces = memorisation_study.taught(noisy, clean)
    assert faces.train.digest() == load_tables(noisy)["train"].digest()
    assert np.array_equal(faces.train_wrong, faces.train.labels != clean["train"].labels)
    assert faces.train_wrong.sum() == round(0.25 * len(faces.train))
    assert np.array_equal(faces.test_wrong, faces.test.labels != faces.truth) and faces.test_wrong.any()
    assert np.array_equal(faces.truth, clean["test"].labels)


def table(split, labels):
    n = len(labels)
    ids = np.array([f"{split}{i}" for i in range(n)])
    images = np.zeros((n, 4, 4, 1), np.uint8)
    return FaceTable(
        images=images, targets=one_hot(labels, 3), label_set=THREE, split=np.full(n, split), ids=ids
    )  # fmt: skip


def test_memorised_and_gap_by_hand():
    # Four training faces, the last two with wrong labels, of which the network repeats one.
    faces = memorisation_study.Taught(
        table("train", [0, 1, 2, 0]), table("test", [0, 1, 1, 0]), np.array([0, 0, 1, 1], bool),
        np.array([0, 0, 0, 1], bool), np.array([0, 1, 1, 2]),
    )  # fmt: skip
    train, test = np.eye(3)[[0, 1, 2, 1]], np.eye(3)[[0, 0, 1, 0]]
    found = memorisation_study.memorised(train, test, faces)
    # On test it is right on the first and third; the wrong label of the last it says by chance.
    assert found == {"train_accuracy": 1.0, "gap": 0.5, "memorised": 0.5, "memorised_by_chance": 1.0}


def test_without_wrong_labels_nothing_is_memorised():
    right = np.zeros(4, bool)
    faces = memorisation_study.Taught(
        table("train", [0, 1, 2, 0]), table("test", [0, 1, 1, 0]), right, right, np.array([0, 1, 1, 0])
    )
    found = memorisation_study.memorised(np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 1, 0]], faces)
    assert found == {"train_accuracy": 1.0, "gap": 0.0, "memorised": None, "memorised_by_chance": None}
    audit = memorisation_study.given_away(np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 1, 0]], faces)
    assert audit["auc_wrong_labels"] is None and audit["auc_right_labels"] == audit["auc"]


def world(repeats):
    """Return logits of a network that knows the truth, or on training faces what it was taught."""
    rng = np.random.default_rng(0)
    truth = np.arange(600) % 3
    wrong = np.tile(np.arange(300) % 5 == 0, 2)
    labels = np.where(wrong, (truth + 1) % 3, truth)
    said = truth.copy()
    said[:300] = np.where(repeats, labels, truth)[:300]
    logits = 4 * np.eye(3)[said] + rng.normal(size=(600, 3))
    faces = memorisation_study.Taught(
        table("train", labels[:300]), table("test", labels[300:]), wrong[:300], wrong[300:], truth[300:]
    )
    return logits[:300], logits[300:], faces


def test_wrong_labels_alone_give_nobody_away():
    found = memorisation_study.given_away(*world(repeats=False))
    assert found["auc"] == pytest.approx(0.5, abs=0.05) and found["auc_wrong_labels"] == pytest.approx(0.5, abs=0.1)
    assert found["members"] == 300 == found["tp"] + found["fn"] == found["fp"] + found["tn"]
    assert set(found["attacks"]) == set(memorisation_study.ATTACKS)


def test_repeated_wrong_labels_give_members_away():
    found = memorisation_study.given_away(*world(repeats=True))
    assert found["auc_wrong_labels"] > 0.95 and found["auc_right_labels"] == pytest.approx(0.5, abs=0.06)
    # A wrongly labelled member stands above all non-members of its kind, and level with those of right labels.
    assert found["auc"] == pytest.approx(0.5 + 0.2 / 2, abs=0.05)


def test_savings_are_of_macs_at_the_same_size_of_face():
    small, large = "vgg(filters=(4, 8), depth=1, head=(8,))", "vgg(filters=(8, 16), depth=1, head=(8,))"
    found = memorisation_page.sizes_table([small], [large], (16, 16, 1), 3).set_index("network")
    sizes = {text: measure(models.get(text, 3, (16, 16, 1))) for text in (small, large)}
    assert found.loc[large, "macs"] == sizes[large].macs and found.loc[large, "parameters"] == sizes[large].parameters
    saved = found["MACs that vgg saves, %"]
    assert saved[large] == pytest.approx(100 * (1 - sizes[small].macs / sizes[large].macs)) and np.isnan(saved[small])
    # What computes more saves nothing.
    assert memorisation_page.sizes_table([large], [small], (16, 16, 1), 3).iloc[:, -1].isna().all()


def rows(rates, seeds):
    """Return what ``runs_table`` gives, with numbers that name their condition."""
    return pd.DataFrame(
        [
            {
                "network": network, "augmentation": name, "wrong_labels": rate, "seed": seed, "parameters": 10,
                "macs": 20, "members": 30, **dict.fromkeys(memorisation_study.MEASURES, 0.5),
                "accuracy": 0.6 + 0.1 * seed,
                "memorised": rate + 0.3 if rate else np.nan, "memorised_by_chance": 0.1 if rate else np.nan,
            }
            for rate in rates for network in ("n1", "n2") for name in ("none", "both") for seed in seeds
        ]
    )  # fmt: skip


def test_the_summary_averages_seeds_and_charts_show_every_condition():
    found = memorisation_study.summary(rows((0.0, 0.2), (0, 1)))
    assert len(found) == 8 and set(found["seeds"]) == {2}
    assert found["accuracy"].to_numpy() == pytest.approx(0.65) and found["accuracy_sem"].to_numpy() == pytest.approx(
        0.05
    )
    charts = dict(memorisation_page.charts(found))
    assert list(charts) == [
        "Accuracy over wrong labels", "Train to test gap", "Memorised wrong labels", "AUC of the loss attack",
    ]  # fmt: skip
    axes = charts["Memorised wrong labels"].axes
    assert [a.get_title(loc="left") for a in axes] == ["n1", "n2"]
    line = axes[0].containers[0].lines[0]
    assert line.get_xdata() == pytest.approx([20], abs=0.1) and line.get_ydata() == pytest.approx(
        [40]
    )  # 0.2 + 0.3 − 0.1
    assert [c.get_label() for c in axes[0].containers] == ["none", "both"]
    learned, given_away = (frame for _, frame in memorisation_page.readable(found))
    assert learned["test accuracy"].to_numpy() == pytest.approx(65) and learned["wrong labels"].iloc[-1] == "20%"
    assert list(given_away["network"]) == list(learned["network"]) and given_away["AUC"].iloc[0] == "0.500"


def test_without_wrong_labels_there_is_no_figure_of_them():
    found = memorisation_study.summary(rows((0.0,), (0,)))
    assert "Memorised wrong labels" not in dict(memorisation_page.charts(found))
