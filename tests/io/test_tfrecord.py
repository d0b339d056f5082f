import numpy as np
import pytest
import tensorflow as tf

from fer_tf.errors import DataError
from fer_tf.io.tfrecord import RecordWriter, decode_example, encode_example, read_records

FEATURES = {
    "image": bytes(range(256)) * 9,
    "name": "ü é",
    "empty": b"",
    "numbers": np.array([1.5, -2.25, np.nan], np.float32),
    "counts": [0, 1, 300, -1, 2**62],
}


def write(path, records):
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return path


def test_an_example_comes_back_and_is_what_tensorflow_reads():
    data = encode_example(FEATURES)
    assert data == encode_example(dict(reversed(FEATURES.items())))  # the same bytes in any order
    read = decode_example(data)
    assert list(read) == sorted(FEATURES)
    assert (read["image"], read["name"].decode(), read["empty"]) == (FEATURES["image"], "ü é", b"")
    np.testing.assert_array_equal(read["numbers"], FEATURES["numbers"])
    np.testing.assert_array_equal(read["counts"], FEATURES["counts"])
    spec = {"image": tf.io.FixedLenFeature([], tf.string), "counts": tf.io.FixedLenFeature([5], tf.int64)}
    theirs = tf.io.parse_single_example(data, spec)
    assert theirs["image"].numpy() == FEATURES["image"] and theirs["counts"].numpy().tolist() == FEATURES["counts"]


def test_several_byte_strings_come_as_a_list():
    example = tf.train.Example()
    example.features.feature["two"].bytes_list.value.extend([b"a", b"b"])
    assert decode_example(example.SerializeToString()) == {"two": [b"a", b"b"]}


def test_numbers_that_are_not_packed_are_read_as_well():
    # Feature {1: {3: {1: 5, 1: 300}}} in a map entry "n", each number in a field of its own.
    feature = bytes([0x1A, 5, 0x08, 5, 0x08, 0xAC, 0x02])
    entry = bytes([0x0A, 1, ord("n"), 0x12, len(feature)]) + feature
    features = bytes([0x0A, len(entry)]) + entry
    np.testing.assert_array_equal(decode_example(bytes([0x0A, len(features)]) + features)["n"], [5, 300])


@pytest.mark.parametrize("sizes", [[], [0], [5, 0, 3000], [7] * 200, [2**24 + 1, 3]])
def test_records_come_back_in_order(tmp_path, sizes):
    records = [bytes([i % 256]) * size for i, size in enumerate(sizes)]
    path = write(tmp_path / "x.tfrecord", records)
    assert path.stat().st_size == sum(16 + size for size in sizes)
    assert list(read_records(path)) == records


def before_damage(path):
    """Return the records that are read before the error, and the error's text."""
    found = []
    with pytest.raises(DataError) as error:
        for record in read_records(path):
            found.append(record)
    return found, str(error.value)


def test_damage_is_told_with_its_place_after_what_is_before(tmp_path):
    records = [b"record %d" % i for i in range(70)]
    path = write(tmp_path / "x.tfrecord", records)
    whole = path.read_bytes()
    for length in (len(whole) - 3, len(whole) - 16 - 8 + 3):  # within the last record's checksum, and within its head
        path.write_bytes(whole[:length])
        found, message = before_damage(path)
        assert found == records[:69] and f"{path}: record 69: the file ends within it" in message
    for number, place in ((0, 14), (66, 14)):
        at = sum(16 + len(r) for r in records[:number]) + place
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found, message = before_damage(path)
        assert found == records[:number] and message == f"{path}: record {number}: damaged (wrong checksum)."


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_damaged_length_is_told_whatever_it_says(tmp_path, place):
    path = write(tmp_path / "x.tfrecord", [b"first record", b"second record"])
    data = bytearray(path.read_bytes())
    data[place] ^= 0x7F  # at place 7: 9 exabytes
    path.write_bytes(data)
    found, message = before_damage(path)
    assert not found and "record 0: " in message and "damaged" in message


@pytest.mark.parametrize("junk", [b"\xff" * 20, b"\x0a\xff\xff", b"plain text"])
def test_what_is_no_example_is_refused(junk):
    with pytest.raises(DataError, match=r"no tf\.train\.Example"):
        decode_example(junk)


def test_a_file_that_cannot_be_written_or_read_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        RecordWriter(tmp_path / "none" / "x.tfrecord")
    with pytest.raises(FileNotFoundError):
        list(read_records(tmp_path / "none.tfrecord"))
