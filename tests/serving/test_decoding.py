"""Any bytes to pixels inside a graph: as Pillow reads them, or flagged, and never an error."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fer_tf.serving.decoding import decode_batch, decode_or_blank

SHAPE = (12, 16, 3)


@pytest.fixture(scope="module")
def decode():
    specs = [tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int64)]
    graph = tf.function(decode_or_blank, input_signature=specs, autograph=False)

    def decoded(data, max_pixels=10**6):
        pixels, valid = graph(data, max_pixels)
        return pixels.numpy() if valid else None

    return decoded


@pytest.fixture(scope="module")
def batch():
    def shrunk(pixels):
        return tf.image.resize(pixels, SHAPE[:2], antialias=True)

    spec = tf.TensorSpec((None,), tf.string)
    return tf.function(lambda e: decode_batch(e, shrunk, SHAPE, 10**6), input_signature=[spec], autograph=False)


def test_every_kind_gives_pillows_pixels(decode, good):
    assert len(good) == 20
    for kind, data in good.items():
        read = Image.open(io.BytesIO(data))
        expected = np.asarray(read.convert("RGB"))
        if kind == "16 bits":
            expected = np.repeat((np.asarray(read).astype(int) // 256)[..., None], 3, axis=2)
        pixels = decode(data)
        assert pixels is not None, kind
        np.testing.assert_array_equal(pixels, expected, err_msg=kind)


def test_what_is_no_picture_is_flagged(decode, bad):
    assert [kind for kind, data in bad.items() if decode(data) is not None] == []


def test_a_bad_one_leaves_its_batch_alone(batch, good, bad):
    files = [good["png"], bad["empty"], good["jpeg"], *bad.values(), good["gif"]]
    rows, valid = batch(tf.constant(files))
    assert np.flatnonzero(valid).tolist() == [0, 2, len(files) - 1]
    assert not rows.numpy()[~valid.numpy()].any()
    for i in (0, 2, len(files) - 1):
        (alone,), _ = batch(tf.constant([files[i]]))
        np.testing.assert_array_equal(rows[i], alone)
    rows, valid = batch(tf.constant([b"", b"x"]))
    assert rows.shape == (2, *SHAPE) and not valid.numpy().any()
    assert batch(tf.zeros(0, tf.string))[0].shape == (0, *SHAPE)


def test_the_limit_is_of_the_declared_pixels(decode, good):
    for kind, data in good.items():
        assert decode(data, 80 * 60) is not None, kind
        assert decode(data, 80 * 60 - 1) is None, kind


def test_a_gifs_frame_may_be_larger_than_its_canvas(decode, good):
    data = patched(good["gif"], 6, struct.pack("<HH", 10, 10))
    assert decode(data, 80 * 60 - 1) is None and decode(data, 80 * 60).shape == (60, 80, 3)


def png(width, height):
    """A tiny file of very many black pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif_of_many_frames(side, frames):
    """One frame many times over: small as a file, gigabytes as pixels."""
    buffer = io.BytesIO()
    Image.new("P", (side, side), 1).save(buffer, "GIF")
    one = buffer.getvalue()
    colours = 3 * 2 ** ((one[10] & 7) + 1) if one[10] & 128 else 0
    start = 13 + colours
    assert one[start] in b"\x21\x2c" and one[-1:] == b";"
    return one[:-1] + one[start:-1] * (frames - 1) + b";"


def peak():
    """Most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_bombs_are_not_unpacked(decode, good):
    huge = {
        "png": png(30_000, 30_000),
        "jpeg": patched(good["jpeg"], good["jpeg"].index(b"\xff\xc0") + 5, struct.pack(">HH", 60_000, 60_000)),
        "gif's canvas": patched(good["gif"], 6, struct.pack("<HH", 60_000, 60_000)),
        "gif's frame": patched(good["gif"], good["gif"].index(b"\x2c\0\0\0\0") + 5, struct.pack("<HH", 60_000, 60_000)),
        "bmp": patched(good["bmp"], 18, struct.pack("<ii", 60_000, -60_000)),
        "webp": patched(good["webp+alpha"], 24, b"\x5f\xea\x00\x5f\xea\x00"),
    }
    before = peak()
    assert {kind: decode(data) for kind, data in huge.items()} == dict.fromkeys(huge)
    assert peak() - before < 60


def patched(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def test_of_a_gif_only_the_first_frame_is_unpacked(decode):
    data = gif_of_many_frames(900, 1500)
    assert len(data) < 6_000_000
    before = peak()
    pixels = decode(data)
    # All frames would be 1,215 MB.
    assert pixels.shape == (900, 900, 3) and peak() - before < 150


def test_random_damage_is_no_error(decode, good):
    rng = np.random.default_rng(5)
    flagged = 0
    for kind, data in good.items():
        for _ in range(6):
            damaged = bytearray(data[: rng.integers(len(data) // 2, len(data) + 1)])
            for at in rng.integers(0, len(damaged), 4):
                damaged[at] = rng.integers(0, 256)
            pixels = decode(bytes(damaged))
            flagged += pixels is None
            assert pixels is None or (pixels.dtype == np.uint8 and pixels.ndim == 3), kind
    assert flagged > 30
