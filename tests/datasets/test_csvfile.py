import gzip

import numpy as np
import pytest

from fer_tf.datasets import get
from fer_tf.errors import DataError, UserError


@pytest.fixture
def pixels(tmp_path, picture):
    return np.stack([picture(tmp_path / "faces" / f"{i}.png") for i in range(6)])


def write(tmp_path, *lines):
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(values, start=0):
    return [f"faces/{i}.png,{v}" for i, v in enumerate(values, start)]


def test_labels_by_name(tmp_path, pixels):
    path = write(tmp_path, "\ufeffpath, label", *rows(["wink", "smile", "wink", "smile", "wink", "wink"]))
    for data in (tmp_path, path):
        table = get("csv", data)
        assert table.label_set.classes == ("smile", "wink")
        assert table.labels.tolist() == [1, 0, 1, 0, 1, 1]
        np.testing.assert_array_equal(table.images[..., 0], pixels)
        assert table.ids.tolist() == [f"faces/{i}.png" for i in range(6)]


def test_labels_by_name_and_index_of_a_known_set(tmp_path, pixels):
    write(
        tmp_path,
        "path,label,split,subject",
        *(r + ",val,ann" for r in rows(["Happiness", "3", "6", "angry", "0", "sad"])),
    )
    table = get("csv(label_set='fer2013', size=24, channels=3)", tmp_path)
    assert table.labels.tolist() == [3, 3, 6, 0, 0, 4]
    assert table.split.tolist() == ["validation"] * 6
    assert table.subject.tolist() == ["ann"] * 6
    assert table.images.shape == (6, 24, 24, 3)


def test_one_column_a_class(tmp_path, pixels):
    write(tmp_path, "path,b,split,a", "faces/0.png,3,train,1", "faces/1.png,0,test,0.5", "faces/2.png,2,val,2")
    with pytest.raises(DataError, match=r"list.csv:1: column 'b' is no expression that is known"):
        get("csv", tmp_path)
    table = get("csv(label_set=('b', 'a'))", tmp_path)
    assert table.label_set.classes == ("b", "a")
    np.testing.assert_allclose(table.targets, [[0.75, 0.25], [0, 1], [0.5, 0.5]])
    assert table.split.tolist() == ["train", "test", "validation"]


def test_one_distribution_column(tmp_path, pixels):
    write(tmp_path, "path,distribution", 'faces/0.png,"[0.1, 0.9]"', "faces/1.png,3 1", "faces/2.png,0;2")
    table = get("csv(label_set=('a', 'b'))", tmp_path)
    np.testing.assert_allclose(table.targets, [[0.1, 0.9], [0.75, 0.25], [0, 1]], atol=1e-6)
    with pytest.raises(UserError, match="give label_set"):
        get("csv", tmp_path)


def test_missing_splits_follow_subjects(tmp_path, picture):
    lines = []
    for i in range(60):
        picture(tmp_path / f"{i}.png", side=8)
        lines.append(f"{i}.png,{'ab'[i % 2]},person{i // 6}")
    write(tmp_path, "path,label,subject", *lines)
    table = get("csv(size=8)", tmp_path)
    assert {s: len(set(table.subject[table.split == s])) for s in set(table.split)} == {
        "train": 8, "validation": 1, "test": 1,
    }  # fmt: skip


BAD_ROWS = {
    "label 9": ("faces/1.png,9", "label '9', expected one of angry"),
    "label -1": ("faces/1.png,-1", "label '-1'"),
    "label name": ("faces/1.png,grumpy", "label 'grumpy'"),
    "duplicate": ("faces/0.png,happy", "path 'faces/0.png' is already on line 2"),
    "same file": ("faces/../faces/0.png,happy", "path 'faces/../faces/0.png' is already on line 2"),
    "no file": ("faces/nine.png,happy", "no such picture"),
    "no path": (",happy", "no path"),
    "no picture": ("list.csv,happy", "no picture"),
    "fields": ("faces/1.png,happy,train", "3 fields, expected 2"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_named_or_skipped(tmp_path, pixels, name):
    row, reason = BAD_ROWS[name]
    path = write(tmp_path, "path,label", "faces/0.png,happy", row, "faces/2.png,sad")
    with pytest.raises(DataError) as error:
        get("csv(label_set='fer2013')", tmp_path)
    assert str(error.value).startswith(f"{path}:3: {reason}")
    assert "\n" not in str(error.value)
    table = get("csv(label_set='fer2013')", tmp_path, skip_bad=True)
    assert table.ids.tolist() == ["faces/0.png", "faces/2.png"]
    assert table.skipped == (str(error.value),)


@pytest.mark.parametrize("numbers", ["-1,2", "0,0", "nan,1", "inf,1", "x,1", ",1"])
def test_a_bad_distribution_is_named(tmp_path, pixels, numbers):
    path = write(tmp_path, "path,happy,sad", "faces/0.png,1,0", f"faces/1.png,{numbers}")
    with pytest.raises(DataError, match="expected numbers ≥ 0") as error:
        get("csv", tmp_path)
    assert str(error.value).startswith(f"{path}:3: distribution")


def test_an_unknown_split_is_named(tmp_path, pixels):
    path = write(tmp_path, "path,label,split", "faces/0.png,a,train", "faces/1.png,b,holdout")
    with pytest.raises(DataError, match=rf"{path}:3: split 'holdout', expected train, validation"):
        get("csv", tmp_path)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("person,label", "no column 'path'"),
        ("path", "expected a column 'label'"),
        ("path,split", "expected a column 'label'"),
        ("path,label,distribution", "expected a column 'label'"),
        ("path,label,label", "a column is named twice"),
        ("", "no column 'path'"),
    ],
)
def test_a_wrong_header_is_named(tmp_path, header, reason):
    write(tmp_path, header, "faces/0.png,a,b")
    with pytest.raises(DataError, match=rf"list\.csv:1: {reason}"):
        get("csv", tmp_path, skip_bad=True)


