import pytest


@pytest.fixture(autouse=True)
def _own_cache(cache_folder):
    """Give every test a cache of its own."""
