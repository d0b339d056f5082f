"""Self-Cure: weights by rank, labels that cure themselves, and the table of what was relabeled."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from fer_tf import losses, models
from fer_tf.errors import UserError
from fer_tf.facetable import FaceTable
from fer_tf.labels import LabelSet, one_hot
from fer_tf.training import objectives
from fer_tf.training.objectives import networks

WORDS = LabelSet("three", ("a", "b", "c"))


def table(labels=(0, 1, 2, 0, 1, 2)):
    n = len(labels)
    images = np.random.default_rng(0).integers(0, 256, (n, 24, 24, 1), dtype=np.uint8)
    ids = np.array([f"face{i}" for i in range(n)])
    targets = one_hot(np.array(labels), 3)
    return FaceTable(targets=targets, label_set=WORDS, split=np.full(n, "train"), ids=ids, images=images)


def objective(text="scn", labels=(0, 1, 2, 0, 1, 2)):
    network = models.get("scn(width=0.03, depth=1, stem='cifar')", num_classes=3, input_shape=(24, 24, 1))
    made = objectives.get(text, network, table(labels))
    made.compile("sgd", losses.get("cross_entropy"))
    return made


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


ALPHA = np.array([0.5, 0.9, 0.52, 0.55, 0.51, 0.6, 0.58, 0.7, 0.59, 0.57], "float32")


def test_the_high_group_is_the_largest_weights():
    high = numbers(networks.is_high(ALPHA, 0.7))
    assert high.sum() == 7 and set(ALPHA[~high]) == {np.float32(v) for v in (0.5, 0.51, 0.52)}
    assert numbers(networks.is_high(ALPHA[:3], 0.7)).tolist() == [False, True, True]
    assert numbers(networks.is_high(np.full(10, 0.5, "float32"), 0.7)).sum() == 7


def test_rank_loss_by_hand():
    # High mean (0.9 + 0.55 + 0.6 + 0.58 + 0.7 + 0.59 + 0.57) / 7 = 0.641428…, low mean 0.51.
    gap = 4.49 / 7 - 0.51
    assert float(networks.rank_loss(ALPHA, 0.7, 0.15)) == pytest.approx(0.15 - gap, abs=1e-6)
    assert float(networks.rank_loss(ALPHA, 0.7, 0.1)) == 0


def test_rank_loss_gradient_signs(gradient):
    high = numbers(networks.is_high(ALPHA, 0.7))
    active = gradient(lambda a: networks.rank_loss(a, 0.7, 0.5), ALPHA)
    np.testing.assert_allclose(active, np.where(high, -1 / 7, 1 / 3), rtol=1e-5)
    assert not gradient(lambda a: networks.rank_loss(a, 0.7, 0.1), ALPHA).any()


@pytest.mark.parametrize("alpha", [[0.4], [0.4, 0.6]])
def test_rank_loss_is_nothing_where_a_group_is_empty(alpha):
    beta = 0.3  # ⌊0.3 · 2⌋ = 0
    assert float(networks.rank_loss(np.array(alpha, "float32"), beta, 0.5)) == 0


def test_a_label_is_replaced_only_above_the_margin():
    probabilities = np.array([[0.3, 0.45, 0.25], [0.3, 0.55, 0.15], [0.1, 0.8, 0.1], [0.3, 0.5, 0.2]], "float32")
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0.6, 0.4, 0]], "float32")
    wrong, likely = networks.cured(targets, np.log(probabilities), 0.22)
    assert numbers(wrong).tolist() == [False, True, False, False]
    assert numbers(likely).tolist() == [1, 1, 1, 1]


def outputs(probabilities, alpha):
    return {
        "logits": np.log(np.asarray(probabilities, "float32")),
        "alpha": np.asarray(alpha, "float32")[:, None],
    }


SURE = [[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]]
LABELS = {"targets": one_hot(np.array([0, 1, 2, 0]), 3), "index": np.array([3, 1, 5, 0], "int32")}


def test_total_is_gamma_of_the_weighted_and_the_rest_of_the_rank_loss():
    made = objective("scn(gamma=0.25, beta=0.5, margin=0.3)")
    given = outputs(SURE, [0.9, 0.6, 0.7, 0.8])
    total = float(made.loss_of(LABELS, given, True))
    cross_entropy = -np.log([0.1, 0.8, 0.8, 0.4]).mean()
    assert total == pytest.approx(0.25 * cross_entropy + 0.75 * (0.3 - 0.2), rel=1e-5)
    noted = {name: float(metric.result()) for name, metric in made.parts.items()}
    assert noted == {"weighted_ce": pytest.approx(cross_entropy), "rank": pytest.approx(0.1), "relabeled": 0}


@pytest.mark.parametrize(
    ("settings", "epoch", "new"),
    [
        ("relabel_from=3", 2, [-1, -1, -1, -1, -1, -1]),
        ("relabel_from=3", 3, [-1, -1, -1, 1, -1, -1]),
        ("relabel_from=3, scope='low'", 3, [-1, -1, -1, -1, -1, -1]),
        ("relabel_from=3, scope='low', beta=0.2", 3, [-1, -1, -1, 1, -1, -1]),
        ("relabel_from=None", 9, [-1, -1, -1, -1, -1, -1]),
        ("relabel_from=3, relabel_margin=0.75", 3, [-1, -1, -1, -1, -1, -1]),
    ],
)
def test_relabelling(settings, epoch, new):
    made = objective(f"scn({settings})")
    made.begin_epoch(epoch)
    before = float(made.loss_of(LABELS, outputs(SURE, [0.9, 0.6, 0.7, 0.8]), True))
    assert numbers(made.new_class).tolist() == new
    assert numbers(made.changed_in).tolist() == [epoch if c >= 0 else 0 for c in new]
    # The loss was taken before; the next one sees the new label: −log 0.8 in place of −log 0.1.
    after = float(made.loss_of(LABELS, outputs(SURE, [0.9, 0.6, 0.7, 0.8]), True))
    assert (after < before) == (1 in new)


def test_keras_looking_at_shapes_relabels_nothing():
    made = objective("scn(relabel_from=1)")
    made.loss_of(LABELS, outputs(SURE, [0.9, 0.6, 0.7, 0.8]), False)
    assert (numbers(made.new_class) == -1).all()


def test_new_labels_take_the_place_of_old_ones_and_may_change_again(tmp_path):
    made = objective("scn(relabel_from=1)")
    made.begin_epoch(2)
    made.loss_of(LABELS, outputs(SURE, [0.9, 0.6, 0.7, 0.8]), True)
    targets = numbers(made.current_targets(LABELS["targets"], LABELS["index"]))
    np.testing.assert_array_equal(targets, one_hot(np.array([1, 1, 2, 0]), 3))
    made.begin_epoch(4)
    made.loss_of(LABELS, outputs([[0.1, 0.1, 0.8]] * 4, [0.9, 0.6, 0.7, 0.8]), True)
    assert numbers(made.new_class).tolist() == [2, 2, -1, 2, -1, -1]
    made.write(tmp_path, table())
    rows = pd.read_csv(tmp_path / networks.RELABELLED)
    assert list(rows.columns) == ["id", "old_class", "new_class", "epoch"]
    assert rows.to_numpy().tolist() == [["face0", "a", "c", 4], ["face1", "b", "c", 4], ["face3", "a", "c", 4]]


def test_weights_scale_logits_and_never_change_the_class():
    made = objective()
    images = table().images.astype("float32")
    given = made(images)
    network = made.network
    plain = keras.Model(network.input, network.get_layer("logits").output)(images)
    alpha = numbers(given["alpha"])
    assert alpha.shape == (6, 1) and (alpha > 0).all() and (alpha < 1).all()
    np.testing.assert_allclose(numbers(given["logits"]), alpha * numbers(plain), rtol=1e-5)
    assert (numbers(given["logits"]).argmax(1) == numbers(plain).argmax(1)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scn(scope='high')", "Unknown scope 'high'. Available: all, low"),
        ("scn(beta=2)", "beta is 2. Expected a number from 0 to 1"),
        ("scn(relabel_from=0)", "relabel_from is 0. Expected an epoch from 1"),
        ("scn(betta=0.5)", "takes no 'betta'"),
        ("scn(network=1)", "takes no 'network'"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(UserError, match=message):
        objective(text)


def test_a_plain_network_has_no_weights_to_rank():
    network = models.get("vgg(width=0.03)", num_classes=3, input_shape=(24, 24, 1))
    with pytest.raises(UserError, match="Objective 'scn' needs a network with layer 'alpha', such as scn"):
        objectives.get("scn", network, table())
