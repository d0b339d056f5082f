"""Fixtures that several rooms share."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Commands that only look at faces turn oneDNN on; some trainings die in it on AMD processors (TensorFlow 2.21), and
# what a test leaves in the environment reaches the programs that later tests start.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
from PIL import Image

from fer_tf.faces.detectors import DETECTORS


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep the tests' dataset caches out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_TF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the user's fer2013.csv and fer2013new.csv."""
    folder = os.environ.get("FER_TF_DATA")
    if not folder:
        pytest.skip("FER_TF_DATA is unset; set it to the folder with fer2013.csv and fer2013new.csv")
    return Path(folder)


@pytest.fixture
def cache_folder(tmp_path_factory, monkeypatch) -> Path:
    """Give a test a cache of its own; return its folder."""
    folder = tmp_path_factory.mktemp("home") / "cache"
    monkeypatch.setenv("FER_TF_CACHE", str(folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def picture(rng):
    """Return a function that writes a noise picture and returns its pixels."""

    def write(path: Path, mode: str = "L", side: int = 48) -> np.ndarray:
        shape = (side, side) if mode == "L" else (side, side, len(mode))
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return pixels

    return write


@pytest.fixture(scope="session")
def squares() -> str:
    """Register the detector of red squares, as users may register their own; return its name."""
    spec = importlib.util.spec_from_file_location("drawn", Path(__file__).parent / "faces" / "drawn.py")
    sys.modules["drawn"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    DETECTORS.add("squares", "drawn:RedSquares", landmarks=5, extra="")
    return "squares"
