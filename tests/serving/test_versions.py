"""Version folders appear whole or not at all, also where the process dies."""

import subprocess
import sys

import pytest

from fer_tf.errors import UserError
from fer_tf.serving.versions import new_version, versions_in


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
from fer_tf.serving.versions import new_version
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
        ("17", None, "is no name of a model"),
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
