"""TensorFlow Serving's official message classes, where they are installed."""

import importlib
import importlib.util
from types import ModuleType

from fer_tf.errors import UserError

MISSING = "This needs TensorFlow Serving's messages: pip install 'fer-tf[serving]'."


def apis(module: str) -> ModuleType:
    """Import a module of ``tensorflow_serving.apis``.

    Raises:
        UserError: the extra ``serving`` is not installed.
    """
    if not installed():
        raise UserError(MISSING)
    return importlib.import_module(f"tensorflow_serving.apis.{module}")


def installed() -> bool:
    """Tell whether they are there, without importing them, which imports TensorFlow."""
    return importlib.util.find_spec("tensorflow_serving") is not None and importlib.util.find_spec("grpc") is not None
