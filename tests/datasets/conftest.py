"""Small made-up datasets in the layouts of the real ones."""

from pathlib import Path

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
