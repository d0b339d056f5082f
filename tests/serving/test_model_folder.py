"""Versions appear complete or not at all; the files for the server are read by its own readers, and edits are kept."""

import subprocess
import sys

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from fer_tf.errors import UserError
from fer_tf.serving import savedmodel
from fer_tf.serving.savedmodel import new_version, versions_in


@pytest.fixture
def exports(tmp_path):
    for name in ("faces/1", "faces/2", "moods/7", "empty", "notes/old"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def models(path):
    text = (path / savedmodel.FILES[0]).read_text()
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config


def test_every_model_is_listed_once_without_version_labels(exports):
    for _ in range(2):
        written = savedmodel.write_configs(exports)
        assert [p.name for p in written] == ["models.config", "batching.config", "SERVING.md"]
        found = models(exports)
        assert [(m.name, m.base_path) for m in found] == [("faces", "/models/faces"), ("moods", "/models/moods")]
        assert all(m.model_platform == "tensorflow" and not m.version_labels for m in found)


def test_a_new_model_is_added_to_what_was_changed_by_hand(exports):
    savedmodel.write_configs(exports)
    own = (exports / "models.config").read_text().replace(
        'model_platform: "tensorflow"', 'model_platform: "tensorflow"\n    model_version_policy { all {} }'
    )  # fmt: skip
    (exports / "models.config").write_text("# ours {\n" + own)
    (exports / "batching.config").write_text("max_batch_size { value: 9 }\n")
    (exports / "new" / "1").mkdir(parents=True)
    savedmodel.write_configs(exports)
    found = models(exports)
    assert [m.name for m in found] == ["faces", "moods", "new"]
    assert [m.model_version_policy.HasField("all") for m in found] == [True, True, False]
    assert (exports / "batching.config").read_text() == "max_batch_size { value: 9 }\n"


def test_batching_is_a_list_of_known_settings(exports):
    savedmodel.write_configs(exports)
    lines = [line for line in (exports / "batching.config").read_text().splitlines() if not line.startswith("#")]
    # The message of tensorflow_serving.BatchingParameters is not among the official stubs.
    known = {"max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"}
    assert {line.split()[0] for line in lines} == known
    assert all(line.split()[1:3] == ["{", "value:"] and int(line.split()[3]) > 0 and line[-1] == "}" for line in lines)


def test_nothing_names_this_machine(exports):
    for path in savedmodel.write_configs(exports):
        assert str(exports) not in path.read_text()


def write(folder, version=None):
    before = versions_in(folder)
    with new_version(folder, version) as (part, final):
        (part / "variables").mkdir()
        (part / "saved_model.pb").write_bytes(b"graph")
        assert versions_in(folder) == before
    return final


def test_versions_count_on_and_numbers_can_be_given(tmp_path):
    folder = tmp_path / "faces"
    assert [write(folder).name, write(folder).name, write(folder, 40).name, write(folder).name] == [
        "1",
        "2",
        "40",
        "41",
    ]
    assert versions_in(folder) == [1, 2, 40, 41] and (folder / "41" / "saved_model.pb").read_bytes() == b"graph"
    assert write(folder, 7).name == "7"


def test_what_is_no_version_is_passed_over(tmp_path):
    folder = tmp_path / "faces"
    for name in ("old", "1.5", "-3", "٣", ".part-9-v8"):
        (folder / name).mkdir(parents=True)
    (folder / "9").touch()
    (folder / "0005").mkdir()
    assert versions_in(folder) == [5] and write(folder).name == "6"
    assert versions_in(tmp_path / "nothing") == []


def test_nothing_is_left_of_an_export_that_fails(tmp_path):
    folder = tmp_path / "faces"
    with pytest.raises(ZeroDivisionError), new_version(folder) as (part, _):
        (part / "saved_model.pb").touch()
        raise ZeroDivisionError
    assert [p.name for p in folder.iterdir()] == [".lock"]


KILLED = """
import os, sys
from pathlib import Path
from fer_tf.serving.savedmodel import new_version
with new_version(Path(sys.argv[1])) as (part, final):
    (part / "saved_model.pb").touch()
    os._exit(9)
"""


def test_a_killed_export_leaves_nothing_that_a_server_loads(tmp_path):
    folder = tmp_path / "faces"
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False).returncode == 9
    left = [p.name for p in folder.iterdir() if p.name != ".lock"]
    assert len(left) == 1 and not left[0].isdigit() and versions_in(folder) == []
    assert write(folder).name == "1" and sorted(p.name for p in folder.iterdir()) == [".lock", "1"]


def test_only_one_exports_at_a_time(tmp_path):
    folder = tmp_path / "faces"
    with new_version(folder), pytest.raises(UserError, match="Another process"), new_version(folder):
        pass


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("faces", 0, "--version 0 is out of range"),
        ("faces", 2**63, "out of range"),
        ("faces", 3, "has a version 3"),
        ("17", None, "cannot be the name of a model"),
        (".", None, None),
    ],
)
def test_mistakes_are_named(tmp_path, name, version, message):
    (tmp_path / "faces" / "3").mkdir(parents=True)
    (tmp_path / "file").touch()
    if message is None:
        with pytest.raises(UserError, match="is no folder"), new_version(tmp_path / "file"):
            pass
        return
    with pytest.raises(UserError, match=message), new_version(tmp_path / name, version):
        pass
    assert versions_in(tmp_path / "faces") == [3]
