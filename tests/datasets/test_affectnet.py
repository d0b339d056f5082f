from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fer_tf.datasets import get
from fer_tf.errors import DataError, UserError

ORDER = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
TRAINING = "Manually_Annotated_file_lists/training.csv"


@pytest.fixture(params=["affectnet", "affectnet_npy"])
def either(request, tmp_path, layouts):
    getattr(layouts, request.param)(tmp_path)
    return tmp_path


@pytest.fixture
def lists(tmp_path, layouts):
    layouts.affectnet(tmp_path)
    return tmp_path


@pytest.fixture
def arrays(tmp_path, layouts):
    layouts.affectnet_npy(tmp_path)
    return tmp_path


def add(root, line):
    with (root / TRAINING).open("a") as file:
        file.write(line + "\n")


def names_of(table):
    return np.array(table.label_set.classes)[table.labels].tolist()


def test_order_of_the_classes_and_official_validation_as_test(either):
    table = get("affectnet(validation=0)", either)
    assert Counter(table.split) == {"train": 16, "test": 8}
    assert names_of(table.select("train")) == [*ORDER, *ORDER]
    assert names_of(table.select("test")) == list(ORDER)
    assert table.images is None and len(table.paths) == 24


def test_missing_affect_is_not_a_number(either):
    table = get("affectnet(validation=0)", either).select("train")
    np.testing.assert_allclose(table.valence_arousal[:15], np.tile([0.5, -0.25], (15, 1)))
    assert np.isnan(table.valence_arousal[15]).all()


def test_landmarks_in_pixels_of_the_file_or_none(either, layouts):
    table = get("affectnet", either)
    assert table.landmarks.shape == (24, 68, 2)
    np.testing.assert_allclose(table.landmarks[3], layouts.square(), atol=0.01)
    assert get("affectnet(landmarks=False)", either).landmarks is None


def test_seven_classes_drop_contempt_and_count_it(either):
    table = get("affectnet(classes=7, validation=0)", either)
    assert table.label_set.classes == ORDER[:7]
    assert Counter(names_of(table)) == {name: 3 for name in ORDER[:7]}
    counts = [line.rsplit(": ", 2)[1:] for line in table.skipped if "contempt" in line]
    assert counts == [["left out 2 faces", "contempt."], ["left out 1 faces", "contempt."]]


def test_faces_without_an_expression_are_counted(lists):
    skipped = get("affectnet", lists).skipped
    assert [line.partition("training.csv: ")[2] for line in skipped] == [
        "left out 1 faces: none of the expressions.", "left out 1 faces: uncertain.", "left out 1 faces: no face.",
    ]  # fmt: skip


def test_validation_is_carved_from_train_by_class(either):
    table = get("affectnet(validation=0.5)", either)
    for split in ("train", "validation", "test"):
        assert np.bincount(table.labels[table.split == split]).tolist() == [1] * 8
    assert (get("affectnet(validation=0.5)", either).split == table.split).all()
    assert (get("affectnet(validation=0.5, seed=1)", either).split != table.split).any()


def test_paths_open_no_picture(either):
    for path in either.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    assert len(get("affectnet", either)) == 24


def test_in_memory_faces_are_cut_to_their_box(lists):
    table = get("affectnet(in_memory=True, size=20, validation=0)", lists)
    file = lists / "Manually_Annotated_Images" / table.ids[0].partition("/")[2]
    np.testing.assert_array_equal(table.images[0], np.asarray(Image.open(file))[10:30, 10:30])
    np.testing.assert_allclose(table.boxes[0], [0, 0, 20, 20])
    np.testing.assert_allclose(table.landmarks[0, [0, -1]], [[0, 0], [20, 20]])
    whole = get("affectnet(in_memory=True, crop=False, size=20)", lists)
    np.testing.assert_allclose(whole.boxes[0], [10 / 3, 5, 10, 15], rtol=1e-6)
    np.testing.assert_allclose(whole.landmarks[0, -1], [10, 15])


