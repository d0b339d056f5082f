"""Region attention: crops in the model, weights of regions, and the rank-biased loss."""

import keras
import numpy as np
import pytest
from keras import ops

from fer_tf import losses, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.layers import RegionCrops, SplitLastRegion, WeightedMean
from fer_tf.models.attention_networks import REGIONS
from fer_tf.training import objectives
from fer_tf.training.objectives import networks


def table(n=6):
    return FaceTable(
        targets=one_hot(np.arange(n) % 3, 3), label_set=LabelSet("three", ("a", "b", "c")),
        split=np.full(n, "train"), ids=np.arange(n).astype(str), images=np.zeros((n, 32, 32, 1), np.uint8),
    )  # fmt: skip


def network(options="", size=32):
    text = f"ran(width=0.03, depth=1, stem='strided', region_size=16{options})"
    return models.get(text, num_classes=3, input_shape=(size, size, 1))


def objective(text="ran", options=""):
    made = objectives.get(text, network(options), table())
    made.compile("sgd", losses.get("cross_entropy"))
    return made


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


def pixels(n=3, size=32):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 1)).astype("float32")


def test_rank_biased_loss_by_hand():
    weights = np.array([[0.2, 0.5, 0.45], [0.1, 0.3, 0.4], [0.9, 0.1, 0.2]], "float32")
    assert float(networks.rank_biased_loss(weights, 0.1)) == pytest.approx((0.05 + 0.2 + 0) / 3)


def test_equal_weights_cost_the_margin():
    assert float(networks.rank_biased_loss(np.full((4, 6), 1 / 6, "float32"), 0.1)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "options", "margin"),
    [("ran", "", 0.02), ("ran", ", attention='softmax'", 0.1), ("ran(margin=0.3)", ", attention='softmax'", 0.3)],
)
def test_the_margin_suits_the_form_of_attention(text, options, margin):
    made = objective(text, options)
    outputs = {"logits": np.zeros((2, 3), "float32"), "weights": np.full((2, 6, 1), 0.5, "float32")}
    total = float(made.compute_loss(None, one_hot(np.array([0, 1]), 3), outputs))
    assert total == pytest.approx(np.log(3) + margin, rel=1e-5)
    assert float(made.parts["rank_biased"].result()) == pytest.approx(margin)


def test_softmaxed_weights_sum_to_one_and_plain_ones_need_not():
    for options, sums in ((", attention='softmax'", True), ("", False)):
        weights = numbers(objective("ran", options)(pixels())["weights"])
        assert weights.shape == (3, 6, 1) and (weights > 0).all() and (weights < 1).all()
        assert np.allclose(weights.sum(axis=1), 1) == sums


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
def test_the_order_of_the_regions_but_the_last_is_nothing(attention, monkeypatch):
    whole = network(f", attention='{attention}'")
    boxes = REGIONS["ferplus"]
    monkeypatch.setitem(REGIONS, "ferplus", (boxes[3], boxes[0], boxes[4], boxes[1], boxes[2], boxes[5]))
    other = network(f", attention='{attention}'")
    other.set_weights(whole.get_weights())
    np.testing.assert_allclose(numbers(other(pixels())), numbers(whole(pixels())), atol=1e-5)
    assert whole.get_layer("regions").boxes != other.get_layer("regions").boxes


def test_crops_are_the_windows_of_the_sheet():
    images = np.arange(2 * 48 * 48, dtype="float32").reshape(2, 48, 48, 1)
    crops = numbers(RegionCrops(REGIONS["ferplus"][:3] + REGIONS["ferplus"][-1:], (36, 36))(images))
    assert crops.shape == (8, 36, 36, 1)
    for i in range(2):
        np.testing.assert_array_equal(crops[4 * i], images[i, :36, :36])
        np.testing.assert_array_equal(crops[4 * i + 1], images[i, :36, 12:])
        np.testing.assert_array_equal(crops[4 * i + 2], images[i, 12:, 6:42])
        assert crops[4 * i + 3].mean() == pytest.approx(images[i].mean(), rel=1e-3)
    assert [len(REGIONS[name]) for name in ("ferplus", "affectnet")] == [6, 8]
    assert all(boxes[-1] == (0, 0, 1, 1) for boxes in REGIONS.values())


def test_weighted_mean_and_split_by_hand():
    values, weights = np.array([[[1, 2], [3, 6]]], "float32"), np.array([[[1], [3]]], "float32")
    np.testing.assert_allclose(numbers(WeightedMean()([values, weights])), [[2.5, 5]])
    others, last = SplitLastRegion(3)(np.arange(6, dtype="float32")[:, None])
    assert numbers(others)[:, 0].tolist() == [0, 1, 3, 4] and numbers(last)[:, 0].tolist() == [2, 5]


def test_logits_depend_on_the_layer_that_heat_maps_read():
    made = network()
    inner = keras.Model(made.input, made.get_layer("features").output)
    assert inner.output.shape == (None, 1, 1, 15)
    assert numbers(inner(pixels())).shape[0] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (", attention='tanh'", "Unknown attention 'tanh'. Available: sigmoid, softmax"),
        (", regions='eyes'", "Unknown regions 'eyes'. Available: affectnet, ferplus"),
        (", stem='imagenet'", "too small"),
    ],
)
def test_mistakes_in_the_network(options, message):
    text = "ran(region_size=16" + options + ")"
    with pytest.raises(UserError, match=message):
        models.get(text, num_classes=3, input_shape=(32, 32, 1))


def test_a_margin_below_0():
    with pytest.raises(UserError, match="margin is -1"):
        objective("ran(margin=-1)")
