"""Faces that stay on disk: the same batches, bytes and scores as in memory."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_tf import datasets
from fer_tf.errors import DataError
from fer_tf.facetable import FaceTable, ImagesOnDisk
from fer_tf.input_pipeline.batches import BatchSource
from fer_tf.io.cache import StreamedFaces
from fer_tf.io.pictures import resized
from fer_tf.shards import ShardOptions, prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ninety faces of two known classes in nine shards, and the pictures that they were."""
    root, rng = tmp_path_factory.mktemp("streamed"), np.random.default_rng(0)
    for i in range(90):
        path = root / "faces" / ("happy" if i % 3 else "sad") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).save(path)
    (root / "faces" / "sad" / "text.png").write_text("no picture")
    prepare(root / "faces", root / "shards", ShardOptions(size=12, faces="whole", shard_images=10))
    return root


@pytest.fixture
def table(folder):
    return datasets.get("shards", folder / "shards")


def in_memory(table: FaceTable) -> FaceTable:
    return replace(table, images=np.asarray(table.images))


def test_every_face_is_its_picture(folder, table):
    assert isinstance(table.images, ImagesOnDisk) and table.images.shape == (90, 12, 12, 1)
    for row, name in enumerate(table.ids.tolist()):
        picture = np.asarray(Image.open(folder / "faces" / name))
        np.testing.assert_array_equal(table.images[row][..., 0], picture)
        assert table.label_set.classes[table.labels[row]] == name.split("/")[0]
    assert table.skipped == (f"{folder / 'shards'}: left out 1 faces: unreadable.",)


@pytest.mark.parametrize(
    "rows", [5, slice(3, 40, 7), [8, 2, 2, 89], np.array([True, False] * 45), [], np.arange(90)[::-1], -1]
)
def test_rows_are_those_of_an_array(table, rows):
    array = np.asarray(table.images)
    read = table.images[rows]
    np.testing.assert_array_equal(read, array[rows] if not isinstance(rows, list) else array[np.array(rows, int)])
    assert read.dtype == np.uint8


