import json
import os
import stat
import threading

import pytest

from fer_tf.errors import UserError
from fer_tf.io import atomic


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), atomic.atomic_write(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_makes_the_folder_and_keeps_the_suffix(tmp_path):
    with atomic.atomic_write(tmp_path / "new" / "m.keras") as part:
        assert part.suffix == ".keras"
        part.write_bytes(b"m")
    assert (tmp_path / "new" / "m.keras").read_bytes() == b"m"


def test_not_a_number_is_no_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_leftovers_of_the_dead_are_removed(tmp_path):
    (tmp_path / ".part-1-model.keras").write_text("x")
    (tmp_path / "model.keras").write_text("y")
    atomic.remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("disk/real.csv")
    (tmp_path / "new.csv").symlink_to("disk/new.csv")  # points to nothing yet
    for name in ("link.csv", "new.csv"):
        atomic.write_text(tmp_path / name, "content")
        assert (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == "content"
    assert sorted(p.name for p in (tmp_path / "disk").iterdir()) == ["new.csv", "real.csv"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk", "link.csv", "new.csv"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path, linked):
    pipe, path, got = tmp_path / "pipe.csv", tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    if linked:
        path = tmp_path / "link.csv"
        path.symlink_to(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    content = os.urandom(200_000)  # more than a pipe holds
    with atomic.atomic_write(path) as part:
        assert part.suffix == ".csv"
        part.write_bytes(content)
    reader.join(20)
    assert got == [content]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert len(list(tmp_path.iterdir())) == 1 + linked


def test_an_open_file_of_this_process_is_continued_where_it_is(tmp_path):
    with (tmp_path / "out.txt").open("wb", buffering=0) as file:
        file.write(b"before,")
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{file.fileno()}")
        atomic.write_text(f"/dev/fd/{file.fileno()}", "first,")
        atomic.write_text(tmp_path / "link", "second,")
        file.write(b"after")
    assert (tmp_path / "out.txt").read_text() == "before,first,second,after"


def test_a_folder_in_the_file_s_place_is_told_before_any_work(tmp_path):
    with pytest.raises(IsADirectoryError), atomic.atomic_write(tmp_path):
        pytest.fail("begun")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"), atomic.atomic_write(tmp_path / "loop"):
        pytest.fail("begun")


def test_a_link_in_the_temporary_file_s_place_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / f".part-{os.getpid()}-a.txt").symlink_to("victim")
    atomic.write_text(tmp_path / "a.txt", "content")
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "a.txt").read_text() == "content" and not (tmp_path / "a.txt").is_symlink()


def test_a_link_in_the_lock_s_place_is_refused_and_no_lock_is_emptied(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / ".lock").symlink_to("victim")
    with pytest.raises(UserError, match=r"\.lock is no plain file"), atomic.folder_lock(tmp_path):
        pytest.fail("locked")
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").write_text("somebody's")
    second = atomic.folder_lock(tmp_path)
    with atomic.folder_lock(tmp_path), pytest.raises(UserError, match="Another process is at work in"), second:
        pytest.fail("locked twice")
    assert (tmp_path / ".lock").read_text() == "somebody's"
    assert (tmp_path / "victim").read_text() == "precious"
    (tmp_path / ".lock").unlink()
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(UserError, match="no plain file"), atomic.folder_lock(tmp_path):
        pytest.fail("locked")
