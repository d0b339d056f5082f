"""The folder of uploads: what is deleted when, and what counts as inside."""

import os
import time

import pytest

from fer_tf.demo.guard import Uploads, temporary_uploads


def put(folder, name, size, age=0.0):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_old_files_go_and_their_folders_too(tmp_path):
    old, new = put(tmp_path, "a/old.png", 10, age=100), put(tmp_path, "b/new.png", 20)
    assert Uploads(tmp_path, seconds=60, total=1000).sweep() == 20
    assert not old.parent.exists() and new.exists()


def test_the_oldest_go_until_there_is_room(tmp_path):
    paths = [put(tmp_path, f"{age}/x", 100, age) for age in (30, 20, 10)]
    kept = Uploads(tmp_path, seconds=60, total=350)
    assert kept.sweep(room=50) == 300
    assert kept.sweep(room=100) == 200
    assert [p.exists() for p in paths] == [False, True, True]


def test_small_files_count_as_larger_ones(tmp_path):
    paths = [put(tmp_path, f"{i}", 0, age=50 - i) for i in range(8)]
    assert Uploads(tmp_path, seconds=60, total=50, least=10).sweep() == 50
    assert [p.exists() for p in paths] == [False] * 3 + [True] * 5


@pytest.mark.parametrize("path", ["{}", "{}/..", "{}/../x", "{}/x/../../y", "{}2/x", "/etc/passwd", "x", "", "{}/a\0b"])
def test_paths_that_lead_out_are_not_inside(tmp_path, path):
    assert not Uploads(tmp_path, 60, 1000).has(path.format(tmp_path))


def test_a_link_that_leads_out_is_not_inside(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    kept = Uploads(folder, 60, 1000)
    assert not kept.has(str(folder / "link")) and not kept.exists(str(folder / "link"))
    assert kept.has(str(folder / "a" / "x.png")) and not kept.exists(str(folder / "a" / "x.png"))


def test_a_link_is_not_followed_when_it_is_deleted(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    Uploads(folder, seconds=-1, total=0).sweep()
    assert (tmp_path / "secret").exists() and not (folder / "link").is_symlink()


def test_the_folder_is_swept_while_it_is_there_and_gone_at_the_end():
    with temporary_uploads(seconds=0.05, every=0.02) as kept:
        path = put(kept.path, "a/x.png", 10)
        end = time.monotonic() + 10
        while path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        assert not path.exists()
        put(kept.path, "b/y.png", 10)
    assert not kept.path.exists()


def test_others_on_the_computer_cannot_read_it():
    with temporary_uploads() as kept:
        assert kept.path.stat().st_mode & 0o077 == 0
