"""Small made-up datasets in the layouts of the real ones."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch) -> Path:
    """Give every test a cache of its own."""
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
def layouts() -> ModuleType:
    """The writers of made-up releases, one a dataset; a file beside the tests, which are no package."""
    spec = importlib.util.spec_from_file_location("layouts", Path(__file__).parent / "layouts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
