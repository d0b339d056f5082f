"""Photographs as cameras store them, turned as Pillow turns them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from fer_tf.serving.decoding import decode
from fer_tf.serving.orientation import exif_orientation, upright


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
    np.testing.assert_array_equal(decode(data, 10_000), np.asarray(expected))


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
