"""Decode pictures of common formats; damaged or too large ones are refused."""

import contextlib
import functools
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fer_tf.errors import DataError, UserError
from fer_tf.facetable import ImagesOnDisk

# The formats of faces. Others stay shut: Pillow hands EPS, for one, to an external program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "HEIF")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif",
    ".heic", ".heif",
)  # fmt: skip
# Suffixes of pictures that are not read.
OTHER_SUFFIXES = (
    ".apng", ".arw", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".ico", ".jp2", ".jxl", ".mng", ".nef", ".orf",
    ".psd", ".raf", ".raw", ".rw2", ".svg", ".tga", ".xcf",
)  # fmt: skip
MAX_PIXELS = 64_000_000
# Pillow keeps a pointer for each row.
_MAX_SIDE = 1_000_000
# Progressive files have about ten scans; each takes as long as the whole picture.
MAX_SCANS, MAX_SCANNED = 100, 1_000_000_000
# Starts of scans of one to four channels. The first two bytes alone are found in the films behind phones' pictures too.
SCAN_STARTS = tuple(bytes([0xFF, 0xDA, 0, 6 + 2 * n, n]) for n in (1, 2, 3, 4))
# How often a file is read from: Pillow reads a segment, chunk, tag or block of a file at a time, in Python.
_READS, _READS_OF_FRAMES, _BYTES_A_READ = 10_000, 100_000, 128
# Pillow decodes run lengths of BMP files in Python, in up to two reads a pixel.
_RUN_PIXELS = 2_000_000
_MADE_SLOW = "Expected a picture that was not made to take long."
_HEADS = {
    b"\xff\xd8\xff": "picture", b"\x89PNG\r\n\x1a\n": "picture", b"GIF87a": "picture", b"GIF89a": "picture",
    b"II*\0": "picture", b"MM\0*": "picture", b"\x1aE\xdf\xa3": "video", b"\0\0\1\xba": "video", b"FLV\1": "video",
    b"0&\xb2u": "video",
}  # fmt: skip
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def read_picture(path: Path | str | bytes, size: int, channels: int) -> np.ndarray:
    """Read one picture as the networks take it.

    The first frame is turned upright (EXIF), brought to 8 bits, to gray or RGB, and to ``size`` by antialiased
    bilinear interpolation; a picture that is not square is stretched. Transparency is ignored, as the exported
    networks' own decoder ignores it.

    Args:
        path: a file in one of ``FORMATS``, or the bytes of one.
        size: height and width in pixels.
        channels: 1 or 3.

    Returns:
        uint8 (size, size, channels).

    Raises:
        DataError: no such file, no picture, damaged, or larger than ``MAX_PIXELS``; without the path in it.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (64, 48), "white").save(file, "PNG")
        >>> read_picture(file.getvalue(), size=48, channels=1).shape
        (48, 48, 1)
    """
    check_shape(size, channels)
    with _upright(path) as upright:
        plain = upright.convert("RGB") if channels == 3 else _gray(upright)
        if plain.size != (size, size):
            plain = plain.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(plain, dtype=np.uint8).reshape(size, size, channels)


def read_photograph(path: Path | str | bytes | Image.Image) -> np.ndarray:
    """Read one picture in its own size and shape, upright and in color, otherwise as ``read_picture`` does.

    Args:
        path: a file in one of ``FORMATS``, the bytes of one, or a Pillow image in any mode.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        DataError: as ``read_picture``.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("L", (64, 48)).save(file.name)
        ...     read_photograph(file.name).shape
        (48, 64, 3)
    """
    with _upright(path) as upright:
        return np.asarray(upright.convert("RGB"), dtype=np.uint8)


def count_pixels(path: Path | str) -> int:
    """Return width × height by the file's header; 0 if ``read_photograph`` would refuse the file.

    Example:
        >>> count_pixels("none.jpg")
        0
    """
    try:
        with _opened(path) as picture:
            return picture.width * picture.height
    except DataError:
        return 0


