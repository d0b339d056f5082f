"""What every dataset on disk promises, read from a small release in its published layout."""

import numpy as np
import pytest

from fer_tf.datasets import DATASETS, get
from fer_tf.facetable import SPLITS
from fer_tf.labels import LABEL_SETS


@pytest.fixture(scope="module", params=[n for n in DATASETS if DATASETS[n].facts["data"]])
def release(request, layouts, tmp_path_factory):
    """Name and folder of each dataset that reads files."""
    assert request.param in layouts.WRITERS, f"layouts.WRITERS has no writer for {request.param!r}"
    root = tmp_path_factory.mktemp(request.param)
    layouts.WRITERS[request.param](root)
    return request.param, root


def test_every_dataset_gives_a_table_with_all_splits(release):
    name, root = release
    table = get(name, root)
    assert set(table.split) == set(SPLITS)
    assert (table.class_counts() > 0).sum() >= 2
    assert (table.images is None) != (table.paths is None)
    assert name not in LABEL_SETS or table.label_set is LABEL_SETS[name]
    for column in ("landmarks", "boxes", "valence_arousal"):
        values = getattr(table, column)
        assert values is None or (values.dtype == np.float32 and np.isfinite(values).any())


def test_every_dataset_reads_the_same_twice(release):
    name, root = release
    one, two = get(name, root), get(name, root)
    assert one.digest() == two.digest()
    assert (one.split == two.split).all()


def test_every_dataset_in_paths_holds_the_faces_of_the_one_in_memory(release):
    name, root = release
    if "in_memory" not in DATASETS[name].load().__kwdefaults__:
        pytest.skip(f"{name} keeps pixels only")
    inside, outside = get(f"{name}(in_memory=True)", root), get(f"{name}(in_memory=False)", root)
    assert inside.paths is None and outside.images is None
    for column in ("ids", "targets", "split"):
        np.testing.assert_array_equal(getattr(inside, column), getattr(outside, column))


def test_every_dataset_of_expressions_converts_to_another_label_set(release):
    name, root = release
    if "label_set" not in DATASETS[name].load().__kwdefaults__ or name not in LABEL_SETS or name == "lfwfer":
        pytest.skip(f"{name} has no expressions to convert")
    table = get(name, root)
    kept = [c for c in ("happy", "happiness") if c in table.label_set.classes]
    moved = get(f"{name}(label_set='lfwfer')", root)
    assert moved.label_set is LABEL_SETS["lfwfer"]
    happy = set(table.ids[table.labels == table.label_set.index(kept[0])])
    assert happy == set(moved.ids[moved.labels == moved.label_set.index("positive")])
