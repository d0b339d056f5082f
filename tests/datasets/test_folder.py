import numpy as np
import pytest

from fer_tf.datasets import get
from fer_tf.datasets.folder import label_set_of
from fer_tf.errors import DataError, UserError
from fer_tf.labels import FER2013, FERPLUS


@pytest.fixture
def tree(tmp_path, picture):
    """Ten pictures in each of three classes, without splits."""
    root = tmp_path / "faces"
    for name in ("smile", "frown", "blank"):
        for i in range(10):
            picture(root / name / f"{i}.png")
    return root


def test_a_tree_without_splits_gets_them(tree):
    table = get("folder", tree)
    assert table.label_set.classes == ("blank", "frown", "smile")
    assert table.images.shape == (30, 48, 48, 1)
    assert [int((table.split == s).sum()) for s in ("train", "validation", "test")] == [24, 3, 3]
    assert table.ids[0] == "blank/0.png"
    assert (get("folder", tree).split == table.split).all()
    halves = get("folder(split=(0.5, 0.3, 0.2), seed=3)", tree)
    assert [int((halves.split == s).sum()) for s in ("train", "validation", "test")] == [15, 9, 6]


def test_a_tree_with_splits_keeps_them_and_takes_size_and_channels(tmp_path, picture):
    for split, names in {"Training": "ab", "val": "ab", "PrivateTest": "a"}.items():
        for name in names:
            picture(tmp_path / split / name / "x.JPG", "RGB", side=70)
    table = get("folder(size=64, channels=3)", tmp_path)
    assert table.images.shape == (5, 64, 64, 3)
    assert sorted(zip(table.ids, table.split, table.labels.tolist(), strict=True)) == [
        ("PrivateTest/a/x.JPG", "test", 0),
        ("Training/a/x.JPG", "train", 0),
        ("Training/b/x.JPG", "train", 1),
        ("val/a/x.JPG", "validation", 0),
        ("val/b/x.JPG", "validation", 1),
    ]


def test_known_classes_take_their_own_order_in_any_spelling():
    assert label_set_of(["Anger", "disgust", "fear", "Happiness", "sad", "surprise", "neutral"], "folder") is FER2013
    assert label_set_of(FERPLUS.classes, "folder") is FERPLUS
    assert label_set_of(["sad", "happy"], "folder").classes == ("happy", "sad")


def test_paths_instead_of_pixels(tree):
    table = get("folder(in_memory=False)", tree)
    assert table.images is None
    assert table.paths[0] == str(tree / "blank" / "0.png")
    (tree / "blank" / "0.png").write_text("no picture")
    with pytest.raises(DataError, match=r"blank/0\.png: no picture"):
        get("folder(in_memory=False)", tree)
    assert len(get("folder(in_memory=False)", tree, skip_bad=True)) == 29


@pytest.mark.parametrize("name", ["notes.txt", "face.png"])
def test_a_non_image_is_named_or_skipped(tree, name):
    bad = tree / "smile" / name
    bad.write_text("this is no picture")
    with pytest.raises(DataError) as error:
        get("folder", tree)
    assert str(error.value).startswith(f"{bad}: no picture. Expected one of PNG")
    table = get("folder", tree, skip_bad=True)
    assert len(table) == 30
    assert table.skipped == (str(error.value),)


def test_an_empty_class_is_named_or_skipped(tree):
    (tree / "wink").mkdir()
    for litter in (".DS_Store", "Thumbs.db"):
        (tree / "wink" / litter).write_text("")
    with pytest.raises(DataError, match="wink: empty class folder"):
        get("folder", tree)
    table = get("folder", tree, skip_bad=True)
    assert table.label_set.classes == ("blank", "frown", "smile")
    assert len(table.skipped) == 1


def test_folders_and_pictures_in_the_wrong_place_are_named(tree, picture):
    (tree / "smile" / "inner").mkdir()
    with pytest.raises(DataError, match=r"inner: a folder inside a class folder"):
        get("folder", tree)
    (tree / "smile" / "inner").rmdir()
    picture(tree / "lost.png")
    with pytest.raises(DataError, match=r"lost\.png: a picture outside the class folders"):
        get("folder", tree)


def test_unclear_splits_are_refused(tmp_path, picture):
    for place in ("train/a", "val/a", "valid/a"):
        picture(tmp_path / place / "x.png")
    with pytest.raises(DataError, match="val and valid both mean validation"):
        get("folder", tmp_path)
    (tmp_path / "valid").rename(tmp_path / "holdout")
    with pytest.raises(DataError, match="holdout: a folder beside splits that is none"):
        get("folder", tmp_path)


def test_wrong_places_and_options_are_refused(tmp_path, tree):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        get("folder", tmp_path / "nowhere")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(DataError, match="hollow: no class folders"):
        get("folder", tmp_path / "hollow")
    for option in ("size=0", "channels=2", "split=(1, 1, 1)"):
        with pytest.raises(UserError, match=option.split("=")[0]):
            get(f"folder({option})", tree)


def test_a_changed_picture_is_noticed(tree, picture):
    before = get("folder", tree)
    pixels = picture(tree / "blank" / "0.png")
    after = get("folder", tree)
    np.testing.assert_array_equal(after.images[0, ..., 0], pixels)
    assert (before.images[0] != after.images[0]).any()


@pytest.mark.real
@pytest.mark.slow
def test_real_folders_hold_the_faces_of_the_csv(real_data):
    folders, rows = get("folder", real_data / "images"), get("fer2013", real_data)
    index = [int(i.rsplit("_", 1)[1].removesuffix(".png")) for i in folders.ids]
    assert sorted(index) == list(range(35887))
    for column in ("images", "labels", "split"):
        np.testing.assert_array_equal(getattr(folders, column), getattr(rows, column)[index])


def test_folders_around_the_splits_are_entered(tmp_path, picture):
    for split in ("train", "test"):
        for name in ("happy", "sad", "Happiness"):
            picture(tmp_path / "images" / split / name / "a.png")
    table = get("folder(size=8)", tmp_path)
    assert table.label_set.classes == ("happy", "sad")
    assert sorted(table.ids) == sorted(
        f"{split}/{name}/a.png" for split in ("train", "test") for name in ("happy", "sad", "Happiness")
    )


def test_a_folder_in_a_class_folder_is_named(tmp_path, picture):
    for name in ("happy", "sad"):
        picture(tmp_path / "faces" / "inner" / name / "a.png")
    picture(tmp_path / "more" / "a.png")
    with pytest.raises(DataError, match="inner: a folder inside a class folder"):
        get("folder", tmp_path)


def test_two_faces_a_class_are_too_few_for_three_splits(tmp_path, picture, caplog):
    for i in range(4):
        picture(tmp_path / ("happy", "sad")[i % 2] / f"{i}.png")
    get("folder", tmp_path)
    assert "no faces are left for validation and test. Expected three faces or more of a class." in caplog.text
