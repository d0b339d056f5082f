import os
import subprocess
import sys
import time

import numpy as np
import pytest

from fer_tf.io import cache
from fer_tf.io.cache import cached

SETTLE = 0.15


class Reader:
    """Counts how often it is asked; returns the sizes of its files."""

    def __init__(self, *paths):
        self.paths, self.calls = paths, 0

    def __call__(self):
        self.calls += 1
        return {"bytes": np.array([sum(p.read_bytes()) for p in self.paths]), "text": np.array(["ä", "b"])}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(b"abc")
    time.sleep(SETTLE)
    return path


@pytest.mark.parametrize("by_content", [True, False])
def test_reads_once(source, by_content):
    read = Reader(source)
    for _ in range(3):
        arrays = cached("kind", [source], {"a": 1}, read, by_content)
        assert arrays["bytes"].tolist() == [294]
        assert arrays["text"].tolist() == ["ä", "b"]
    assert read.calls == 1


@pytest.mark.parametrize("by_content", [True, False])
def test_other_options_kinds_and_files_are_other_entries(source, tmp_path, by_content):
    other = tmp_path / "other.bin"
    other.write_bytes(b"abd")
    time.sleep(SETTLE)
    read = Reader(source)
    cached("kind", [source], {"a": 1}, read, by_content)
    cached("kind", [source], {"a": 2}, read, by_content)
    cached("kind2", [source], {"a": 1}, read, by_content)
    assert cached("kind", [other], {"a": 1}, Reader(other), by_content)["bytes"].tolist() == [295]
    assert read.calls == 3


@pytest.mark.parametrize("by_content", [True, False])
def test_a_change_with_size_and_time_kept_is_noticed(source, by_content):
    read, before = Reader(source), source.stat()
    cached("kind", [source], {}, read, by_content)
    source.write_bytes(b"abd")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    assert cached("kind", [source], {}, read, by_content)["bytes"].tolist() == [295]
    assert read.calls == 2


@pytest.mark.parametrize("by_content", [True, False])
def test_quick_changes_are_noticed(tmp_path, by_content):
    path = tmp_path / "quick.bin"
    for i in range(50):
        path.write_bytes(bytes([i]))
        assert cached("kind", [path], {}, Reader(path), by_content)["bytes"].tolist() == [i]


@pytest.mark.parametrize("by_content", [True, False])
def test_stamps_as_young_as_the_clock_is_coarse_are_not_trusted(source, monkeypatch, by_content):
    source.write_bytes(b"abd")
    young = cache._signature([source])
    monkeypatch.setattr(cache, "_signature", lambda _: young)
    cached("kind", [source], {}, Reader(source), by_content)
    source.write_bytes(b"abe")
    assert cached("kind", [source], {}, Reader(source), by_content)["bytes"].tolist() == [296]


def test_a_touched_or_moved_file_is_known_by_its_content(source, tmp_path):
    read = Reader(source)
    cached("kind", [source], {}, read, by_content=True)
    os.utime(source)
    cached("kind", [source], {}, read, by_content=True)
    moved = source.rename(tmp_path / "moved.bin")
    cached("kind", [moved], {}, read, by_content=True)
    assert read.calls == 1


def test_a_file_that_changes_while_it_is_read_is_not_kept(source):
    class Changing(Reader):
        def __call__(self):
            if self.calls == 0:
                source.write_bytes(b"abd")
            return super().__call__()

    read = Changing(source)
    assert cached("kind", [source], {}, read, by_content=True)["bytes"].tolist() == [295]
    source.write_bytes(b"abc")
    assert cached("kind", [source], {}, read, by_content=True)["bytes"].tolist() == [294]


@pytest.mark.parametrize("damage", [b"", b"PK nonsense", None])
def test_a_damaged_entry_is_made_again(source, cache_folder, damage):
    read = Reader(source)
    cached("kind", [source], {}, read)
    (entry,) = cache_folder.glob("*.npz")
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert cached("kind", [source], {}, read)["bytes"].tolist() == [294]
    cached("kind", [source], {}, read)
    assert read.calls == 2


def test_a_flipped_bit_is_noticed(source, cache_folder):
    read = Reader(source)
    cached("kind", [source], {}, read)
    (entry,) = cache_folder.glob("*.npz")
    whole = bytearray(entry.read_bytes())
    whole[whole.index((294).to_bytes(8, "little"))] ^= 1
    entry.write_bytes(whole)
    assert cached("kind", [source], {}, read)["bytes"].tolist() == [294]
    assert read.calls == 2


def test_without_a_place_to_write_everything_is_read_afresh(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FER_TF_CACHE", str(tmp_path / "file" / "below"))
    read = Reader(source)
    for by_content in (True, False):
        assert cached("kind", [source], {}, read, by_content)["bytes"].tolist() == [294]
    assert read.calls == 2


def test_a_full_disk_leaves_no_parts(source, cache_folder):
    class Full:
        def __array__(self, *_, **__):
            raise OSError(28, "No space left on device")

    arrays = {"first": np.zeros(9), "second": Full()}
    assert cached("kind", [source], {}, lambda: arrays) is arrays
    assert list(cache_folder.iterdir()) == []


def test_the_folder_follows_the_environment(monkeypatch, tmp_path, cache_folder):
    assert cache.folder() == cache_folder
    monkeypatch.delenv("FER_TF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "fer_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder() == tmp_path / "home" / ".cache" / "fer_tf"


def test_old_entries_go_when_the_cache_is_full(tmp_path, cache_folder):
    for i in range(6):
        path = tmp_path / f"{i}.bin"
        path.write_bytes(bytes([i]))
        time.sleep(SETTLE)
        cached("kind", [path], {}, Reader(path), limit_bytes=2500)
    left = list(cache_folder.glob("*.npz"))
    assert 1 <= len(left) < 6
    read = Reader(path)
    cached("kind", [path], {}, read)
    assert read.calls == 0


RACE = """
import sys
from pathlib import Path
import numpy as np
from fer_tf.io.cache import cached
path = Path(sys.argv[1])
for i in range(40):
    arrays = cached("kind", [path], {"i": i}, lambda: {"x": np.full(50_000, i)}, by_content=True)
    assert (arrays["x"] == i).all()
"""


def test_processes_at_once_do_not_disturb_each_other(source, cache_folder):
    running = [subprocess.Popen([sys.executable, "-c", RACE, str(source)]) for _ in range(3)]
    assert [p.wait(60) for p in running] == [0, 0, 0]
    assert len(list(cache_folder.glob("*.npz"))) == 40
    assert not list(cache_folder.glob(".part-*"))
