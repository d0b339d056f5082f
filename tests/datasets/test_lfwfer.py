from collections import Counter

import numpy as np
import pytest

from fer_tf.datasets import get
from fer_tf.errors import DataError, UserError


@pytest.fixture
def release(tmp_path, layouts):
    layouts.lfwfer(tmp_path)
    return tmp_path


def test_three_classes_and_people_in_one_split(release):
    table = get("lfwfer", release)
    assert len(table) == 82
    assert table.label_set.classes == ("positive", "neutral", "negative")
    row = list(table.ids).index("eval/neutral/Bob_Neutral_0001.jpg")
    assert table.labels[row] == 1 and table.subject[row] == "Bob_Neutral"
    assert all(len(set(table.split[table.subject == s])) == 1 for s in set(table.subject))
    assert (get("lfwfer(seed=1)", release).split != table.split).any()


def test_a_person_has_the_same_split_in_every_part(release):
    (release / "M-LFW-FER/train/negative/Ann_A0_0001.jpg").unlink()
    plain, masked = get("lfwfer", release), get("lfwfer(part='masked')", release)
    cut = get("lfwfer(part='cut')", release)
    assert len(masked) == 81 and len(cut) == 82
    where = dict(zip(plain.subject, plain.split, strict=True))
    for other in (masked, cut):
        assert all(where[person] == split for person, split in zip(other.subject, other.split, strict=True))
    assert "/M-LFW-FER/" in get("lfwfer(part='masked', in_memory=False)", release).paths[0]


def test_parts_for_training_and_for_evaluation(release):
    parts = {name: get(f"lfwfer(part={name!r})", release) for name in ("plain", "masked", "cut")}
    both = get("lfwfer(part='both')", release)
    assert len(both) == 164 and len(set(both.ids)) == 164
    np.testing.assert_array_equal(both.images, np.concatenate([parts["plain"].images, parts["masked"].images]))
    mixed = get("lfwfer(part='cut', evaluation='both')", release)
    train = mixed.select("train")
    assert list(train.ids) == [f"cut/{i}" for i in parts["cut"].select("train").ids]
    np.testing.assert_array_equal(train.images, parts["cut"].select("train").images)
    expected = [f"{part}/{i}" for part in ("plain", "masked") for i in parts[part].select("test").ids]
    assert list(mixed.select("test").ids) == expected
    same = get("lfwfer(part='masked', evaluation='masked')", release)
    assert list(same.ids) == list(parts["masked"].ids)


def test_the_official_split_shares_people_but_not_with_validation(release):
    table = get("lfwfer(protocol='official')", release)
    assert Counter(table.split)["test"] == 22
    assert all(i.startswith("eval/") for i in table.ids[table.split == "test"])
    people = {s: set(table.subject[table.split == s]) for s in ("train", "validation", "test")}
    assert people["train"] & people["test"] and not people["train"] & people["validation"]


def test_places_where_people_unpack_it(release, layouts):
    assert len(get("lfwfer", release / "LFW-FER")) == 82
    assert len(get("lfwfer(part='masked')", release / "M-LFW-FER")) == 82
    with pytest.raises(DataError, match="no M-LFW-FER there"):
        get("lfwfer(part='masked')", release / "LFW-FER")
    (release / "data" / "LFW-FER").mkdir(parents=True)
    (release / "LFW-FER").rename(release / "data" / "LFW-FER" / "LFW-FER")
    assert len(get("lfwfer", release)) == 82


def test_what_is_bad_is_named_or_skipped(release, layouts):
    layouts.noise(release / "LFW-FER/train/neutral/nobody.jpg")
    with pytest.raises(DataError, match=r"nobody\.jpg: expected a name of person and number"):
        get("lfwfer", release)
    assert len(get("lfwfer", release, skip_bad=True).skipped) == 1
    layouts.noise(release / "LFW-FER/eval/angry/A_B_0001.jpg")
    with pytest.raises(DataError, match="angry: no class of lfwfer"):
        get("lfwfer", release, skip_bad=True)


def test_options_are_checked(release):
    for option, message in (
        ("part='bare'", "Unknown part of LFW-FER 'bare'. Available: both, cut, masked, plain"),
        ("evaluation='bare'", "Unknown part of LFW-FER 'bare'"),
        ("protocol='mine'", "Unknown protocol of LFW-FER 'mine'"),
        ("split=(1, 1, 0)", "split="),
        ("label_set='fer2013'", "coarser"),
    ):
        with pytest.raises(UserError, match=message):
            get(f"lfwfer({option})", release)
