"""Wrong labels: which ones a run had, what a network memorized of them, and what it reveals of its members."""

import numpy as np
import pytest

from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.privacy.audit import FlippedLabels, flipped_labels, membership, memorization
from fer_tf.training.config import RunConfig
from fer_tf.training.parts import load_tables

THREE = LabelSet("three", ("a", "b", "c"))


def test_the_wrong_labels_of_a_run_are_recovered():
    noisy = RunConfig(name="a", dataset="synthetic(faces=60)", label_noise=0.25, seed=5)
    clean = load_tables(RunConfig(name="b", dataset="synthetic(faces=60)"))
    faces = flipped_labels(clean, noisy.label_noise, noisy.seed)
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


def test_memorized_and_gap_by_hand():
    # Four training faces, the last two with wrong labels, of which the network repeats one.
    faces = FlippedLabels(
        table("train", [0, 1, 2, 0]), table("test", [0, 1, 1, 0]), np.array([0, 0, 1, 1], bool),
        np.array([0, 0, 0, 1], bool), np.array([0, 1, 1, 2]),
    )  # fmt: skip
    train, test = np.eye(3)[[0, 1, 2, 1]], np.eye(3)[[0, 0, 1, 0]]
    found = memorization(train, test, faces)
    # On test it is right on the first and third; the wrong label of the last it says by chance.
    assert found == {"train_accuracy": 1.0, "gap": 0.5, "memorized": 0.5, "memorized_by_chance": 1.0}


def test_without_wrong_labels_nothing_is_memorized():
    right = np.zeros(4, bool)
    faces = FlippedLabels(
        table("train", [0, 1, 2, 0]), table("test", [0, 1, 1, 0]), right, right, np.array([0, 1, 1, 0])
    )
    found = memorization(np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 1, 0]], faces)
    assert found == {"train_accuracy": 1.0, "gap": 0.0, "memorized": None, "memorized_by_chance": None}
    audit = membership(np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 1, 0]], faces)
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
    faces = FlippedLabels(
        table("train", labels[:300]), table("test", labels[300:]), wrong[:300], wrong[300:], truth[300:]
    )
    return logits[:300], logits[300:], faces


def test_wrong_labels_alone_give_nobody_away():
    found = membership(*world(repeats=False))
    assert found["auc"] == pytest.approx(0.5, abs=0.05) and found["auc_wrong_labels"] == pytest.approx(0.5, abs=0.1)
    assert found["members"] == 300 == found["tp"] + found["fn"] == found["fp"] + found["tn"]
    assert set(found["attacks"]) == {"loss", "confidence", "entropy", "modified_entropy"}


def test_repeated_wrong_labels_give_members_away():
    found = membership(*world(repeats=True))
    assert found["auc_wrong_labels"] > 0.95 and found["auc_right_labels"] == pytest.approx(0.5, abs=0.06)
    # A wrongly labeled member stands above all non-members of its kind, and level with those of right labels.
    assert found["auc"] == pytest.approx(0.5 + 0.2 / 2, abs=0.05)
