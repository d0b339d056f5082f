"""TFRecord files of ``tf.train.Example``, read and written without TensorFlow.

A file is a row of frames: length (8 bytes), masked CRC-32C of the length (4), data, masked CRC-32C of the data (4), all
little-endian. Its sums here cost about a millisecond per 100 kB.
"""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fer_tf.errors import DataError

Feature = bytes | str | Sequence[float] | Sequence[int] | np.ndarray

# Bytes whose sum is looked up at once.
BLOCK = 512
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def write_record(file: BinaryIO, data: bytes) -> None:
    """Append one record to a file."""
    file.write(framed(data))


def framed(data: bytes) -> bytes:
    """Return one record as it stands in a file; records are appended to each other."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc32c(length)), data, struct.pack("<I", masked_crc32c(data))))


def read_records(path: Path | str) -> Iterator[bytes]:
    """Yield the records of a file.

    Raises:
        DataError: a checksum is wrong, or the file ends within a record; names the file and the record, from 0.
    """
    with Path(path).open("rb") as file:
        number = 0
        while head := file.read(12):
            place = f"{path}: record {number}"
            length = _checked(head[:8], head[8:], 8, place)
            size = struct.unpack("<Q", length)[0]
            yield _checked(file.read(size), file.read(4), size, place)
            number += 1


def masked_crc32c(data: bytes) -> int:
    """Return the checksum that TFRecord files hold: CRC-32C (Castagnoli), turned by 15 bits, and an offset."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes (RFC 3720)."""
    table = _table()
    if len(data) < 4:
        state = 0xFFFFFFFF
        for byte in data:
            state = int(table[-1, (state ^ byte) & 255]) ^ (state >> 8)
        return state ^ 0xFFFFFFFF
    # A start of all ones equals a start of zero on data with its first 32 bits turned over; before that, zeros in
    # front change nothing.
    padded = np.zeros(-len(data) % BLOCK + len(data), np.uint8)
    padded[-len(data) :] = np.frombuffer(data, np.uint8)
    padded[-len(data) :][:4] ^= 255
    places = np.arange(BLOCK, dtype=np.int32) * 256 + padded.reshape(-1, BLOCK)
    state = 0
    for sum_of_block in np.bitwise_xor.reduce(table.ravel().take(places), axis=1).tolist():
        low, high = state & 0xFFFF, state >> 16
        state = sum_of_block ^ int(
            table[0, low & 255] ^ table[1, low >> 8] ^ table[2, high & 255] ^ table[3, high >> 8]
        )
    return state ^ 0xFFFFFFFF


def encode_example(features: Mapping[str, Feature]) -> bytes:
    """Write a ``tf.train.Example``: bytes and text as one value, floats and ints as lists; names are sorted."""
    entries = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, _encode_feature(features[name]))) for name in sorted(features)
    )
    return _field(1, entries)


def decode_example(data: bytes) -> dict[str, bytes | np.ndarray]:
    """Read a ``tf.train.Example``.

    Returns:
        By name: bytes for one byte string (a list for several), float32 or int64 arrays for numbers.

    Raises:
        DataError: the bytes are no Example.
    """
    features = {}
    try:
        for entries in _fields(data).get(1, []):
            for entry in _fields(entries).get(1, []):
                inside = _fields(entry)
                features[inside[1][-1].decode()] = _decode_feature(inside.get(2, [b""])[-1])
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error):
        raise DataError("no tf.train.Example.") from None
    return features


@functools.cache
def _table() -> np.ndarray:
    """Return uint32 (BLOCK, 256): what a byte at each place of a block adds to the sum at the block's end."""
    table = np.empty((BLOCK, 256), np.uint32)
    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        last = np.where(last & 1, (last >> 1) ^ np.uint32(0x82F63B78), last >> 1)
    table[-1] = last
    for i in range(BLOCK - 2, -1, -1):
        table[i] = last[table[i + 1] & 255] ^ (table[i + 1] >> 8)
    return table


def _checked(data: bytes, crc: bytes, size: int, place: str) -> bytes:
    if len(data) < size or len(crc) < 4:
        raise DataError(f"{place}: the file ends within it.")
    if struct.unpack("<I", crc)[0] != masked_crc32c(data):
        raise DataError(f"{place}: damaged (wrong checksum).")
    return data


def _encode_feature(value: Feature) -> bytes:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    array = np.asarray(value).ravel()
    if array.dtype.kind == "f":
        return _field(2, _field(1, array.astype("<f4").tobytes()))
    return _field(3, _field(1, b"".join(_varint(int(v) & 0xFFFFFFFFFFFFFFFF) for v in array)))


def _decode_feature(data: bytes) -> bytes | list[bytes] | np.ndarray:
    for kind, content in _fields(data).items():
        values = _fields(content[-1]).get(1, [])
        if kind == 1:
            return values[0] if len(values) == 1 else values
        if kind == 2:
            # Numbers come packed into one field or each in its own: both are valid.
            return np.frombuffer(b"".join(values), "<f4").astype(np.float32)
        numbers = [n for v in values for n in ([v] if isinstance(v, int) else _varints(v))]
        return np.array(numbers, dtype=np.uint64).astype(np.int64)
    return np.empty(0, np.float32)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: bytes) -> dict[int, list[bytes | int]]:
    """Split a message into its fields: ints for varints, bytes for all others."""
    found: dict[int, list[bytes | int]] = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
        else:
            if kind == _LENGTH:
                size, at = _read_varint(data, at)
            else:
                size = {_FIXED64: 8, _FIXED32: 4}[kind]
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise ValueError("cut off")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _read_varint(data, at)
        yield value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
