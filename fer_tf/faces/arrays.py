"""One formula for arrays and tensors: NumPy and ``keras.ops`` call the same things by the same names."""

from types import ModuleType
from typing import Any

import numpy as np


def library(*values: Any) -> ModuleType:
    """Return NumPy where all values are arrays or plain numbers, else ``keras.ops``.

    A small operation on an array takes NumPy a microsecond, and TensorFlow outside of a graph a hundred.
    """
    if all(isinstance(v, np.ndarray | np.generic | int | float) for v in values):
        return np
    from keras import ops

    return ops
