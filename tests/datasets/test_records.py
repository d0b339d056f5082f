import numpy as np
import pytest

from fer_tf.datasets import get
from fer_tf.datasets.shards import record_name
from fer_tf.errors import DataError
from fer_tf.io.tfrecord import RecordWriter, encode_example


def face(picture, folder, name, **changes):
    """Return the features of one face as the command crop writes them, and its pixels."""
    path = folder / "one.png"
    pixels = picture(path, "RGB", 40)
    label = name.split("/")[-2] if "/" in name else ""
    features = {
        "image": path.read_bytes(), "size": [40], "id": name, "label": label,
        "split": name.split("/")[0] if name.count("/") > 1 else "", "source": name, "video_frame": [-1], "face": [0],
        "score": [0.5], "box": np.float32([1, 2, 3, 4]), "landmarks": np.arange(10.0),
        "face_landmarks": np.arange(10.0) * 2, "frame": np.float32([5, 5, 8, 0]),
    }  # fmt: skip
    return {**features, **changes}, pixels


def write(path, features):
    with RecordWriter(path) as file:
        for one in features:
            file.write(one if isinstance(one, bytes) else encode_example(one))


@pytest.fixture
def shards(tmp_path, picture):
    """Twenty faces of two known classes in two shards, and their pixels by id."""
    root, pixels = tmp_path / "shards", {}
    root.mkdir()
    for shard in range(2):
        rows = []
        for i in range(10):
            name = f"{('Happiness', 'sad')[i % 2]}/{shard}{i} é.png"
            features, pixels[name] = face(picture, tmp_path, name)
            rows.append(features)
        write(root / record_name(shard, 2), rows)
    return root, pixels


def test_faces_classes_and_landmarks_come_back(shards):
    root, pixels = shards
    table = get("records(size=40, channels=3)", root)
    assert len(table) == 20
    assert table.label_set.classes == ("Happiness", "sad")
    assert sorted(table.ids) == sorted(pixels)
    for i, name in enumerate(table.ids):
        np.testing.assert_array_equal(table.images[i], pixels[name])
        assert table.label_set.classes[table.labels[i]] == name.split("/")[0]
    np.testing.assert_array_equal(table.landmarks[3], np.arange(10.0).reshape(5, 2) * 2)
    assert [int((table.split == s).sum()) for s in ("train", "validation", "test")] == [16, 2, 2]


def test_size_channels_and_splits_are_options_and_the_cache_keeps_them_apart(shards):
    root, _ = shards
    for size in (20, 48):
        table = get(f"records(size={size}, split=(0.5, 0.25, 0.25), seed=1)", root)
        assert table.images.shape == (20, size, size, 1)
        # Landmarks go with the size of the picture.
        np.testing.assert_allclose(table.landmarks[0], np.arange(10.0).reshape(5, 2) * 2 * size / 40, rtol=1e-6)
        assert (table.split == "train").sum() < 14
    np.testing.assert_array_equal(get("records(size=20)", root).images, get("records(size=20)", root).images)


def test_split_folders_are_kept(tmp_path, picture):
    names = ["Training/a/x.png", "Training/b/x.png", "PublicTest/a/y.png", "PrivateTest/b/z.png"]
    write(tmp_path / record_name(0, 1), [face(picture, tmp_path, name)[0] for name in names])
    table = get("records", tmp_path)
    assert dict(zip(table.ids, table.split, strict=True)) == dict(
        zip(names, ["train", "train", "validation", "test"], strict=True)
    )


def test_missing_shards_are_named(tmp_path, shards):
    root, _ = shards
    (root / record_name(0, 2)).rename(tmp_path / "aside")
    with pytest.raises(DataError, match=r"faces-00000-of-00002\.tfrecord is missing"):
        get("records", root)
    (tmp_path / "aside").rename(root / record_name(0, 3))
    with pytest.raises(DataError, match="shards of 2 and of 3"):
        get("records", root)
    with pytest.raises(DataError, match="aside: no such folder"):
        get("records", tmp_path / "aside")
    with pytest.raises(DataError, match=r"no shards. Expected faces-00000-of-00001\.tfrecord"):
        get("records", tmp_path)


def test_bad_records_are_named_or_skipped(tmp_path, picture):
    good = [face(picture, tmp_path, f"{'ab'[i % 2]}/{i}.png")[0] for i in range(8)]
    bad = {
        "no class": face(picture, tmp_path, "lost.png")[0],
        "no picture": {**good[0], "image": b"<html>"},
        "no face of ours": {"image": good[0]["image"]},
        "no tf.train.Example": b"\xff\xff",
    }
    for reason, features in bad.items():
        write(tmp_path / record_name(0, 1), [*good[:3], features, *good[3:]])
        with pytest.raises(DataError, match=rf"of-00001\.tfrecord: record 3: .*{reason}"):
            get("records", tmp_path)
        for _ in range(2):
            table = get("records", tmp_path, skip_bad=True)
            assert len(table) == 8
            (line,) = table.skipped
            assert ": record 3: " in line and reason in line


def test_a_shard_cut_short_gives_what_is_before(shards):
    root, _ = shards
    path = root / record_name(0, 2)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="record 9: the file ends within it"):
        get("records", root)
    table = get("records", root, skip_bad=True)
    assert len(table) == 19
    assert table.skipped == (f"{path}: record 9: the file ends within it, or its length is damaged.",)
