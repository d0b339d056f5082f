import builtins
import io
import os
import resource
import struct
import time
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


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*before, side=64, parts=1, interlaced=0):
    """A black PNG with chunks before its pixels, which are in so many parts."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, interlaced))
    rows = zlib.compress(bytes(side * (side + 1) if not interlaced else 2 * side * (side + 1)), 0)
    size = -(-len(rows) // parts)
    pixels = b"".join(chunk(b"IDAT", rows[i : i + size]) for i in range(0, len(rows), size))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + pixels + chunk(b"IEND")


def gif(*extensions, frames=1):
    head = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\x02\x02\x4c\x01\x00"
    return head + b"".join(extensions) + frame * frames + b";"


def encoded(form, **options):
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, form, **options)
    return file.getvalue()


def segments(count, content):
    data = encoded("JPEG")
    return data[:2] + (b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content) * count + data[2:]


def overlapping_tiff():
    """Rows each of which is a strip that names the whole file as its own."""
    rows, filler = 4000, bytes(4_000_000)
    entries = [(256, 4, 1, 8), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1),
               (278, 4, 1, 1), (273, 4, rows, 8), (279, 4, rows, 8 + 4 * rows)]  # fmt: skip
    lists = struct.pack(f"<{rows}I", *[8 + 8 * rows] * rows) + struct.pack(f"<{rows}I", *[len(filler)] * rows)
    entries.sort()
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    content = lists + filler
    return b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory


def run_length_bmp(side):
    """Rows that end before they began, which Pillow fills up pixel by pixel."""
    rows = b"\0\0" * side + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(rows), 0, 0, 54 + 1024) + info + bytes(1024) + rows


BOMBS = {
    "png in parts of a byte": lambda: png(side=200, parts=40_000),
    "png with many small chunks": lambda: png(*[chunk(b"tEXt", b"a\0b")] * 100_000),
    "png with empty parts": lambda: png(*[chunk(b"IDAT")] * 100_000),
    "gif with a comment of a byte a block": lambda: gif(b"!\xfe" + b"\1x" * 400_000 + b"\0"),
    "gif with many comments": lambda: gif(*[b"!\xfe\1x\0"] * 200_000),
    "jpeg with exif data of a byte": lambda: segments(100_000, b"Exif\0\0x"),
    "jpeg with empty segments": lambda: segments(100_000, b""),
    "jpeg with fill bytes": lambda: encoded("JPEG")[:2] + b"\xff" * 1_000_000 + encoded("JPEG")[2:],
    "ppm with a long comment": lambda: b"P6 #" + b"x" * 1_000_000 + b"\n8 8 255\n" + bytes(192),
    "tiff of strips that overlap": overlapping_tiff,
    "bmp of empty rows": lambda: run_length_bmp(3000),
    "png of one column": lambda: b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 60_000_000, 8, 0, 0, 0, 0)) + png()[33:],
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_small_files_that_take_long_are_refused_soon(tmp_path, kind):
    data = BOMBS[kind]()
    (tmp_path / "x").write_bytes(data)
    start = time.process_time()
    for given in (tmp_path / "x", data):
        with pytest.raises(DataError, match=r"too many parts|overlap|run lengths|a side") as raised:
            pictures.read_photograph(given)
        assert "Expected" in str(raised.value)
    assert time.process_time() - start < 2


def test_text_that_unpacks_to_gigabytes_is_not_unpacked():
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    data = png(*[chunk(b"zTXt", text)] * 4)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="damaged picture"):
        pictures.read_photograph(data)
    assert time.process_time() - start < 2 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_frames_that_are_many_and_tiny_are_not_all_counted():
    start = time.process_time()
    pictures.count_frames(gif(frames=300_000))
    assert time.process_time() - start < 3
    assert pictures.count_frames(gif(frames=2000)) == 2000


def test_ordinary_files_are_not_taken_for_bombs(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 900, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    for name, options in (
        ("a.png", {"compress_level": 1}), ("a.gif", {"comment": b"x" * 5000}), ("a.tif", {"compression": "tiff_lzw"}),
        ("a.jpg", {"progressive": True, "exif": exif}), ("a.bmp", {}), ("a.ppm", {}), ("a.webp", {}), ("a.avif", {}),
    ):  # fmt: skip
        noise.save(tmp_path / name, **options)
        for given in (tmp_path / name, (tmp_path / name).read_bytes()):
            assert pictures.read_photograph(given).shape == (700, 900, 3)
    assert pictures.read_photograph(png(side=600, parts=500)).shape == (600, 600, 3)
    assert pictures.read_photograph(png(side=64, interlaced=1)).shape == (64, 64, 3)


def test_scans_are_those_of_the_picture_and_not_bytes_behind_it():
    """Phones put films behind their photographs, in which every pair of bytes occurs."""
    film = np.random.default_rng(0).integers(0, 256, 12_000_000).astype(np.uint8).tobytes()
    assert film.count(b"\xff\xda") > pictures.MAX_SCANS
    assert pictures.read_photograph(encoded("JPEG", progressive=True) + film).shape == (64, 64, 3)
