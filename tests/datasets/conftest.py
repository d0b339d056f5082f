"""Small made-up datasets in the layouts of the real ones."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(autouse=True)
def _own_cache(cache_folder):
    """Give every test a cache of its own."""


@pytest.fixture(scope="session")
def layouts() -> ModuleType:
    """The writers of made-up releases, one a dataset; a file beside the tests, which are no package."""
    spec = importlib.util.spec_from_file_location("layouts", Path(__file__).parent / "layouts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
