"""Layers that Keras lacks, each with ``get_config`` and ``keras.ops`` only."""

import importlib
import pkgutil


def register() -> None:
    """Import every layer of this package, so that Keras can read files that hold them."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