def kind_of(head: bytes) -> str:
    """Return whether a file is a ``"picture"`` or a ``"video"`` by its first 32 bytes; empty if neither.

    Example:
        >>> kind_of(b"GIF89a"), kind_of(b"path,label")
        ('picture', '')
    """
    if head[:4] == b"RIFF":
        return {b"WEBP": "picture", b"AVI ": "video"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return "picture" if head[8:12] in (b"avif", b"avis", *_HEIF_BRANDS) else "" if head[8:11] == b"crx" else "video"
    if head[:2] == b"BM":
        return "picture" if head[6:10] == bytes(4) else ""
    return next((kind for start, kind in _HEADS.items() if head.startswith(start)), "")


def head_of(path: Path | str | bytes) -> bytes:
    """Return the first 32 bytes of a regular file; none if it cannot be read.

    Example:
        >>> head_of("none.jpg")
        b''
    """
    if isinstance(path, bytes):
        return path[:32]
    try:
        with open(path, "rb") if is_file(path) else io.BytesIO() as file:  # noqa: PTH123
            return file.read(32)
    except OSError:
        return b""


def count_frames(path: Path | str | bytes) -> int:
    """Return how many frames or pages a picture has: 1 if it is not animated, or cannot be read.

    Example:
        >>> count_frames("none.gif")
        1
    """
    head = head_of(path)
    if head[8:12] == b"WEBP" and not (head[12:16] == b"VP8X" and head[20] & 2):
        return 1
    # Of JPEG and HEIC files, the further pictures are previews and depth maps.
    if not (head.startswith((b"GIF8", b"\x89PNG", b"II*\0", b"MM\0*")) or head[8:12] in (b"WEBP", b"avis")):
        return 1
    try:
        with _opened(path, _READS_OF_FRAMES) as picture:
            return int(getattr(picture, "n_frames", 1))
    except Exception:
        return 1


def resized(images: np.ndarray | ImagesOnDisk, size: int) -> np.ndarray | ImagesOnDisk:
    """Bring uint8 images (N, H, W, C) to (N, size, size, C), antialiased as ``read_picture`` does it.

    Those on disk stay there, and are resized when they are read.

    Example:
        >>> resized(np.zeros((2, 64, 64, 3), np.uint8), 48).shape
        (2, 48, 48, 3)
    """
    if images.shape[1:3] == (size, size):
        return images
    if isinstance(images, ImagesOnDisk):
        return images.resized(size)
    # Pillow knows no (H, W, 1): each channel is a gray picture of its own.
    planes = [
        np.stack([np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR)) for p in channel])
        for channel in np.moveaxis(images, -1, 0)
    ]
    return np.stack(planes, axis=-1)


def check_picture(path: Path | str) -> None:
    """Raise a ``DataError`` unless the file's header is that of a picture of sensible size; no pixels are decoded.

    Example:
        >>> check_picture("none.jpg")
        Traceback (most recent call last):
        fer_tf.errors.DataError: no such picture.
    """
    with _opened(path):
        pass


def check_shape(size: int, channels: int) -> None:
    """Raise a ``UserError`` unless the size is 1 to 4096 pixels and the channels are 1 or 3.

    Example:
        >>> check_shape(48, 2)
        Traceback (most recent call last):
        fer_tf.errors.UserError: channels=2 cannot be read. Expected 1 (gray) or 3 (RGB).
    """
    if not isinstance(size, int) or not 1 <= size <= 4096:
        raise UserError(f"size={size!r} is no number of pixels. Expected 1 to 4096.")
    if channels not in (1, 3):
        raise UserError(f"channels={channels!r} cannot be read. Expected 1 (gray) or 3 (RGB).")


