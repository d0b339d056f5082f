from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fer_tf.datasets import get
from fer_tf.errors import DataError, UserError

LIST = "EmoLabel/list_patition_label.txt"


@pytest.fixture
def release(tmp_path, layouts):
    layouts.rafdb(tmp_path)
    return tmp_path


def add(root, line):
    with (root / LIST).open("a") as file:
        file.write(line + "\n")


def test_labels_count_from_one_in_the_official_order(release):
    table = get("rafdb(validation=0)", release)
    names = dict(zip(table.ids, np.array(table.label_set.classes)[table.labels], strict=True))
    order = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")
    assert [names[f"train_{i:05d}"] for i in range(1, 8)] == list(order)
    assert [names[f"test_{i:04d}"] for i in range(1, 8)] == list(order)
    assert Counter(table.split) == {"train": 21, "test": 7}


def test_pictures_are_the_aligned_ones_at_their_own_size(release):
    table = get("rafdb", release)
    assert table.images.shape == (28, 100, 100, 3)
    row = list(table.ids).index("train_00003")
    expected = np.asarray(Image.open(release / "Image/aligned/train_00003_aligned.jpg"))
    np.testing.assert_array_equal(table.images[row], expected)
    assert get("rafdb(size=48, channels=1)", release).images.shape == (28, 48, 48, 1)


def test_validation_is_a_share_of_each_class_of_train_only(release):
    table = get("rafdb(validation=0.34)", release)
    parts = {s: table.labels[table.split == s] for s in ("train", "validation", "test")}
    assert np.bincount(parts["validation"]).tolist() == [1] * 7
    assert np.bincount(parts["train"]).tolist() == [2] * 7
    assert all(i.startswith("test_") for i in table.ids[table.split == "test"])
    other = get("rafdb(validation=0.34, seed=5)", release)
    assert (other.split != table.split).any()
    assert ((other.split == "test") == (table.split == "test")).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_00001.jpg", "1 fields, expected a name and a label"),
        ("train_00099.jpg 8", "label '8', expected 1 to 7"),
        ("train_00099.jpg 0", "label '0', expected 1 to 7"),
        ("train_00099.jpg happy", "label 'happy', expected 1 to 7"),
        ("valid_00099.jpg 1", "name 'valid_00099.jpg', expected one such as train_00001.jpg"),
        ("train_00099.jpg 1", "no such picture: .*train_00099_aligned.jpg"),
        ("train_00001.jpg 1", "face 'train_00001' is already at .*:1"),
    ],
)
def test_a_bad_line_is_named_or_skipped(release, line, message):
    add(release, line)
    for text in ("rafdb", "rafdb(in_memory=False)"):
        with pytest.raises(DataError, match=rf"list_patition_label\.txt:29: {message}"):
            get(text, release)
        table = get(text, release, skip_bad=True)
        assert len(table) == 28 and len(table.skipped) == 1


def test_a_damaged_picture_is_named_by_its_line(release):
    (release / "Image/aligned/train_00002_aligned.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"label\.txt:2: no picture"):
        get("rafdb", release)


def test_packed_pictures_are_asked_for(tmp_path, layouts):
    layouts.text(tmp_path / LIST, ["train_00001.jpg 1"])
    with pytest.raises(DataError, match=r"aligned: no such folder.*unpack aligned.zip"):
        get("rafdb", tmp_path)


@pytest.mark.parametrize("lists", [True, False])
def test_class_folders_hold_the_same_labels(tmp_path, layouts, lists):
    layouts.rafdb_folders(tmp_path, lists)
    table = get("rafdb(validation=0)", tmp_path)
    assert Counter(table.split) == {"train": 21, "test": 7}
    assert table.class_counts().tolist() == [4] * 7
    row = list(table.ids).index("train/3/train_00003_aligned.jpg")
    assert table.label_set.classes[table.labels[row]] == "disgust"


def test_lists_beside_class_folders_are_checked(tmp_path, layouts):
    layouts.rafdb_folders(tmp_path)
    (tmp_path / "DATASET/train/2/train_00002_aligned.jpg").unlink()
    with pytest.raises(DataError, match=r"train_labels\.csv:3: no such picture"):
        get("rafdb", tmp_path)
    layouts.text(tmp_path / "train_labels.csv", ["file,class", "a.jpg,1"])
    with pytest.raises(DataError, match=r"train_labels\.csv:1: expected the columns image,label; found file, class"):
        get("rafdb", tmp_path)


def test_a_folder_that_is_no_class_is_named(tmp_path, layouts):
    layouts.rafdb_folders(tmp_path, lists=False)
    layouts.noise(tmp_path / "DATASET/train/8/x.jpg")
    with pytest.raises(DataError, match=r"8: no class of rafdb\. Expected one of surprise"):
        get("rafdb", tmp_path)


@pytest.mark.parametrize("share", ["1", "-0.1", "'a'", "True"])
def test_an_impossible_share_is_refused(release, share):
    with pytest.raises(UserError, match="validation="):
        get(f"rafdb(validation={share})", release)


def test_conversion_by_name(release):
    table = get("rafdb(label_set='fer2013', validation=0)", release)
    assert table.label_set.classes[table.labels[list(table.ids).index("train_00001")]] == "surprise"
    assert table.label_set.classes[table.labels[list(table.ids).index("train_00006")]] == "angry"
