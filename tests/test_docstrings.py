"""Every exported name has a docstring whose example runs."""

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
from pathlib import Path

import pytest

import fer_tf

# Packages whose names are commands or page parts, not an API.
COMMANDS = {"fer_tf.demo"}


def packages():
    """Return the package, its sub-packages, its statistics and its optimizers, which list their public names."""
    found = [m.name for m in pkgutil.walk_packages(fer_tf.__path__, "fer_tf.") if m.ispkg and m.name not in COMMANDS]
    found += ["fer_tf.stats", "fer_tf.training.optimizers"]
    return [name for name in ["fer_tf", *found] if hasattr(importlib.import_module(name), "__all__")]


def exported():
    """Return (package, name) of each exported function and class."""
    for package in packages():
        for name in importlib.import_module(package).__all__:
            yield package, name


def described(package, name):
    thing = getattr(importlib.import_module(package), name)
    return thing if inspect.isclass(thing) or inspect.isfunction(thing) else None


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Write a small release of each dataset into data/<name>, where the examples read them."""
    path = Path(__file__).parent / "datasets" / "layouts.py"
    spec = importlib.util.spec_from_file_location("layouts", path)
    layouts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(layouts)
    root = tmp_path_factory.mktemp("releases")
    for name, write in layouts.WRITERS.items():
        (root / "data" / name).mkdir(parents=True)
        write(root / "data" / name)
    return root


@pytest.fixture(autouse=True)
def in_its_own_folder(releases, monkeypatch):
    monkeypatch.chdir(releases)


@pytest.mark.parametrize(("package", "name"), list(exported()))
def test_an_exported_name_has_an_example_that_runs(package, name):
    thing = described(package, name)
    if thing is None:
        return
    assert thing.__doc__, f"{package}.{name} has no docstring"
    first = thing.__doc__.splitlines()[0]
    assert first.endswith(".") and len(first) <= 120
    tests = [t for t in doctest.DocTestFinder(recurse=False).find(thing, name) if t.examples]
    assert tests, f"{package}.{name} has no example"
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    for test in tests:
        said = []
        doctest.DocTestRunner(optionflags=flags).run(test, out=said.append)
        assert not said, "".join(said)