@contextlib.contextmanager
def _upright(path: Path | str | bytes | Image.Image) -> Iterator[Image.Image]:
    """Decode a picture, turned by its EXIF orientation; whatever is wrong inside the block is a damaged picture."""
    given = isinstance(path, Image.Image)
    with _checked(path) if given else _opened(path) as picture:
        try:
            if not given:
                _check_work(path, picture)
            plain = _eight_bit(picture)
            # In place, since the other way copies every picture, turned or not; but not the caller's.
            if given:
                plain = ImageOps.exif_transpose(plain)
            else:
                ImageOps.exif_transpose(plain, in_place=True)
            yield plain
        except DataError:
            raise
        except Exception as error:
            raise DataError(_why_unread(error)) from None


@contextlib.contextmanager
def _opened(path: Path | str | bytes, reads: int = 0) -> Iterator[Image.Image]:
    """Open a picture, its header checked; ``reads`` may follow beside those that its size allows."""
    with _quiet, _open(path) as picture, _checked(picture):
        picture.counted.left = _READS + reads + picture.counted.size // _BYTES_A_READ
        yield picture


class _Counted(io.BytesIO):
    """A file in memory that may be read from so many times, since a small file can name millions of parts."""

    def __init__(self, content: bytes):
        super().__init__(content)
        self.left, self.size = _READS, len(content)

    def read(self, size: int | None = -1, /) -> bytes:
        _count(self)
        return super().read(size)


class _CountedFile(io.BufferedReader):
    """The same on disk."""

    def __init__(self, path: Path | str):
        super().__init__(open(path, "rb", buffering=0))  # noqa: PTH123, SIM115
        self.left, self.size = _READS, os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        _count(self)
        return super().read(size)


def _count(file: _Counted | _CountedFile) -> None:
    file.left -= 1
    if file.left < 0:
        raise DataError(f"too many parts. {_MADE_SLOW}")


@contextlib.contextmanager
def _checked(picture: Image.Image) -> Iterator[Image.Image]:
    """Check the size of an open picture, which stays open."""
    if not picture.width * picture.height:
        raise DataError("damaged picture (no pixels).")
    if picture.width * picture.height > MAX_PIXELS:
        raise DataError(f"{picture.width}×{picture.height} pixels. Expected at most {MAX_PIXELS:,} in all.")
    if max(picture.size) > _MAX_SIDE:
        raise DataError(f"{picture.width}×{picture.height} pixels. Expected at most {_MAX_SIDE:,} a side.")
    yield picture


def _check_work(path: Path | str | bytes, picture: Image.Image) -> None:
    """Refuse an opened picture that takes very long to decode for its size, which some formats allow."""
    pixels = picture.width * picture.height
    if picture.format in ("JPEG", "MPO"):
        scans = _count_scans(path)
        if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
            raise DataError(f"more than {min(MAX_SCANS, MAX_SCANNED // pixels)} scans. {_MADE_SLOW}")
    elif picture.format == "TIFF":
        # Of strips (279) and tiles (325), each may name the whole file.
        parts = [n for tag in (279, 325) for n in picture.tag_v2.get(tag, ())]
        if sum(parts) > 10 * picture.counted.size + 1_000_000:
            raise DataError(f"parts that overlap. {_MADE_SLOW}")
    elif picture.format == "BMP" and picture.tile[0][0] == "bmp_rle":
        if pixels > _RUN_PIXELS:
            raise DataError(f"{picture.width}×{picture.height} pixels of run lengths. Expected {_RUN_PIXELS:,} in all.")
        picture.counted.left += 2 * _RUN_PIXELS


def _count_scans(path: Path | str | bytes) -> int:
    count, last = 0, b""
    with io.BytesIO(path) if isinstance(path, bytes) else open(path, "rb") as file:  # noqa: PTH123
        while (block := file.read(1 << 20)) and count <= MAX_SCANS:
            count += sum((last + block).count(start) for start in SCAN_STARTS)
            last = block[1 - len(SCAN_STARTS[0]) :]
    return count


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _formats_for(head: bytes) -> tuple[str, ...]:
    """Return the formats to try for a file, with HEIF where it is one."""
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
        return _formats()
    try:
        import pillow_heif
    except ImportError:
        raise DataError("HEIC needs pillow-heif: pip install 'fer-tf[heic]'.") from None
    pillow_heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)


