"""Any bytes in a graph: decoded and turned upright as Pillow does, or a bad row, and never an error."""

import io
import resource
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from fer_tf.serving import signatures
from fer_tf.serving.signatures import decode_batch, decode_or_blank, exif_orientation, upright

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
    assert len(good) == 11
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
    files = [good["png"], bad["empty"], good["jpeg"], *bad.values(), good["palette"]]
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


def png(width, height):
    """A tiny file of very many black pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def peak():
    """Most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_bombs_are_not_unpacked(decode, good):
    huge = {
        "png": png(30_000, 30_000),
        "jpeg": patched(good["jpeg"], good["jpeg"].index(b"\xff\xc0") + 5, struct.pack(">HH", 60_000, 60_000)),
    }
    before = peak()
    assert {kind: decode(data) for kind, data in huge.items()} == dict.fromkeys(huge)
    assert peak() - before < 60


def patched(data, at, new):
    return data[:at] + new + data[at + len(new) :]


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
    assert flagged > 20


@pytest.fixture(scope="module")
def orientation():
    return tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


def jpeg(exif=b"", size=(40, 24), **options):
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (3, 5, 3)).astype(np.uint8)).resize(size)
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif, quality=95, **options)
    return file.getvalue()


def tags(value, endian="<"):
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F], exif[0x0112], exif[0x0131] = "A maker of cameras", value, "v1"
    return exif.tobytes()


@pytest.mark.parametrize("value", range(1, 9))
def test_all_eight_are_seen_as_pillow_shows_them(value):
    data = jpeg(tags(value))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)).convert("RGB"))
    assert expected.size == ((40, 24) if value < 5 else (24, 40))
    np.testing.assert_array_equal(signatures.decode(data, 10_000), np.asarray(expected))


@pytest.mark.parametrize("value", [0, 9, -1, 65535])
def test_numbers_that_mean_nothing_change_nothing(value):
    x = tf.reshape(tf.range(12), (2, 2, 3))
    np.testing.assert_array_equal(upright(x, tf.constant(value)), x)


def test_both_byte_orders_and_other_segments_before_it(orientation):
    for endian, mark in (("<", b"II"), (">", b"MM")):
        exif = tags(6, endian)
        assert mark in exif[:8]
        data = jpeg(exif)
        assert orientation(data) == 6
        comment = b"\xff\xfe" + (5000).to_bytes(2, "big") + b"\xff\xe1" * 2499
        assert orientation(data[:2] + comment + data[2:]) == 6


def test_without_or_with_damaged_data_it_is_one(orientation):
    assert orientation(jpeg()) == 1 and orientation(jpeg(tags(9))) == 1 and orientation(b"") == 1
    whole = jpeg(tags(8))
    start = whole.index(b"Exif")
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(200):
        damaged = bytearray(whole)
        for at in rng.integers(start, start + 40, 6):
            damaged[at] = rng.integers(0, 256)
        found.add(int(orientation(bytes(damaged))))
    assert found <= set(range(1, 9)) and {1, 8} <= found


def scans(count):
    """A progressive JPEG whose last scan is there so many times, of 512×512 pixels."""
    data = encoded("JPEG", Image.new("L", (512, 512), 90), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def encoded(kind, image, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def texts(count, size):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    data = png(16, 16)
    return data[:33] + chunk(b"zTXt", b"C\0\0" + zlib.compress(bytes(size), 9)) * count + data[33:]


def test_files_that_were_made_to_take_long_are_bad_rows_soon(decode):
    assert decode(scans(3)) is not None and decode(texts(16, 1000)) is not None
    assert signatures.count_scans(scans(3)) == 3 + signatures.count_scans(scans(1)) - 1
    start = time.process_time()
    for bomb in (scans(101), scans(20_000), texts(17, 10), texts(300, 7_900_000)):
        assert decode(bomb) is None
    assert time.process_time() - start < 5
    # Of a large picture, fewer scans are allowed: each takes longer.
    large = encoded("JPEG", Image.new("L", (8000, 6000), 90), progressive=True)
    last = large.rindex(b"\xff\xda")
    assert decode(large[:last] + large[last:-2] * 30 + b"\xff\xd9", 10**8) is None


def test_a_film_behind_a_phones_photograph_has_no_scans(decode, good):
    film = np.random.default_rng(0).integers(0, 256, 12_000_000).astype(np.uint8).tobytes()
    assert film.count(b"\xff\xda") > 100
    assert decode(good["jpeg"] + film) is not None
    assert [int(signatures.count_scans(tf.constant(d))) for d in (b"", b"\xff", b"\xff\xda\x00\x08")] == [0, 0, 0]
