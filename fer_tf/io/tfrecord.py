"""Read and write TFRecord files of ``tf.train.Example``.

TensorFlow does it, and is imported at the first use.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from fer_tf.errors import DataError

__all__ = ["HEAD_BYTES", "RECORD_BYTES", "RecordWriter", "decode_example", "encode_example", "read_records"]

Feature = bytes | str | Sequence[float] | Sequence[int] | np.ndarray

# A record is its length (8 bytes), a checksum of the length (4), the data, and a checksum of the data (4).
HEAD_BYTES, RECORD_BYTES = 12, 16
_BATCH, _BATCH_BYTES = 64, 2**24


class RecordWriter:
    """Write a TFRecord file, record by record.

    Args:
        path: the file; one that is there is replaced.

    Raises:
        OSError: the file cannot be written, also when it is closed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with RecordWriter(f"{folder}/faces.tfrecord") as writer:
        ...         writer.write(encode_example({"id": "a.png"}))
        ...     [decode_example(record) for record in read_records(f"{folder}/faces.tfrecord")]
        [{'id': b'a.png'}]
    """

    def __init__(self, path: Path | str):
        import tensorflow as tf

        self._failed = tf.errors.OpError
        self._writer = self._checked(tf.io.TFRecordWriter, os.fsencode(path))

    def write(self, record: bytes) -> None:
        """Append a record."""
        self._checked(self._writer.write, record)

    def close(self) -> None:
        """Write what is buffered, and close the file."""
        self._checked(self._writer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _checked(self, call, *arguments):
        try:
            return call(*arguments)
        except self._failed as error:
            raise OSError(error.message) from None


def read_records(path: Path | str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file.

    Args:
        path: the file.

    Raises:
        DataError: a checksum is wrong, or the file ends within a record; names the file and the record, from 0.
        OSError: the file cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "faces.tfrecord").write_bytes(b"no TFRecord file")
        ...     list(read_records(f"{folder}/faces.tfrecord"))
        Traceback (most recent call last):
        fer_tf.errors.DataError: ...: record 0: the file ends within it, or its length is damaged.
    """
    import tensorflow as tf

    # TensorFlow takes a file that ends within a record's head for whole, and makes room for any length that it reads.
    whole, longest, rest = _count_records(path)
    records = tf.data.TFRecordDataset(os.fsencode(path)).take(whole)
    number = 0
    try:
        # One by one costs ten times as much.
        for batch in records.batch(max(1, min(_BATCH, _BATCH_BYTES // longest))).as_numpy_iterator():
            yield from batch.tolist()
            number += len(batch)
    except tf.errors.DataLossError:
        yield from _until_damaged(path, records.skip(number), number)
    if rest:
        raise DataError(f"{path}: record {whole}: the file ends within it, or its length is damaged.")


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """Return a ``tf.train.Example`` as bytes, the same ones for the same features.

    Args:
        features: by name, bytes or text as one value, or float or whole numbers of any shape.

    Example:
        >>> decode_example(encode_example({"box": np.float32([1, 2, 30, 40]), "face": [0]}))
        {'box': array([ 1.,  2., 30., 40.], dtype=float32), 'face': array([0])}
    """
    from tensorflow.train import Example

    example = Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
            continue
        array = np.asarray(value).ravel()
        numbers = feature.float_list if array.dtype.kind == "f" else feature.int64_list
        numbers.value.extend(array.tolist())
    return example.SerializeToString(deterministic=True)


def decode_example(data: bytes) -> dict[str, bytes | list[bytes] | np.ndarray]:
    """Read a ``tf.train.Example``.

    Args:
        data: a record.

    Returns:
        By name, sorted: bytes for one byte string, a list of bytes for several, float32 or int64 arrays for numbers.

    Raises:
        DataError: the bytes are no Example.

    Example:
        >>> decode_example(encode_example({"label": "happiness"}))
        {'label': b'happiness'}
    """
    from google.protobuf.message import DecodeError
    from tensorflow.train import Example

    try:
        features = Example.FromString(data).features.feature
    except DecodeError:
        raise DataError("no tf.train.Example.") from None
    return {name: _values(features[name]) for name in sorted(features)}


def _values(feature) -> bytes | list[bytes] | np.ndarray:
    if feature.HasField("bytes_list"):
        values = list(feature.bytes_list.value)
        return values[0] if len(values) == 1 else values
    if feature.HasField("int64_list"):
        return np.array(feature.int64_list.value, np.int64)
    return np.array(feature.float_list.value, np.float32)


def _until_damaged(path: Path | str, records, number: int) -> Iterator[bytes]:
    """Yield the records before the first one with a wrong checksum, then raise the error for that one."""
    import tensorflow as tf

    try:
        for record in records.as_numpy_iterator():
            yield record
            number += 1
    except tf.errors.DataLossError:
        raise DataError(f"{path}: record {number}: damaged (wrong checksum).") from None


def _count_records(path: Path | str) -> tuple[int, int, int]:
    """Return how many whole records a file has by their lengths, the longest one's bytes, and the bytes after them."""
    count, longest, at = 0, 1, 0
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at + RECORD_BYTES <= size:
            file.seek(at)
            length = int.from_bytes(file.read(8), "little")
            if at + RECORD_BYTES + length > size:
                break
            count, longest, at = count + 1, max(longest, length), at + RECORD_BYTES + length
    return count, longest, size - at
