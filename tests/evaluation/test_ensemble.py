import keras
import numpy as np
import pytest

from fer_tf import models
from fer_tf.errors import UserError
from fer_tf.evaluation import logits, uncertainty
from fer_tf.labels import FER2013, FERPLUS, SFEW

# Two networks, two faces: of one mind on the first, each sure of another class on the second.
Z = np.log([[[0.8, 0.2], [0.9, 0.1]], [[0.6, 0.4], [0.1, 0.9]]])


def test_means_by_hand():
    np.testing.assert_allclose(np.exp(uncertainty.combine(Z)), [[0.7, 0.3], [0.5, 0.5]])
    # √(0.8·0.6) : √(0.2·0.4) = 0.6928 : 0.2828
    together = np.exp(uncertainty.combine(Z, "logits"))
    np.testing.assert_allclose(together, [[0.710102, 0.289898], [0.5, 0.5]], atol=1e-6)


def test_a_constant_added_to_one_network_changes_nothing():
    shifted = Z + np.array([100.0, -700.0])[:, None, None]
    for mean in uncertainty.MEANS:
        np.testing.assert_allclose(uncertainty.combine(shifted, mean), uncertainty.combine(Z, mean), atol=1e-9)


def test_extreme_logits_stay_finite():
    for mean in uncertainty.MEANS:
        assert np.isfinite(uncertainty.combine(np.array([[[2000.0, 0.0]], [[0.0, 2000.0]]]), mean)).all()


def test_uncertainty_by_hand():
    found = uncertainty.uncertainty_of(Z)
    np.testing.assert_allclose(found.entropy, [0.610864, np.log(2)], atol=1e-6)
    np.testing.assert_allclose(found.expected_entropy, [(0.500402 + 0.673012) / 2, 0.325083], atol=1e-6)
    np.testing.assert_allclose(found.mutual_information, [0.024157, 0.368064], atol=1e-6)
    np.testing.assert_array_equal(found.disagreement, [0, 1])


def test_one_network_or_equal_ones_do_not_contradict():
    for z in (Z[:1], np.repeat(Z[:1], 3, axis=0)):
        found = uncertainty.uncertainty_of(z)
        np.testing.assert_allclose(found.mutual_information, 0, atol=1e-12)
        assert not found.disagreement.any()
        np.testing.assert_allclose(found.entropy, found.expected_entropy)


def test_disagreement_counts_pairs():
    answers = np.eye(3)[[[0], [0], [1], [2]]]  # of six pairs, one agrees
    np.testing.assert_allclose(uncertainty.uncertainty_of(answers).disagreement, 5 / 6)


def network(label_set=FER2013, side=20, face_size=24):
    made = models.get("vgg(width=0.03, filters=(64,), depth=1, head='gap')", len(label_set), (side, side, 1))
    made.metadata = models.ModelMetadata(label_set, face_size)
    return made


def test_networks_of_several_sizes_see_the_same_faces():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 1), np.uint8)
    small, large = network(), network(side=32, face_size=48)
    found = uncertainty.member_logits([small, large], images)
    assert found.shape == (2, 5, 7)
    np.testing.assert_array_equal(found[0], logits(small, images))
    assert np.ptp(found[1], axis=0).any()


def test_networks_of_other_classes_are_refused():
    images = np.zeros((1, 24, 24, 1), np.uint8)
    for other in (FERPLUS, SFEW):
        with pytest.raises(UserError, match="same classes in one order"):
            uncertainty.member_logits([network(), network(other)], images)
    with pytest.raises(UserError, match="at least one network"):
        uncertainty.member_logits([], images)
    with pytest.raises(UserError, match="Unknown mean of an ensemble 'median'"):
        uncertainty.combine(Z, "median")
    with pytest.raises(UserError, match="networks, faces, classes"):
        uncertainty.combine(Z[0])