def test_a_label_set_must_fit_the_columns(tmp_path, pixels):
    write(tmp_path, "path,happy,sad", "faces/0.png,1,0")
    with pytest.raises(DataError, match=r"list\.csv:1: no column for class 'angry' of fer2013"):
        get("csv(label_set='fer2013')", tmp_path)
    with pytest.raises(UserError, match="Unknown label set 'fer'"):
        get("csv(label_set='fer')", tmp_path)


def test_numbers_without_a_label_set_are_refused(tmp_path, pixels):
    write(tmp_path, "path,label", *rows([0, 1, 2]))
    with pytest.raises(UserError, match=r"the labels are numbers. Say of what"):
        get("csv", tmp_path)


def test_wrong_places_are_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        get("csv", tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected one CSV in it, found none"):
        get("csv", tmp_path)
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        get("csv", tmp_path)
    (tmp_path / "list.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="no readable face"):
        get("csv", tmp_path)


def test_the_index_of_a_data_frame_is_no_class(tmp_path, pixels):
    for index in ("", "Unnamed: 0"):
        write(tmp_path, f"{index},path,sad,happy", "0,faces/0.png,1,0", "7,faces/1.png,0,2")
        table = get("csv", tmp_path)
        assert table.label_set.classes == ("sad", "happy")
        np.testing.assert_array_equal(table.targets, [[1, 0], [0, 1]])


def test_a_column_that_is_no_expression_is_named(tmp_path, pixels):
    write(tmp_path, "path,sad,happy,width", "faces/0.png,1,0,48")
    with pytest.raises(DataError, match=r"list\.csv:1: column 'width' is no expression"):
        get("csv", tmp_path)
    assert get("csv(label_set=('happy', 'sad'))", tmp_path).targets.tolist() == [[0, 1]]
    with pytest.raises(DataError, match=r"list\.csv:1: column 'sad' is no class of csv"):
        get("csv(label_set=('happy', 'width'))", tmp_path)


def test_a_class_in_two_spellings_is_one_class(tmp_path, pixels):
    write(tmp_path, "path,Happy,sad,happiness", "faces/0.png,1,2,1", "faces/1.png,0,1,0")
    table = get("csv", tmp_path)
    assert table.label_set.classes == ("happy", "sad")
    np.testing.assert_array_equal(table.targets, [[0.5, 0.5], [0, 1]])
    write(tmp_path, "path,label", *rows(["Happy", "happy", "Happiness", "sad", "Sad", "wink"]))
    table = get("csv", tmp_path)
    assert table.label_set.classes == ("happy", "sad", "wink")
    assert table.labels.tolist() == [0, 0, 0, 1, 1, 2]
    with pytest.raises(UserError, match="in two spellings, 'Happy' and 'happiness'"):
        get("csv(label_set=('Happy', 'happiness'))", tmp_path)


def test_tables_as_people_have_them(tmp_path, pixels):
    write(tmp_path, "Image;Emotion;Usage", "faces\\0.png;0.0;Training", "faces\\1.png;3.0;PrivateTest")
    table = get("csv(label_set='fer2013')", tmp_path)
    assert table.labels.tolist() == [0, 3]
    assert table.split.tolist() == ["train", "test"]
    write(tmp_path, "Path;sad;happy", "faces/0.png;0,25;0,75")
    assert get("csv", tmp_path).targets.tolist() == [[0.25, 0.75]]
    data = (tmp_path / "list.csv").read_bytes()
    (tmp_path / "list.csv").unlink()
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(data))
    assert get("csv", tmp_path).targets.tolist() == [[0.25, 0.75]]
