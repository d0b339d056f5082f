import json

import pytest

from fer_tf import atomic


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), atomic.replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_makes_the_folder_and_keeps_the_suffix(tmp_path):
    with atomic.replacing(tmp_path / "new" / "m.keras") as part:
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
