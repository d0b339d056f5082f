import pytest

from fer_tf.errors import UserError
from fer_tf.io.tables import Entry, Journal


def entry(number, frame=None, faces=()):
    return Entry(f"{number}.jpg", frame, f"{number}", (number, 0), faces=tuple(faces))


def sources(path):
    with Journal(path) as journal:
        return [e.key for e in journal.entries()]


def test_a_later_entry_replaces_an_earlier_one_and_the_order_is_that_of_the_sources(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.append([entry(2), entry(1, None), entry(1, 10), entry(1, 9)])
        journal.append([entry(2, faces=[{"file": "2.png"}]), Entry("\udcff.jpg", None, "x", (0, 0))])
        assert [e.key[0] for e in journal.entries(sort=False)] == ["2.jpg", "1.jpg", "1.jpg", "1.jpg", "\udcff.jpg"]
    with Journal(tmp_path / "j") as journal:
        found = list(journal.entries())
    assert [e.key for e in found] == [
        ("1.jpg", 9), ("1.jpg", 10), ("1.jpg", None), ("2.jpg", None), ("\udcff.jpg", None),
    ]  # fmt: skip
    assert found[3].faces == ({"file": "2.png"},)


@pytest.mark.parametrize("damage", [b'{"shards":0,"entries":[{"so', b"7\n", b"\x00\xff\n", b'{"entries": []}\n'])
def test_damage_costs_its_line_only(tmp_path, damage):
    path = tmp_path / "j"
    with Journal(path) as journal:
        for number in range(3):
            journal.append([entry(number)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + damage if not damage.endswith(b"\n") else lines[0] + damage + lines[2])
    left = [0, 1, 2] if not damage.endswith(b"\n") else [0, 2]
    for _ in range(2):
        assert sources(path) == [(f"{i}.jpg", None) for i in left]
    assert path.read_bytes() == b"".join(lines[i] for i in left)


def test_after_damage_no_shard_counts_since_its_number_is_given_again(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        for number in range(3):
            journal.append([entry(number)], shards=number + 1)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"junk\n" + lines[2])
    with Journal(path) as journal:
        assert (journal.shards, list(journal.places)) == (1, [("0.jpg", None)])


def test_one_process_at_a_time_and_no_link(tmp_path):
    second = pytest.raises(UserError, match="Another process is at work in")
    with Journal(tmp_path / "j", lock=True), second:
        Journal(tmp_path / "j", lock=True)
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link").symlink_to("victim")
    with pytest.raises(UserError, match="no plain file"):
        Journal(tmp_path / "link")
    assert (tmp_path / "victim").read_text() == "precious"
