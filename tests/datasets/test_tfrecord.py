import numpy as np
import pytest

from fer_tf.datasets import tfrecord
from fer_tf.errors import DataError

FEATURES = {
    "image": bytes(range(256)) * 9,
    "name": "ü é",
    "empty": b"",
    "numbers": np.array([1.5, -2.25, np.nan], np.float32),
    "counts": [0, 1, 300, -1, 2**62],
}


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4, and the usual check value
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
        (b"a", 0xC1D04330),
    ],
)
def test_checksums_are_the_published_ones(data, crc):
    assert tfrecord.crc32c(data) == crc


@pytest.mark.parametrize("size", [3, 4, 511, 512, 513, 5000])
def test_checksums_of_any_length_equal_those_bit_by_bit(size):
    data = np.random.default_rng(size).bytes(size)
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    assert tfrecord.crc32c(data) == state ^ 0xFFFFFFFF


def test_an_example_comes_back():
    read = tfrecord.decode_example(tfrecord.encode_example(FEATURES))
    assert read["image"] == FEATURES["image"]
    assert read["name"].decode() == "ü é"
    assert read["empty"] == b""
    np.testing.assert_array_equal(read["numbers"], FEATURES["numbers"])
    np.testing.assert_array_equal(read["counts"], FEATURES["counts"])


def test_tensorflow_reads_what_we_write_and_we_what_it_writes(tmp_path):
    tf = pytest.importorskip("tensorflow")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    data = tfrecord.encode_example(FEATURES)
    with ours.open("wb") as file:
        for record in (data, b"", b"xyz"):
            tfrecord.write_record(file, record)
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(ours))] == [data, b"", b"xyz"]
    example = tf.train.Example.FromString(data)
    assert example.features.feature["image"].bytes_list.value[0] == FEATURES["image"]
    np.testing.assert_array_equal(example.features.feature["numbers"].float_list.value, FEATURES["numbers"])
    assert list(example.features.feature["counts"].int64_list.value) == FEATURES["counts"]
    example.features.feature["two"].bytes_list.value.extend([b"a", b"b"])
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        writer.write(example.SerializeToString())
    (record,) = tfrecord.read_records(theirs)
    read = tfrecord.decode_example(record)
    assert read.pop("two") == [b"a", b"b"]
    assert set(read) == set(FEATURES)
    np.testing.assert_array_equal(read["counts"], FEATURES["counts"])
    assert theirs.stat().st_size == 16 + len(record)


def test_numbers_that_are_not_packed_are_read_as_well():
    # Feature {1: {3: {1: 5, 1: 300}}} in a map entry "n", each number in a field of its own.
    feature = bytes([0x1A, 5, 0x08, 5, 0x08, 0xAC, 0x02])
    entry = bytes([0x0A, 1, ord("n"), 0x12, len(feature)]) + feature
    features = bytes([0x0A, len(entry)]) + entry
    read = tfrecord.decode_example(bytes([0x0A, len(features)]) + features)
    np.testing.assert_array_equal(read["n"], [5, 300])


def test_damage_is_told_with_its_place(tmp_path):
    path = tmp_path / "x.tfrecord"
    with path.open("wb") as file:
        for record in (b"first record", b"second record"):
            tfrecord.write_record(file, record)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(DataError, match=r"x\.tfrecord: record 1: the file ends within it"):
        list(tfrecord.read_records(path))
    for place in (3, 14):  # in the length, in the data
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"record 0: damaged"):
            list(tfrecord.read_records(path))
    for junk in (b"\xff" * 20, b"\x0a\xff\xff", b"plain text"):
        with pytest.raises(DataError, match=r"no tf\.train\.Example"):
            tfrecord.decode_example(junk)