class _Quiet(contextlib.AbstractContextManager):
    """Hush Pillow's warnings about odd metadata, which are of no use to anybody here.

    ``warnings.catch_warnings`` of two threads that overlap leaves the filters of one behind: here the first thread in
    saves them and the last one out puts them back.
    """

    def __init__(self):
        self._lock, self._inside, self._saved = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self):
        with self._lock:
            if not self._inside:
                self._saved.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.close()


_quiet = _Quiet()


@contextlib.contextmanager
def _open(path: Path | str | bytes) -> Iterator[Image.Image]:
    if not isinstance(path, bytes) and not is_file(path):
        raise DataError(f"{why_no_file(path)}.")
    # A third of the time of Path.stat, and there are many.
    if not isinstance(path, bytes) and not os.path.getsize(path):  # noqa: PTH202
        raise DataError("empty file.")
    try:
        file = _Counted(path) if isinstance(path, bytes) else _CountedFile(path)
    except OSError as error:
        raise DataError(_why_unread(error)) from None
    with file:
        head = file.read(32)
        file.seek(0)
        with _identified(file, head) as picture:
            picture.counted = file
            yield picture


def _identified(file: _Counted | _CountedFile, head: bytes) -> Image.Image:
    try:
        return Image.open(file, formats=_formats_for(head))
    except DataError:
        raise
    except Image.UnidentifiedImageError:
        if file.left < 0:
            # Pillow takes the refusal of a reader for that of a format.
            raise DataError(f"too many parts. {_MADE_SLOW}") from None
        if head.startswith((b"II*\0", b"MM\0*")):
            raise DataError("a TIFF of a kind that cannot be read. Expected 8 or 16 bits a channel.") from None
        if kind_of(head) == "picture":
            raise DataError("damaged picture, or of a kind that cannot be read.") from None
        raise DataError(f"no picture. Expected one of {', '.join(FORMATS)}.") from None
    except Image.DecompressionBombError:
        raise DataError(f"too many pixels. Expected at most {MAX_PIXELS:,} in all.") from None
    except Exception as error:
        raise DataError(_why_unread(error)) from None


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Scale 16-bit gray to 8 bits; Pillow's own conversion would clip it at 255."""
    if picture.mode == "F":
        raise DataError("pixels are fractions. Expected 8 or 16 bits a channel.")
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise DataError("pixels of more than 16 bits. Expected 8 or 16 bits a channel.")
    narrow = Image.fromarray(((values * 255 + 32_767) // 65_535).astype(np.uint8))
    narrow.info["exif"] = picture.getexif().tobytes()
    return narrow


def _gray(picture: Image.Image) -> Image.Image:
    """Go to gray through RGB where colors are indexed or printed; Pillow has no direct way for all of them."""
    return (
        picture.convert("L") if picture.mode in ("L", "1", "RGB", "RGBA", "LA") else picture.convert("RGB").convert("L")
    )


def is_file(path: Path | str) -> bool:
    """Return whether a path is a regular file, in half the time of ``Path.is_file``.

    Example:
        >>> is_file("none.jpg")
        False
    """
    return os.path.isfile(path)  # noqa: PTH113


def why_no_file(path: Path | str) -> str:
    """Say why a path is no file, without the path and a full stop.

    Example:
        >>> why_no_file("none.jpg")
        'no such picture'
    """
    try:
        os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "link to nothing" if os.path.islink(path) else "no such picture"  # noqa: PTH114
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "not a file"


def _why_unread(error: Exception) -> str:
    """Say why a file gave no picture: the system's errors, which name the path, are no damage."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}."
    first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:120]
    return f"damaged picture ({first})."
