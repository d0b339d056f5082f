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
    gray, color = picture(tmp_path / "gray.png"), picture(tmp_path / "color.png", "RGB")
    for images, name in ((gray[None, ..., None], "gray.png"), (color[None], "color.png")):
        expected = read_picture(tmp_path / name, 30, images.shape[-1])
        np.testing.assert_array_equal(pictures.resized(images, 30)[0], expected)
        assert pictures.resized(images, 48) is images


def test_gray_and_color_come_back_as_written(tmp_path, picture):
    gray = picture(tmp_path / "gray.png")
    color = picture(tmp_path / "color.png", "RGB")
    np.testing.assert_array_equal(read_picture(tmp_path / "gray.png", 48, 1)[..., 0], gray)
    np.testing.assert_array_equal(read_picture(tmp_path / "color.png", 48, 3), color)
    np.testing.assert_array_equal(read_picture(tmp_path / "gray.png", 48, 3), np.stack([gray] * 3, axis=-1))
    weighted = color @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read_picture(tmp_path / "color.png", 48, 1)[..., 0] - weighted).max() <= 1


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
def test_other_modes_are_brought_to_gray_and_color(tmp_path, mode, suffix):
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


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "x.jpg", progressive=True)
    data = (tmp_path / "x.jpg").read_bytes()
    assert 2 < data.count(b"\xff\xda") < 20
    assert pictures.read_photograph(data).shape == (64, 64, 3)
    start = data.rindex(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 3000 + data[-2:]
    (tmp_path / "bomb.jpg").write_bytes(bomb)
    for given in (bomb, tmp_path / "bomb.jpg"):
        with pytest.raises(DataError, match="more than 100 scans"):
            pictures.read_photograph(given)
        with pytest.raises(DataError, match="more than 100 scans"):
            pictures.read_picture(given, 48, 1)


def test_formats_are_known_by_content(tmp_path):
    picture = Image.new("RGB", (64, 48), "red")
    for name, form in (("a.jfif", "JPEG"), ("b.jpe", "JPEG"), ("c.avif", "AVIF"), ("nosuffix", "PNG")):
        picture.save(tmp_path / name, form)
        assert pictures.read_photograph(tmp_path / name).shape == (48, 64, 3)
        assert pictures.kind_of((tmp_path / name).read_bytes()[:32]) == "picture"


def test_heic_names_its_extra(tmp_path):
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
    (tmp_path / "x.HEIC").write_bytes(head)
    with pytest.raises(DataError, match=r"pip install 'fer-tf\[heic\]'|damaged picture"):
        pictures.read_photograph(tmp_path / "x.HEIC")


def test_a_tiff_of_another_kind_is_called_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.tif")
    data = bytearray((tmp_path / "x.tif").read_bytes())
    bits = data.index(b"\x08\0\x08\0\x08\0")
    data[bits : bits + 6] = b"\x20\0\x20\0\x20\0"
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(DataError, match="a TIFF of a kind that cannot be read"):
        pictures.read_photograph(tmp_path / "x.tif")


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png", "x.tif"])
def test_frames_are_counted(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert pictures.count_frames(tmp_path / name) == 3
    frames[0].save(tmp_path / name)
    assert pictures.count_frames(tmp_path / name) == 1
