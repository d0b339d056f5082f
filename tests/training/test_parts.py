"""A configuration becomes what trains, or says at once what is wrong with it."""

from dataclasses import replace

import numpy as np
import pytest

from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import parts
from fer_tf.training.config import RunConfig
from fer_tf.training.optimizer_mixin import SharpnessAware

CONFIG = RunConfig(name="tiny", model="vgg(filters=(4, 8), depth=1, head=(8,))", crop=12, batch_size=16, epochs=4)


def faces(split, n):
    return FaceTable(
        images=np.zeros((n, 16, 16, 1), np.uint8), targets=one_hot(np.arange(n) % 2, 2), split=np.full(n, split),
        label_set=LabelSet("two", ("a", "b")), ids=np.array([f"{split}{i}" for i in range(n)]),
    )  # fmt: skip


TABLES = {"train": faces("train", 48), "validation": faces("validation", 20), "test": faces("test", 20)}


def test_regularizers_and_shapes_reach_the_network():
    config = replace(CONFIG, kernel_l2=0.1, kernel_l1=0.2, dropout=0.25, crop=None)
    network = parts.build_network(config, TABLES)
    assert network.input_shape == (None, 16, 16, 1)
    kernel = next(layer for layer in network.layers if hasattr(layer, "kernel"))
    assert kernel.kernel_regularizer.get_config() == {"l1": pytest.approx(0.2), "l2": pytest.approx(0.1)}
    assert any(getattr(layer, "rate", None) == 0.25 for layer in network.layers)


@pytest.mark.parametrize(
    "change",
    [{"schedule": "step(every=0)"}, {"loss": "focal(gamma=-1)"}, {"averaging": "ema(decay=2)"}, {"crop": 500},
     {"optimizer": "sgd(momentum='x')"}, {"augment": ("flip(p=3)",)}, {"l2": 1e-3, "weight_decay": 1e-3}],
    ids=str,
)  # fmt: skip
def test_values_are_checked_before_any_work(change):
    with pytest.raises(UserError):
        parts.build_parts(replace(CONFIG, **change), TABLES)


def test_the_parts_are_what_the_configuration_says():
    config = replace(
        CONFIG, optimizer="sgd(momentum=0.5)", schedule="step(every=1)", loss="focal(gamma=3)", sharpness=0.1, l2=0.01,
        objective="classification(class_weights='balanced')", learning_rate=0.08, precision="bfloat16",
    )  # fmt: skip
    built = parts.build_parts(config, TABLES)
    assert (built.source.steps, built.source.repeats) == (3, 2)
    np.testing.assert_allclose(built.schedule.table[::3], [0.08, 0.04, 0.02, 0.01], rtol=1e-6)
    assert isinstance(built.optimizer, SharpnessAware) and built.optimizer.inner_optimizer.momentum == 0.5
    objective = parts.compiled(config, TABLES, built, replicas=2)
    assert objective.optimizer is built.optimizer and objective.loss is built.loss and objective.replicas == 2
    assert built.loss.get_config()["gamma"] == 3 and objective.class_weights is not None
    assert objective.network.get_layer("block1_conv1").compute_dtype == "bfloat16"
