"""Distract your Attention: affinity and partition losses by hand, and the centers."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from fer_tf import losses, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import objectives
from fer_tf.training.objectives import networks


def table(n=6):
    return FaceTable(
        targets=one_hot(np.arange(n) % 3, 3), label_set=LabelSet("three", ("a", "b", "c")),
        split=np.full(n, "train"), ids=np.arange(n).astype(str), images=np.zeros((n, 32, 32, 1), np.uint8),
    )  # fmt: skip


def network(heads=4):
    text = f"dan(width=0.03, depth=1, stem='strided', heads={heads})"
    return models.get(text, num_classes=3, input_shape=(32, 32, 1))


def objective(text="dan"):
    made = objectives.get(text, network(), table())
    made.compile("sgd", losses.get("cross_entropy"))
    return made


FEATURES = np.array([[1, 0], [3, 4]], "float32")
CENTRES = np.array([[1, 0], [0, 0], [5, 3]], "float32")


def test_affinity_by_hand():
    # Variances with n − 1: of (1, 0, 5) 7, of (0, 0, 3) 3. Distances: 0 to center 0, 25 to center 1.
    targets = one_hot(np.array([0, 1]), 3)
    assert float(networks.affinity_loss(FEATURES, targets, CENTRES)) == pytest.approx((0 + 25) / 2 / 10)
    soft = np.array([[1, 0, 0], [0, 0.5, 0.5]], "float32")
    assert float(networks.affinity_loss(FEATURES, soft, CENTRES)) == pytest.approx((0.5 * 25 + 0.5 * 5) / 2 / 10)


def test_affinity_is_nothing_on_the_own_centre_and_only_the_classes_centres_count():
    assert float(networks.affinity_loss(CENTRES[[2, 0]], one_hot(np.array([2, 0]), 3), CENTRES)) == 0
    spread = networks.affinity_loss(FEATURES, one_hot(np.array([0, 1]), 2), CENTRES[:2])
    assert float(spread) == pytest.approx(12.5 / 0.5)  # without the third center the variance is that of (1, 0)
    assert objective().centers.shape == (3, 15)  # 3 classes, not the public code's 8


def test_partition_by_hand():
    # Two heads that differ by c have the unbiased variance c²/2.
    heads = np.random.default_rng(0).normal(size=(5, 7, 1)).astype("float32")
    pair = np.concatenate([heads, heads + 0.6], axis=-1)
    assert float(networks.partition_loss(pair)) == pytest.approx(math.log(1 + 2 / 0.18), rel=1e-4)
    three = np.array([[[0, 1, 5]]], "float32")
    assert float(networks.partition_loss(three)) == pytest.approx(math.log(1 + 3 / 7), rel=1e-5)


def test_partition_of_equal_heads_is_finite():
    assert float(networks.partition_loss(np.ones((2, 3, 4), "float32"))) == pytest.approx(
        math.log(1 + 4 / 1e-7), rel=1e-5
    )


def test_heads_share_out_each_feature():
    made = objective()
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype("float32")
    given = {name: np.asarray(ops.convert_to_numpy(value)) for name, value in made(images).items()}
    assert given["heads"].shape == (4, 15, 4)
    np.testing.assert_allclose(np.exp(given["heads"]).sum(axis=2), 1, rtol=1e-5)
    assert not np.allclose(np.exp(given["heads"]).sum(axis=1), 1)
    np.testing.assert_array_equal(given["logits"], ops.convert_to_numpy(made.network(images)))


def test_total_and_history():
    made = objective("dan(affinity=0.5, partition=2)")
    made.centers.assign(np.pad(CENTRES, [(0, 0), (0, 13)]))
    features = np.pad(FEATURES, [(0, 0), (0, 13)])[:, None, None, :]
    heads = np.array([[[0, 1, 5]]], "float32")
    logits, targets = np.zeros((2, 3), "float32"), one_hot(np.array([0, 1]), 3)
    total = made.compute_loss(None, targets, {"logits": logits, "features": features, "heads": heads})
    assert float(total) == pytest.approx(math.log(3) + 0.5 * 1.25 + 2 * math.log(1 + 3 / 7), rel=1e-5)
    noted = {name: float(metric.result()) for name, metric in made.parts.items()}
    assert noted == {
        "class_loss": pytest.approx(math.log(3)), "affinity": pytest.approx(1.25),
        "partition": pytest.approx(math.log(1 + 3 / 7), rel=1e-5),
    }  # fmt: skip


@pytest.mark.slow
def test_the_centres_are_trained_and_are_not_the_networks():
    made = objective()
    assert any(v is made.centers for v in made.trainable_variables)
    assert not any(v is made.centers for v in made.network.variables)
    before = np.array(ops.convert_to_numpy(made.centers))
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1)).astype("float32")
    made.fit(images, table().targets, batch_size=6, epochs=1, verbose=0)
    moved = np.abs(np.asarray(ops.convert_to_numpy(made.centers)) - before).max(axis=1)
    assert (moved > 0).all()


def test_the_start_of_the_heads():
    keras.utils.set_random_seed(0)
    made = models.get("dan(width=0.5, depth=1)", num_classes=7, input_shape=(32, 32, 1))
    kernel = np.asarray(made.get_layer("head1_square_conv").kernel)
    assert kernel.std() == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.02)  # fan-out
    assert np.asarray(made.get_layer("head2_excite").kernel).std() == pytest.approx(0.001, rel=0.05)


@pytest.mark.parametrize(
    ("text", "message"), [("dan(affinity=-1)", "affinity is -1. Expected"), ("dan(beta=1)", "takes no 'beta'")]
)
def test_mistakes(text, message):
    with pytest.raises(UserError, match=message):
        objective(text)


def test_one_head_has_no_variance():
    with pytest.raises(UserError, match="heads must be a whole number of at least 2, got 1"):
        network(heads=1)
