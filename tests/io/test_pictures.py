import builtins
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.io import pictures
from fer_tf.io.pictures import check_picture, read_picture


def test_faces_in_memory_are_resized_as_files_are(tmp_path, picture):
    gray, colour = picture(tmp_path / "gray.png"), picture(tmp_path / "colour.png", "RGB")
    for images, name in ((gray[None, ..., None], "gray.png"), (colour[None], "colour.png")):
        expected = read_picture(tmp_path / name, 30, images.shape[-1])
        np.testing.assert_array_equal(pictures.resized(images, 30)[0], expected)
        assert pictures.resized(images, 48) is images


def test_gray_and_colour_come_back_as_written(tmp_path, picture):
    gray = picture(tmp_path / "gray.png")
    colour = picture(tmp_path / "colour.png", "RGB")
    np.testing.assert_array_equal(read_picture(tmp_path / "gray.png", 48, 1)[..., 0], gray)
    np.testing.assert_array_equal(read_picture(tmp_path / "colour.png", 48, 3), colour)
    np.testing.assert_array_equal(read_picture(tmp_path / "gray.png", 48, 3), np.stack([gray] * 3, axis=-1))
    weighted = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_picture(tmp_path / "colour.png", 48, 1)[..., 0] - weighted).max() <= 1


def test_exif_orientation_is_honoured(tmp_path):
    pixels = np.zeros((48, 48), np.uint8)
    pixels[:24] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90° clockwise to view": the top becomes the right side
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    read = read_picture(tmp_path / "turned.jpg", 48, 1)[..., 0]
    assert read[:, 30:].min() > 240
    assert read[:, :18].max() < 15


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 48 * 48).astype(np.uint16).reshape(48, 48)
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        read = read_picture(tmp_path / name, 48, 1)[..., 0].astype(int)
        assert np.abs(read - ramp / 257).max() <= 0.51


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("P", "png"), ("P", "gif"), ("1", "png"), ("RGBA", "png")]
)
def test_other_modes_are_brought_to_gray_and_colour(tmp_path, mode, suffix):
    source = Image.new("RGB", (48, 48), (255, 255, 255))
    source.paste((0, 0, 0), (0, 0, 24, 48))
    path = tmp_path / f"face.{suffix}"
    source.convert(mode).save(path)
    for channels in (1, 3):
        read = read_picture(path, 48, channels)
        assert read.shape == (48, 48, channels)
        assert read[:, :20].max() < 12
        assert read[:, 28:].min() > 243


def test_transparency_is_ignored(tmp_path):
    Image.new("RGBA", (48, 48), (10, 200, 30, 0)).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(np.unique(read_picture(tmp_path / "clear.png", 48, 3)), [10, 30, 200])


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("L", (48, 48), level) for level in (10, 240)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(np.unique(read_picture(tmp_path / "two.gif", 48, 1)), [10])


def test_shrinking_is_antialiased_and_enlarging_smooth(tmp_path):
    stripes = np.zeros((192, 192), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    small = read_picture(tmp_path / "stripes.png", 48, 1)
    assert small.min() > 110
    assert small.max() < 145
    assert read_picture(tmp_path / "stripes.png", 200, 1).shape == (200, 200, 1)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def spoil(path, kind, picture):
    picture(path)
    whole = path.read_bytes()
    contents = {
        "empty": b"",
        "text": b"this is no picture",
        "cut in the header": whole[:20],
        "cut in the pixels": whole[: len(whole) // 2],
        "bomb": png_header(60_000, 60_000) + whole[33:],
        "big": png_header(9_000, 9_000) + whole[33:],
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n",
    }
    path.write_bytes(contents[kind])


REASONS = {
    "empty": "empty file",
    "text": "no picture",
    "cut in the header": "no picture|damaged picture",
    "cut in the pixels": "damaged picture",
    "bomb": "pixels. Expected at most",
    "big": "pixels. Expected at most",
    "eps": "no picture",
}


@pytest.mark.parametrize("kind", REASONS)
def test_unreadable_files_have_a_one_line_reason(tmp_path, picture, kind):
    path = tmp_path / "face.png"
    spoil(path, kind, picture)
    with pytest.raises(DataError, match=REASONS[kind]) as error:
        read_picture(path, 48, 1)
    assert "\n" not in str(error.value)
    if kind != "cut in the pixels":
        with pytest.raises(DataError, match=REASONS[kind]):
            check_picture(path)


def test_random_damage_is_a_data_error_or_a_picture(tmp_path, picture, rng, recwarn):
    refused = 0
    for suffix in ("png", "jpg", "gif", "tif", "bmp", "webp"):
        path = tmp_path / f"face.{suffix}"
        picture(path)
        whole = bytearray(path.read_bytes())
        for _ in range(60):
            damaged = whole.copy()
            for position in rng.integers(0, min(len(whole), 400), 6):
                damaged[position] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                assert read_picture(path, 48, 1).shape == (48, 48, 1)
            except DataError:
                refused += 1
    assert refused > 60
    assert not recwarn.list


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"^no such picture\.$"):
        read_picture(tmp_path / "gone.png", 48, 1)
    with pytest.raises(DataError, match="not a file"):
        read_picture(tmp_path, 48, 1)


@pytest.mark.parametrize("call", ["stat", "open"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, picture, monkeypatch, call):
    picture(tmp_path / "face.png")
    real = {"stat": os.stat, "open": builtins.open}[call]

    def refuse(path, *arguments, **keywords):
        if str(path).endswith("face.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(os if call == "stat" else builtins, call, refuse)
    assert pictures.count_pixels(tmp_path / "face.png") == 0
    with pytest.raises(DataError) as error:
        read_picture(tmp_path / "face.png", 48, 1)
    assert str(error.value) == "cannot be read: Permission denied."


@pytest.mark.parametrize(("size", "channels"), [(0, 1), (48.0, 1), (5000, 1), (48, 2)])
def test_impossible_shapes_are_refused(tmp_path, size, channels):
    with pytest.raises(UserError, match=r"size=|channels="):
        read_picture(tmp_path / "face.png", size, channels)