@pytest.mark.parametrize("options", [{}, {"augment": ["flip()", "light"], "crop": 10}, {"image_size": 8}])
@pytest.mark.parametrize("shuffle", [True, False])
def test_streamed_batches_are_those_in_memory_bit_for_bit(table, options, shuffle):
    table = table.select("train")
    streamed = BatchSource(table, 16, seed=3, shuffle=shuffle, **options)
    memory = BatchSource(in_memory(table), 16, seed=3, shuffle=shuffle, **options)
    assert streamed.steps == memory.steps == (4 if shuffle else 5)
    for epoch, step in ((0, 0), (0, 3), (2, 1)):
        for ours, theirs in zip(streamed.batch(epoch, step), memory.batch(epoch, step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert isinstance(streamed.table.images, StreamedFaces)


def test_an_epoch_is_a_full_shuffle(table):
    source = BatchSource(table, 90, seed=0)
    shards = np.array([table.images.file[source.indices(epoch, 0)] for epoch in range(40)])
    assert all(sorted(source.indices(epoch, 0)) == list(range(90)) for epoch in range(3))
    # Neighbours come from one shard no more often than by chance: 9 in 89, here 3,560 draws.
    assert abs((shards[:, 1:] == shards[:, :-1]).mean() - 9 / 89) < 3.5 * np.sqrt(9 / 89 * 80 / 89 / shards[:, 1:].size)


def test_resizing_equals_that_in_memory(table):
    array = np.asarray(table.images)
    for size in (8, 20):
        small = resized(table.images, size)
        assert isinstance(small, StreamedFaces) and small.shape == (90, size, size, 1)
        np.testing.assert_array_equal(np.asarray(small), resized(array, size))
    assert resized(small, 12).size is None


def test_the_digest_follows_bytes_rows_and_size(folder, table, tmp_path):
    assert datasets.get("shards", folder / "shards").digest() == table.digest()
    seen = {table.digest(), table.take(np.arange(89)).digest(), table.take(np.arange(90)[::-1]).digest()}
    assert len(seen | {datasets.get("shards(size=8)", folder / "shards").digest()}) == 4
    path = next((folder / "faces" / "happy").iterdir())
    before = path.read_bytes()
    try:
        Image.fromarray(np.zeros((12, 12), np.uint8)).save(path)
        prepare(folder / "faces", tmp_path / "other", ShardOptions(size=12, faces="whole", shard_images=10))
    finally:
        path.write_bytes(before)
    assert datasets.get("shards", tmp_path / "other").digest() not in seen


def test_splits_have_their_shares_and_depend_on_ids_and_seed(folder, table):
    counts = {split: int((table.split == split).sum()) for split in ("train", "validation", "test")}
    assert counts == {"train": 72, "validation": 9, "test": 9}
    other = datasets.get("shards(seed=1, split=(0.5, 0, 0.5))", folder / "shards")
    assert set(other.split.tolist()) == {"train", "test"} and (other.split == "test").sum() == 45
    again = datasets.get("shards(seed=1)", folder / "shards")
    assert (again.split != table.split).sum() > 10


def test_a_table_is_saved_with_its_pixels(table, tmp_path):
    table.save(tmp_path / "table.npz")
    read = FaceTable.load(tmp_path / "table.npz")
    np.testing.assert_array_equal(read.images, np.asarray(table.images))
    assert read.ids.tolist() == table.ids.tolist()


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no such folder. Expected one that fer-tf shards prepare wrote"):
        datasets.get("shards", tmp_path / "none")
    with pytest.raises(DataError, match=r"has no index.json: no shards, or not all yet"):
        datasets.get("shards", tmp_path)
    prepare(folder / "faces", tmp_path / "out", ShardOptions(size=12, faces="whole", shard_images=10))
    table = datasets.get("shards", tmp_path / "out")
    path = tmp_path / "out" / "shard-00004.tfrecord"
    os.truncate(path, 500)
    with pytest.raises(DataError, match=r"shard-00004.tfrecord: ends before the face at byte"):
        np.asarray(table.images)
    with pytest.raises(DataError, match=r"shard-00004.tfrecord has 500 bytes instead of"):
        datasets.get("shards", tmp_path / "out")
    path.unlink()
    with pytest.raises(DataError, match=r"shard-00004.tfrecord is missing"):
        datasets.get("shards", tmp_path / "out")


def test_faces_without_a_class_are_refused_or_skipped(folder, tmp_path):
    (tmp_path / "faces").mkdir()
    for i, path in enumerate(sorted((folder / "faces" / "happy").iterdir())[:9]):
        place = tmp_path / "faces" / ("" if i == 4 else "ab"[i % 2]) / path.name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
        if i == 4:
            name = place.name
    prepare(tmp_path / "faces", tmp_path / "out", ShardOptions(size=12, faces="whole"))
    with pytest.raises(DataError, match=rf"{name}: no class"):
        datasets.get("shards", tmp_path / "out")
    table = datasets.get("shards", tmp_path / "out", skip_bad=True)
    assert len(table) == 8 and len(table.skipped) == 1
    assert [Path(i).parent.name for i in table.ids] == [table.label_set.classes[k] for k in table.labels]


@pytest.mark.slow
def test_a_run_from_shards_is_that_from_memory(folder, tmp_path):
    from fer_tf.training.config import RunConfig
    from fer_tf.training.parts import load_tables
    from fer_tf.training.run import execute

    config = RunConfig(
        name="tiny", dataset="shards", data=str(folder / "shards"), model="vgg(filters=(4,), depth=1, head=(8,))",
        crop=10, batch_size=16, epochs=2, learning_rate=0.02, augment=("flip()",),
    )  # fmt: skip
    ours = execute(config, tmp_path / "streamed")
    theirs = execute(config, tmp_path / "memory", lambda c: {s: in_memory(t) for s, t in load_tables(c).items()})
    assert (ours["test"], ours["val_accuracy"]) == (theirs["test"], theirs["val_accuracy"])
    losses = [(tmp_path / n / "history.csv").read_text().split("\n")[1].split(",")[2] for n in ("streamed", "memory")]
    assert losses[0] == losses[1]
