"""One export of a small network that all tests look at, and files of every kind of picture."""

import importlib.util
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.serving import savedmodel
from fer_tf.serving.session import served

SPEC = importlib.util.spec_from_file_location("small", Path(__file__).with_name("small.py"))
small = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(small)
encoded, network = small.encoded, small.network


@pytest.fixture(scope="session")
def classifier():
    return ExpressionClassifier(network())


@pytest.fixture(scope="session")
def version(classifier, tmp_path_factory):
    """The folder of an exported version."""
    return savedmodel.export(classifier, tmp_path_factory.mktemp("saved_models") / "moods", max_faces=3)


@pytest.fixture(scope="session")
def run(version):
    """Run a signature of the export in a version-1 session."""
    with served(version) as function:
        yield function


@pytest.fixture(scope="session")
def portrait():
    """The file of a photograph of one person."""
    return (Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").read_bytes()


@pytest.fixture(scope="session")
def picture():
    """A smooth picture of 80×60 in all colours."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def good(picture):
    """Files that can be decoded, by what they are."""
    gray, palette = picture.convert("L"), picture.quantize(64)
    other = picture.rotate(180)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 256 + 77)
    return {
        "png": encoded(picture, "PNG"), "rgba": encoded(picture.convert("RGBA"), "PNG"),
        "palette": encoded(palette, "PNG"), "gray": encoded(gray, "PNG"),
        "gray+alpha": encoded(gray.convert("LA"), "PNG"),
        "one bit": encoded(picture.convert("1"), "PNG"), "16 bits": encoded(deep, "PNG"),
        "jpeg": encoded(picture, "JPEG"), "progressive": encoded(picture, "JPEG", progressive=True),
        "gray jpeg": encoded(gray, "JPEG"), "cmyk jpeg": encoded(picture.convert("CMYK"), "JPEG"),
        "gif": encoded(palette, "GIF"), "interlaced gif": encoded(palette, "GIF", interlace=1),
        "moving gif": encoded(picture, "GIF", save_all=True, append_images=[other, gray], duration=50, loop=0),
        "bmp": encoded(picture, "BMP"), "bmp 32": encoded(picture.convert("RGBA"), "BMP"),
        "gray bmp": encoded(gray, "BMP"),
        "webp": encoded(picture, "WEBP"), "lossless webp": encoded(picture, "WEBP", lossless=True),
        "webp+alpha": encoded(picture.convert("RGBA"), "WEBP"),
    }  # fmt: skip


@pytest.fixture(scope="session")
def bad(picture, good):
    """Files that cannot, by what they are."""
    other = picture.rotate(180)
    return {
        "empty": b"", "text": b"<html>no picture</html>", "one byte": b"\xff", "riff": b"RIFF",
        "jpeg's start": b"\xff\xd8\xff",
        "png's start": good["png"][:12], "gif's start": good["gif"][:11], "bmp's start": good["bmp"][:20],
        "webp's start": good["webp"][:18], "png's header": good["png"][:33],
        "cut png": good["png"][:-600], "cut jpeg": good["jpeg"][: len(good["jpeg"]) * 2 // 3],
        "cut gif": good["gif"][: len(good["gif"]) * 2 // 3], "cut bmp": good["bmp"][:-600],
        "cut webp": good["webp"][:-100], "broken png": good["png"][:60] + b"12345678" + good["png"][68:],
        "palette bmp": encoded(picture.quantize(64), "BMP"), "tiff": encoded(picture, "TIFF"),
        "moving webp": encoded(picture, "WEBP", save_all=True, append_images=[other]),
        "zeros": bytes(4000),
        "no size": good["png"][:16] + bytes(8) + good["png"][24:],
    }  # fmt: skip
