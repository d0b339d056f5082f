import numpy as np
import pytest

from fer_tf.io.cache import load_array


@pytest.mark.parametrize(
    "values",
    [
        np.array("-0.176846"), np.array(3), np.array(0.25), np.array([1.5], ">f8"), np.arange(136, dtype=np.float32),
        np.zeros((68, 2)), np.zeros(0),
    ],
    ids=lambda v: f"{v.dtype}{v.shape}",
)  # fmt: skip
def test_the_same_as_numpy(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    found = load_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, np.load(tmp_path / "a.npy").reshape(-1))
    assert found.dtype == values.dtype


def test_a_newer_format_is_read_too(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, np.arange(3), version=(2, 0))
    assert load_array(tmp_path / "a.npy").tolist() == [0, 1, 2]


def test_what_is_no_array_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(100))
    whole = path.read_bytes()
    for content in (b"", b"no array", whole[:9], whole[:60], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises((ValueError, EOFError)):
            load_array(path)
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="objects"):
        load_array(path)
