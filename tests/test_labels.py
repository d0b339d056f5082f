import numpy as np
import pytest

from fer_tf import labels
from fer_tf.errors import UserError
from fer_tf.labels import AFFECTNET, AFFECTNET7, CKPLUS, CKPLUS8, FER2013, FERPLUS, LFWFER, RAFDB, SFEW, LabelSet


def test_official_orders():
    assert FER2013.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert FERPLUS.classes[0] == "neutral" and FERPLUS.index("contempt") == 7 and len(FERPLUS) == 8


def test_unknown_class_names_the_alternatives():
    with pytest.raises(UserError, match=r"'joy'.*happy"):
        FER2013.index("joy")


def test_a_class_named_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        LabelSet("odd", ("a", "a"))


def test_one_hot():
    np.testing.assert_array_equal(labels.one_hot([1, 0], 3), [[0, 1, 0], [1, 0, 0]])
    assert labels.one_hot([1], 3).dtype == np.float32


@pytest.mark.parametrize("bad", [-1, 3])
def test_one_hot_names_the_row_out_of_range(bad):
    with pytest.raises(UserError, match=rf"Row 1 has label {bad}\. Expected 0 to 2"):
        labels.one_hot([0, bad], 3)


def test_normalize():
    np.testing.assert_allclose(labels.normalize([[1, 3], [2, 0]]), [[0.25, 0.75], [1, 0]])
    for bad in ([0, 0], [-1, 2], [np.nan, 1]):
        with pytest.raises(UserError, match="Row 1 is no distribution"):
            labels.normalize([[1, 1], bad])


def test_convert_by_name_drops_contempt_and_renormalizes():
    rows = np.zeros((3, 8), np.float32)
    rows[0, FERPLUS.index("anger")] = 1
    rows[1, FERPLUS.index("contempt")] = 1
    rows[2, [FERPLUS.index("happiness"), FERPLUS.index("contempt")]] = [0.75, 0.25]
    moved, kept = labels.convert(rows, FERPLUS, FER2013)
    np.testing.assert_array_equal(kept, [0, 2])
    assert moved[0, FER2013.index("angry")] == 1 and moved[1, FER2013.index("happy")] == 1


def test_orders_of_the_other_releases():
    assert RAFDB.classes == ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")
    assert AFFECTNET.classes == ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
    assert AFFECTNET7.classes == AFFECTNET.classes[:7]
    assert CKPLUS.classes == ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    assert CKPLUS8.classes == ("neutral", *CKPLUS.classes)
    assert LFWFER.classes == ("positive", "neutral", "negative")


@pytest.mark.parametrize("source", [FER2013, FERPLUS, RAFDB, AFFECTNET, CKPLUS8, SFEW], ids=lambda s: s.name)
@pytest.mark.parametrize("target", [FER2013, FERPLUS, RAFDB, AFFECTNET7, SFEW], ids=lambda s: s.name)
def test_convert_between_orders_goes_by_name(source, target):
    moved, kept = labels.convert(np.eye(len(source), dtype=np.float32), source, target)
    plain = [labels.SYNONYMS.get(c, c) for c in source.classes]
    expected = [c for c in plain if c != "contempt" or "contempt" in target.classes]
    assert [plain[i] for i in kept] == expected
    assert [labels.SYNONYMS.get(c, c) for c in np.array(target.classes)[moved.argmax(axis=1)]] == expected


def test_convert_to_three_classes_leaves_surprise_out():
    moved, kept = labels.convert(np.eye(8, dtype=np.float32), FERPLUS, LFWFER)
    found = dict(
        zip([FERPLUS.classes[i] for i in kept], [LFWFER.classes[i] for i in moved.argmax(axis=1)], strict=True)
    )
    assert found == {
        "neutral": "neutral", "happiness": "positive", "sadness": "negative", "anger": "negative",
        "disgust": "negative", "fear": "negative", "contempt": "negative",
    }  # fmt: skip


def test_convert_merges_mass_by_the_mapping_given():
    row = np.array([[0, 0.5, 0.3, 0, 0.1, 0.1, 0, 0]], np.float32)
    moved, kept = labels.convert(row, FERPLUS, LFWFER)
    np.testing.assert_allclose(moved, [[5 / 7, 0, 2 / 7]], rtol=1e-6)
    moved, kept = labels.convert(row, FERPLUS, LFWFER, {**labels.POLARITY, "surprise": "positive"})
    np.testing.assert_allclose(moved, [[0.8, 0, 0.2]], rtol=1e-6)
    assert kept.tolist() == [0]
    assert (labels.convert(np.eye(3), LFWFER, LFWFER)[0] == np.eye(3)).all()


def test_three_classes_cannot_become_seven():
    with pytest.raises(UserError, match="'lfwfer' is coarser than 'fer2013'"):
        labels.convert(np.eye(3), LFWFER, FER2013)


def test_convert_of_a_set_to_itself_changes_nothing():
    rows = labels.normalize(np.random.default_rng(0).random((5, 7)))
    moved, kept = labels.convert(rows, FER2013, FER2013)
    np.testing.assert_allclose(moved, rows, rtol=1e-6)
    assert len(kept) == 5


def test_convert_between_strangers_is_refused():
    with pytest.raises(UserError, match="share no class"):
        labels.convert(np.ones((1, 1)), LabelSet("a", ("x",)), FER2013)


def test_tempered_by_hand():
    rows = np.array([[0.8, 0.2, 0.0], [0.5, 0.5, 0.0]], np.float32)
    np.testing.assert_allclose(labels.tempered(rows, 0.5)[0], [16 / 17, 1 / 17, 0], rtol=1e-6)  # .64 and .04
    np.testing.assert_allclose(labels.tempered(rows, 2)[0], [2 / 3, 1 / 3, 0], rtol=1e-6)  # √.8 : √.2 = 2 : 1
    np.testing.assert_allclose(labels.tempered(rows, 0.5)[1], rows[1])


def test_tempered_limits():
    rows = labels.normalize(np.random.default_rng(0).uniform(0.1, 1, (50, 6)))
    np.testing.assert_allclose(labels.tempered(rows, 1), rows, rtol=1e-6)
    np.testing.assert_array_equal(labels.tempered(rows, 0), labels.one_hot(rows.argmax(1), 6))
    np.testing.assert_allclose(labels.tempered(rows, 1e-4), labels.one_hot(rows.argmax(1), 6), atol=1e-6)
    np.testing.assert_allclose(labels.tempered(rows, 1e6), np.full((50, 6), 1 / 6), atol=1e-5)
    np.testing.assert_array_equal(labels.tempered(np.array([[4, 4, 2]]) / 10, 0), [[0.5, 0.5, 0]])
    with pytest.raises(UserError, match="temperature is -1"):
        labels.tempered(rows, -1)
