import io
import os
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from fer_tf.errors import DataError, UserError
from fer_tf.io import folders, pictures, video


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(src, **keywords):
    return [name for _, name in folders.find_pictures(src, **keywords)]


def test_pictures_are_found_by_suffix_and_sorted_by_name(tmp_path):
    touch(tmp_path, "b.JPG", "a b/ü é.png", "a b/two\nlines.Tiff", "a/x.webp", "notes.txt", "a/film.mp4", "A.jpeg")
    found = folders.find_pictures(tmp_path)
    assert [n for _, n in found] == ["A.jpeg", "a b/two\nlines.Tiff", "a b/ü é.png", "a/x.webp", "b.JPG"]
    assert all(path == tmp_path / name for path, name in found)
    with_videos = names(tmp_path, suffixes=folders.MEDIA_SUFFIXES)
    assert set(with_videos) - {n for _, n in found} == {"a/film.mp4"}


def test_hidden_files_and_litter_are_no_photographs(tmp_path):
    touch(tmp_path, ".hidden.jpg", ".trash/x.jpg", "__MACOSX/x.jpg", "x.jpg")
    assert names(tmp_path) == ["x.jpg"]


def test_one_file_goes_by_its_name(tmp_path):
    touch(tmp_path, "in/x.jpg", "in/x.txt")
    assert folders.find_pictures(tmp_path / "in" / "x.jpg") == [(tmp_path / "in" / "x.jpg", "x.jpg")]
    with pytest.raises(UserError, match=r"x\.txt: no picture by its suffix. Expected \.png"):
        folders.find_pictures(tmp_path / "in" / "x.txt")


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        folders.find_pictures(tmp_path / "nowhere")
    touch(tmp_path, "notes.txt")
    with pytest.raises(UserError, match="no pictures in it"):
        folders.find_pictures(tmp_path)


def test_links_are_followed_but_no_folder_twice(tmp_path):
    touch(tmp_path, "src/a/x.jpg", "outside/y.jpg", "outside/z.jpg")
    src = tmp_path / "src"
    (src / "a" / "up").symlink_to(src)
    (src / "b").symlink_to(tmp_path / "outside")
    (src / "c").symlink_to(src / "a")
    (src / "self.jpg").symlink_to(src / "self.jpg")
    (src / "self").symlink_to(src / "self")
    (src / "broken.jpg").symlink_to(src / "nowhere.jpg")
    (src / "linked.jpg").symlink_to(tmp_path / "outside" / "z.jpg")
    notes = {}
    found = names(src, note=notes.__setitem__)
    assert found == ["a/x.jpg", "b/y.jpg", "b/z.jpg", "broken.jpg", "linked.jpg", "self.jpg"]
    assert notes == {
        "a/up": "the same folder as ., which is read already.",
        "c": "the same folder as a, which is read already.",
    }
    for name, reason in (("broken.jpg", "link to nothing."), ("self.jpg", "cannot be read: Too many levels of symb")):
        with pytest.raises(DataError, match=f"^{reason}"):
            pictures.read_photograph(src / name)


def test_a_folder_that_cannot_be_read_is_noted(tmp_path, monkeypatch, caplog):
    touch(tmp_path, "a/x.jpg", "locked/y.jpg")
    real = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    notes = {}
    assert names(tmp_path, note=notes.__setitem__) == ["a/x.jpg"]
    assert notes == {"locked": "folder cannot be read (Permission denied)."}
    assert names(tmp_path) == ["a/x.jpg"]
    assert "locked: folder cannot be read" in caplog.text


def test_a_photograph_keeps_its_size_and_turns_upright(tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10] = (200, 100, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("x.png", "x.tif"):
        Image.fromarray(pixels).save(tmp_path / name, exif=exif)
        read = pictures.read_photograph(tmp_path / name)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, np.rot90(pixels, -1))
    wide = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(wide).save(tmp_path / "wide.png", exif=exif)
    read = pictures.read_photograph(tmp_path / "wide.png")
    assert np.abs(read[..., 0] - np.rot90(wide, -1) / 257).max() <= 0.51


