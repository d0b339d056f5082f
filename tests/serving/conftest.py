"""One export of a small network that all tests look at, and files of every kind of picture."""

import importlib.util
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from fer_tf.inference.classifier import ExpressionClassifier
from fer_tf.serving import savedmodel
from fer_tf.serving.devices import open_session

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
    with open_session(version) as function:
        yield function


@pytest.fixture(scope="session")
def portrait():
    """The file of a photograph of one person."""
    return (Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").read_bytes()


@pytest.fixture(scope="session")
def picture():
    """A smooth picture of 80×60 in all colors."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)).resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def good(picture):
    """Files that can be decoded, by what they are."""
    gray, palette = picture.convert("L"), picture.quantize(64)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 256 + 77)
    return {
        "png": encoded(picture, "PNG"), "rgba": encoded(picture.convert("RGBA"), "PNG"),
        "palette": encoded(palette, "PNG"), "gray": encoded(gray, "PNG"),
        "gray+alpha": encoded(gray.convert("LA"), "PNG"),
        "one bit": encoded(picture.convert("1"), "PNG"), "16 bits": encoded(deep, "PNG"),
        "jpeg": encoded(picture, "JPEG"), "progressive": encoded(picture, "JPEG", progressive=True),
        "gray jpeg": encoded(gray, "JPEG"), "cmyk jpeg": encoded(picture.convert("CMYK"), "JPEG"),
    }  # fmt: skip


@pytest.fixture(scope="session")
def bad(picture, good):
    """Files that cannot, by what they are."""
    return {
        "empty": b"", "text": b"<html>no picture</html>", "one byte": b"\xff", "riff": b"RIFF",
        "jpeg's start": b"\xff\xd8\xff",
        "png's start": good["png"][:12], "png's header": good["png"][:33],
        "cut png": good["png"][:-600], "cut jpeg": good["jpeg"][: len(good["jpeg"]) * 2 // 3],
        "gif": encoded(picture.quantize(64), "GIF"), "bmp": encoded(picture, "BMP"), "webp": encoded(picture, "WEBP"),
        "broken png": good["png"][:60] + b"12345678" + good["png"][68:],
        "tiff": encoded(picture, "TIFF"),
        "zeros": bytes(4000),
        "no size": good["png"][:16] + bytes(8) + good["png"][24:],
    }  # fmt: skip