def test_boxes_are_corners_and_may_be_missing(lists, layouts):
    row = layouts.affectnet_row("8/x.jpg", 0).replace(",10,10,20,20,", ",5,6,30,40,")
    add(lists, row)
    add(lists, layouts.affectnet_row("8/y.jpg", 0).replace(",10,10,20,20,", ",-1,-1,-1,-1,"))
    for name in "xy":
        layouts.noise(lists / "Manually_Annotated_Images" / "8" / f"{name}.jpg", (60, 60), "RGB")
    table = get("affectnet(validation=0)", lists).select("train")
    np.testing.assert_array_equal(table.boxes[-2], [5, 6, 35, 46])
    assert np.isnan(table.boxes[-1]).all()
    assert get("affectnet(in_memory=True, size=10)", lists).images.shape == (26, 10, 10, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("x.jpg", "y.jpg"), "no such picture: .*y.jpg"),
        (("5/x.jpg", ""), "no subDirectory_filePath"),
        (("x.jpg", ""), "no such picture"),
        ((",3,0.5,", ",11,0.5,"), "expression '11', expected 0 to 10"),
        ((",3,0.5,", ",-1,0.5,"), "expression '-1', expected 0 to 10"),
        ((",3,0.5,", ",sad,0.5,"), "expression 'sad', expected 0 to 10"),
        ((",3,0.5,", ",3,1.5,"), "valence '1.5', expected −1 to 1, or −2"),
        (("-0.25", "calm"), "arousal 'calm', expected"),
        ((",10,10,20,20,", ",10,ten,20,20,"), "face box '10,ten,20,20', expected four numbers"),
        (("10.00;10.00;", "10.00;"), "landmarks of 135 numbers, expected 136"),
        (("10.00;10.00;", "10.00;x;"), "landmarks '10.00'…, expected numbers"),
        (("-0.25", "-0.25,7"), "10 fields, expected 9"),
    ],
)
def test_a_bad_row_is_named_or_skipped(lists, layouts, change, message):
    layouts.noise(lists / "Manually_Annotated_Images" / "5" / "x.jpg")
    add(lists, layouts.affectnet_row("5/x.jpg", 3).replace(*change))
    with pytest.raises(DataError, match=rf"training\.csv:21: {message}"):
        get("affectnet", lists)
    table = get("affectnet", lists, skip_bad=True)
    assert len(table) == 24 and len(table.skipped) == 4


def test_a_list_without_header_is_read_and_one_with_a_wrong_header_is_not(lists, layouts):
    path = lists / "Manually_Annotated_file_lists/validation.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]) + "\n")
    assert len(get("affectnet", lists).select("test")) == 8
    path.write_text("\n".join([lines[0].replace("valence", "happiness"), *lines[1:]]))
    with pytest.raises(DataError, match=r"validation\.csv:1: expected the columns subDirectory_filePath,"):
        get("affectnet", lists)


def test_automatic_annotations_train_and_manual_ones_test(lists, layouts):
    layouts.text(
        lists / "Automatically_annotated_file_list" / "automatically_annotated.csv",
        [layouts.AFFECTNET_HEADER, layouts.affectnet_row("1/auto.jpg", 1)],
    )
    layouts.noise(lists / "Automatically_Annotated_Images" / "1" / "auto.jpg")
    alone = get("affectnet(annotated='automatic', validation=0)", lists)
    assert alone.select("train").ids.tolist() == ["Automatically_Annotated_Images/1/auto.jpg"]
    assert len(get("affectnet(annotated='both', validation=0)", lists).select("train")) == 17


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("3_exp.npy", np.array("12"), "expression 12.0, expected 0 to 10"),
        ("3_exp.npy", np.array("sad"), "3_exp.npy cannot be read"),
        ("3_exp.npy", np.array([1, 2]), "3_exp.npy cannot be read"),
        ("3_val.npy", np.array(-1.5), "valence -1.5, expected"),
        ("3_lnd.npy", np.zeros(10), "3_lnd.npy: landmarks of 10 numbers, expected 136"),
        ("3_aro.npy", None, "no 3_aro.npy beside it"),
    ],
)
def test_a_bad_annotation_is_named_or_skipped(arrays, name, content, message):
    path = arrays / "train_set/annotations" / name
    path.unlink()
    if content is not None:
        np.save(path, content)
    with pytest.raises(DataError, match=f"3_exp.npy: {message}"):
        get("affectnet", arrays)
    table = get("affectnet", arrays, skip_bad=True)
    assert len(table) == 23 and len(table.skipped) == 1


def test_pictures_and_annotations_must_match(arrays):
    (arrays / "train_set/annotations/4_exp.npy").unlink()
    with pytest.raises(DataError, match=r"4\.jpg: no 4_exp.npy in "):
        get("affectnet", arrays)
    (arrays / "train_set/images/4.jpg").unlink()
    assert len(get("affectnet", arrays)) == 23
    (arrays / "train_set/images/5.jpg").unlink()
    with pytest.raises(DataError, match=r"5_exp\.npy: no such picture: .*5\.jpg"):
        get("affectnet", arrays)


def test_a_face_may_lack_landmarks(arrays):
    (arrays / "train_set/annotations/4_lnd.npy").unlink()
    table = get("affectnet(validation=0)", arrays)
    assert np.isnan(table.landmarks[4]).all() and np.isfinite(table.landmarks[5]).all()


def test_a_changed_annotation_is_noticed(arrays):
    assert get("affectnet", arrays).labels[2] == 2
    np.save(arrays / "train_set/annotations/2_exp.npy", np.array("6"))
    assert get("affectnet", arrays).labels[2] == 6


def test_options_are_checked(either):
    for option, message in (("classes=6", "classes=6"), ("annotated='me'", "Unknown annotation"), ("size=0", "size=0")):
        with pytest.raises(UserError, match=message):
            get(f"affectnet({option})", either)
    moved = get("affectnet(label_set='ferplus')", either)
    assert moved.label_set.name == "ferplus" and len(moved) == 24
    assert len(get("affectnet(label_set='fer2013')", either)) == 21