def write_video(path, count=10, options=None):
    """Write frames of 48×64 with a red square at the top left; the lowest row grows brighter."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(count):
            frame = np.full((48, 64, 3), 20, np.uint8)
            frame[:16, :16] = (250, 20, 20)
            frame[40:] = 6 * i
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_frames_come_with_number_and_time(tmp_path, suffix):
    path = write_video(tmp_path / f"ü film.{suffix}")
    found = list(video.read_frames(path, every=4))
    assert [i for i, _, _ in found] == [0, 4, 8]
    np.testing.assert_allclose([t for _, t, _ in found], [0, 0.16, 0.32], atol=1e-3)
    for i, _, picture in found:
        assert picture.shape == (48, 64, 3) and picture.dtype == np.uint8
        assert np.abs(picture[4, 4].astype(int) - (250, 20, 20)).max() < 12
        assert np.abs(picture[44, 32].astype(int) - 6 * i).max() < 12


def test_a_turned_video_comes_upright(tmp_path):
    data = write_video(tmp_path / "film.mp4").read_bytes()
    # The matrix of the track header: turn by 90° clockwise to view, as phones write it.
    start = data.index(b"tkhd") + 44
    assert struct.unpack(">9i", data[start : start + 36]) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data[:start] + turned + data[start + 36 :])
    plain = next(video.read_frames(tmp_path / "film.mp4"))[2]
    upright = next(video.read_frames(tmp_path / "turned.mp4"))[2]
    np.testing.assert_array_equal(upright, np.rot90(plain, -1))


def test_a_damaged_video_gives_its_readable_frames_first(tmp_path):
    path = write_video(tmp_path / "film.mp4", 40, {"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-500])
    read = []
    with pytest.raises(DataError, match=r"damaged video \(\d+ of 40 frames could be read\)"):
        read.extend(i for i, _, _ in video.read_frames(path))
    assert 0 < len(read) < 40
    assert read == list(range(len(read)))


def test_frames_that_an_edit_list_leaves_out_are_no_damage(tmp_path):
    path = write_video(tmp_path / "film.mp4", 40, {"movflags": "faststart", "use_editlist": "1"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    assert struct.unpack(">Ii", data[place : place + 8]) == (1600, 0)
    # Of 1.6 s, one second from 0.6 s on, which is 7680 ticks of the track.
    data[place : place + 8] = struct.pack(">Ii", 1000, 7680)
    path.write_bytes(data)
    assert len(list(video.read_frames(path))) == 25
    path.write_bytes(data[:-500])
    # Three lead in from a key frame.
    with pytest.raises(DataError, match=r"damaged video \(\d+ of 28 frames could be read\)"):
        list(video.read_frames(path))


@pytest.mark.parametrize("content", [b"", b"<html>not here</html>" * 50])
def test_what_is_no_video_is_an_error(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(DataError, match="damaged video"):
        list(video.read_frames(tmp_path / "x.mp4"))
    with pytest.raises(DataError, match="damaged video"):
        list(video.read_frames(tmp_path / "gone.mp4"))


def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'fer-tf\[video\]'"):
        next(video.read_frames(tmp_path / "x.mp4"))


@pytest.mark.parametrize(("suffix", "codec"), [("mpg", "mpeg1video"), ("mpeg", "mpeg2video"), ("avi", "mpeg4")])
def test_damage_in_the_middle_is_told(tmp_path, suffix, codec):
    av = pytest.importorskip("av")
    path = tmp_path / f"film.{suffix}"
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, 3 * i, 1), format="rgb24")))
        container.mux(stream.encode())
    assert len(list(video.read_frames(path))) == 25
    data = bytearray(path.read_bytes())
    start, end = 2 * len(data) // 5, 3 * len(data) // 5
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    read = []
    with pytest.raises(DataError, match=r"damaged video \(\d+( of 25)? frames could be read"):
        read.extend(i for i, _, _ in video.read_frames(path))
    assert len(read) > 5


def write_film(path, codec, count=50, times=None, options=None, settings=None):
    """Write a moving picture of noise, whose frames are all large, 25 a second or at these multiples of 0.04 s."""
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no {codec}")
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=settings or {})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for i in times or range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 3 * i, 1), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


FILMS = [
    ("mp4", "libx264", {}), ("mp4", "mpeg4", {"movflags": "faststart"}),
    ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}), ("mkv", "libx264", {}), ("mkv", "mpeg4", {}),
    ("webm", "libvpx", {}), ("webm", "libvpx-vp9", {}), ("flv", "flv", {}), ("wmv", "wmv2", {}), ("avi", "mpeg4", {}),
    ("mov", "mpeg4", {"movflags": "faststart"}),
]  # fmt: skip


def overwritten(data):
    start, end = 2 * len(data) // 5, 3 * len(data) // 5
    return data[:start] + bytes(end - start) + data[end:]


def shortened(data):
    return data[: len(data) // 2] + data[len(data) // 2 + len(data) // 20 :]


@pytest.mark.parametrize(("suffix", "codec", "options"), FILMS, ids=[f"{s}-{c}{len(o) * '+'}" for s, c, o in FILMS])
def test_lost_frames_are_told_for_every_container(tmp_path, suffix, codec, options):
    path = write_film(tmp_path / f"film.{suffix}", codec, options=options, settings={"g": "10"})
    assert len(list(video.read_frames(path))) == 50
    data = path.read_bytes()
    for damage in (overwritten, shortened, lambda data: data[: 3 * len(data) // 4]):
        path.write_bytes(damage(data))
        read = []
        with pytest.raises(DataError, match="damaged video"):
            read.extend(i for i, _, _ in video.read_frames(path))
        assert len(read) < 50 and read == list(range(len(read)))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "libx264"), ("webm", "libvpx"), ("mp4", "mpeg4"), ("wmv", "wmv2")]
)
@pytest.mark.parametrize("times", [[0, 1, 2, 9, 10, 30, 31, 32, 33, 34, 60], [0, 3, 4, 7, 9, 12, 13, 16], [0, 1]])
def test_a_video_of_varying_rate_is_not_damaged(tmp_path, suffix, codec, times):
    path = write_film(tmp_path / f"film.{suffix}", codec, times=times)
    assert [round(time * 25) for _, time, _ in video.read_frames(path)] == times


def test_a_playlist_is_no_video(tmp_path):
    write_video(tmp_path / "other.mp4")
    (tmp_path / "a.mp4").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'other.mp4'}'\n")
    (tmp_path / "b.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path / 'other.mp4'}\n")
    (tmp_path / "c.mp4").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n")
    for name in "abc":
        with pytest.raises(DataError, match="damaged video"):
            list(video.read_frames(tmp_path / f"{name}.mp4"))


def write_pictures(path, *sizes):
    """Write a video of Motion JPEG whose frames have these sizes, (width, height)."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuvj420p"
        for i, size in enumerate(sizes):
            file = io.BytesIO()
            Image.new("RGB", size, "gray").save(file, "JPEG")
            packet = av.Packet(file.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, i, i, stream.time_base or Fraction(1, 25)
            container.mux(packet)
    return path


def test_a_frame_that_is_suddenly_huge_is_not_decoded(tmp_path):
    path = write_pictures(tmp_path / "film.avi", (64, 48), (64, 48), (32, 24), (9000, 8000), (64, 48))
    read = []
    with pytest.raises(DataError, match=r"damaged video|9000×8000 pixels"):
        read.extend(picture.shape for _, _, picture in video.read_frames(path))
    assert read[:3] == [(48, 64, 3), (48, 64, 3), (24, 32, 3)]
    assert max(read) == (48, 64, 3)


def test_a_name_like_an_address_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "http:film.mp4", 2)
    write_video(tmp_path / "concat:a.mp4", 2)
    for name in ("http:film.mp4", "concat:a.mp4"):
        assert len(list(video.read_frames(name))) == 2


def test_what_looks_like_a_picture_or_video_is_read_or_noted(tmp_path):
    touch(tmp_path, "a.heic", "b.jfif", "raw.CR2", "film.mp4", "notes.txt", "table")
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green")]
    frames[0].save(tmp_path / "nosuffix", "PNG")
    frames[0].save(tmp_path / "old.bak", "JPEG")
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "clip").write_bytes(b"\0\0\0\x18ftypisom" + bytes(20))
    os.mkfifo(tmp_path / "pipe")
    notes = {}
    assert names(tmp_path, note=notes.__setitem__) == ["a.heic", "b.jfif", "moves.gif", "nosuffix"]
    assert sorted(notes) == ["clip", "film.mp4", "moves.gif", "old.bak", "raw.CR2"]
    assert "only the first of 2 frames" in notes["moves.gif"]
    assert notes["clip"].startswith("a video by its content")
    assert notes["old.bak"].startswith("a picture by its content")
    assert names(tmp_path / "nosuffix") == ["nosuffix"]
    with pytest.raises(UserError, match="no picture by its suffix"):
        names(tmp_path / "table")
