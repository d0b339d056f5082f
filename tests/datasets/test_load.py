import subprocess
import sys

import pytest

from fer_tf.datasets import DATASETS, load
from fer_tf.errors import DataError, UserError
from fer_tf.labels import LABEL_SETS


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_row_has_its_facts_and_its_function(name):
    row = DATASETS[name]
    assert callable(row.load())
    assert row.facts["label_set"] in (None, *LABEL_SETS)
    assert bool(row.facts["data"]) == row.facts["needs_data"]


@pytest.mark.parametrize("name", [n for n in DATASETS if DATASETS[n].facts["needs_data"]])
def test_datasets_on_disk_want_a_path_that_is_there(name, tmp_path):
    with pytest.raises(UserError, match=f"dataset '{name}' needs data: "):
        load(name)
    with pytest.raises(DataError, match="nowhere"):
        load(name, tmp_path / "nowhere")
    with pytest.raises(DataError):
        load(name, tmp_path)


def test_names_and_options_are_checked():
    with pytest.raises(UserError, match=r"Unknown dataset 'fer2014'\. Available: .*fer2013, ferplus"):
        load("fer2014")
    with pytest.raises(UserError, match=r"dataset 'ferplus' takes no 'modus'. Accepted: .*mode"):
        load("ferplus(modus='majority')", "x")
    with pytest.raises(UserError, match="takes no 'data'"):
        load("folder(data='x')", "x")
    with pytest.raises(UserError, match="dataset 'synthetic' reads no files; leave 'x' out"):
        load("synthetic", "x")


def test_skipping_may_be_said_in_the_call_string(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / "a" / f"{i}.png")
    (tmp_path / "a" / "bad.png").write_text("no picture")
    assert len(load("folder(skip_bad=True)", tmp_path).skipped) == 1


def test_no_adapter_imports_keras_or_tensorflow():
    modules = ", ".join(DATASETS[n].target.split(":")[0] for n in DATASETS)
    code = f"import sys, {modules}; assert not {{'keras', 'tensorflow', 'jax', 'torch'}} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
