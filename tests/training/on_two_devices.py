"""What ``test_parallel.py`` runs in a process of its own, with two virtual devices."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pandas as pd
import pytest

from fer_tf import models
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import callbacks, parts, run
from fer_tf.training.config import RunConfig

ON_JAX = keras.backend.backend() == "jax"
BATCH = 16
# Batch-norm, decay in the loss and in the gradient, averaged weights: what the shares of a batch could get wrong.
CONFIG = RunConfig(
    name="tiny", model="vgg(filters=(4, 8), depth=1, head=(8,))", crop=12, batch_size=BATCH, epochs=3, seed=3,
    dropout=0.0, averaging="ema(decay=0.5)", learning_rate=0.05, l2=0.01, kernel_l2=0.01, augment=("flip()",),
)  # fmt: skip
# On JAX also what no device could do with its share alone.
if ON_JAX:
    balanced = "classification(class_weights='balanced')"
    CONFIG = replace(CONFIG, objective=balanced, dropout=0.3, global_clipnorm=0.5, jit_compile=True)


def faces(split, n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 120, (n, 16, 16, 1))
    images[labels == 1] += 100
    return FaceTable(
        images=images.astype(np.uint8), targets=one_hot(labels, 2), label_set=LabelSet("light", ("dark", "bright")),
        split=np.full(n, split), ids=np.array([f"{split}{i}" for i in range(n)]),
    )  # fmt: skip


# Validation in more than one batch, of a size that two cannot share.
TABLES = {"train": faces("train", 50, 0), "validation": faces("validation", 301, 1), "test": faces("test", 21, 2)}


@pytest.fixture(scope="module", autouse=True)
def two_devices():
    if not ON_JAX:
        import tensorflow as tf

        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    assert len(parts._devices()) == 2


def execute(config, folder, devices, **keywords):
    run.execute(config, folder, lambda _: TABLES, devices=devices, **keywords)
    history = pd.read_csv(folder / callbacks.HISTORY).drop(columns=["seconds", "images_per_second"])
    return history.to_numpy(), models.load_model(folder / run.MODEL)


def same(one, two):
    worst = np.abs(one[0] - two[0]).max()
    pairs = zip(one[1].weights, two[1].weights, strict=True)
    apart = max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs)
    print(f"largest difference: history {worst:.2g}, weights {apart:.2g}")
    return worst < 1e-5 and apart < 1e-5


def shares_of_batches(monkeypatch):
    """Return a set that fills with (faces, device) of what the devices get to work on."""
    seen = set()
    if ON_JAX:
        import jax

        place = jax.make_array_from_process_local_data

        def spy(sharding, array):
            placed = place(sharding, array)
            seen.update((len(shard.data), shard.device.id) for shard in placed.addressable_shards)
            return placed

        monkeypatch.setattr(jax, "make_array_from_process_local_data", spy)
    else:
        import tensorflow as tf

        from fer_tf.training.objectives.base import Classification

        loss_of = Classification.loss_of

        def spy(self, labels, outputs, training):
            if training:  # and not Keras' look at the shapes
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                seen.add((outputs.shape[0], int(tf.get_static_value(replica))))
            return loss_of(self, labels, outputs, training)

        monkeypatch.setattr(Classification, "loss_of", spy)
    return seen


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return execute(CONFIG, tmp_path_factory.mktemp("alone"), 1)


def test_two_devices_share_batches_and_have_the_loss_of_one(alone, tmp_path, monkeypatch):
    seen = shares_of_batches(monkeypatch)
    assert same(alone, execute(CONFIG, tmp_path, 2))
    assert seen == {(BATCH // 2, 0), (BATCH // 2, 1)}
    assert run.read_json(tmp_path / run.ENVIRONMENT)["devices"] == 2


def test_a_run_goes_on_with_fewer_devices(alone, tmp_path, interrupted):
    interrupted(partial(execute, CONFIG, tmp_path, 2), tmp_path)
    assert same(alone, execute(CONFIG, tmp_path, 1))
