import gzip

import pytest

from fer_tf.errors import DataError
from fer_tf.io.tables import read_table, separator_of


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["faces.csv", "faces.csv.gz"])
def test_commas_semicolons_and_tabs_gzipped_or_not(tmp_path, name, separator):
    text = f'\ufeffpath{separator}label\n\n"a{separator}b.png"{separator}happy\n'.encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert list(read_table(tmp_path / name)) == [(1, ["path", "label"]), (3, [f"a{separator}b.png", "happy"])]


def test_a_header_without_separators_has_one_field():
    assert separator_of("path") == ","


@pytest.mark.parametrize("line", [b"x" * 2**22, (b"x" * 999 + b"\n") * 70_000], ids=["line", "rows"])
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, line):
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(b"path,label\n" + line, 1))
    with pytest.raises(DataError, match=r"bomb.csv.gz: (a line of|unpacks to) more than"):
        for _ in read_table(tmp_path / "bomb.csv.gz"):
            pass


def test_damage_is_named(tmp_path):
    whole = gzip.compress(b"path,label\n" + bytes(range(97, 123)) * 99)
    (tmp_path / "half.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read as CSV"):
        list(read_table(tmp_path / "half.csv.gz"))
