import subprocess
import sys

import pytest

from fer_tf import datasets
from fer_tf.datasets import DATASETS, get
from fer_tf.errors import DataError, UserError


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_row_names_a_public_function(name):
    assert getattr(datasets, f"load_{name}") is DATASETS[name].load()


@pytest.mark.parametrize("name", [n for n in DATASETS if DATASETS[n].facts["data"]])
def test_datasets_on_disk_want_a_path_that_is_there(name, tmp_path):
    with pytest.raises(UserError, match=f"dataset '{name}' needs data: "):
        get(name)
    with pytest.raises(DataError, match="nowhere"):
        get(name, tmp_path / "nowhere")
    with pytest.raises(DataError):
        get(name, tmp_path)


def test_names_and_options_are_checked():
    with pytest.raises(UserError, match=r"Unknown dataset 'fer2014'\. Available: .*fer2013, ferplus"):
        get("fer2014")
    with pytest.raises(UserError, match=r"dataset 'ferplus' takes no 'modus'. Accepted: .*mode"):
        get("ferplus(modus='majority')", "x")
    with pytest.raises(UserError, match="takes no 'data'"):
        get("folder(data='x')", "x")
    with pytest.raises(UserError, match="dataset 'synthetic' reads no files; leave 'x' out"):
        get("synthetic", "x")


def test_skipping_may_be_said_in_the_call_string(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / "a" / f"{i}.png")
    (tmp_path / "a" / "bad.png").write_text("no picture")
    assert len(get("folder(skip_bad=True)", tmp_path).skipped) == 1


def test_no_adapter_imports_keras_or_tensorflow():
    modules = ", ".join(DATASETS[n].target.split(":")[0] for n in DATASETS)
    code = f"import sys, {modules}; assert not {{'keras', 'tensorflow', 'jax', 'torch'}} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
