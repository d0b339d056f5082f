"""The type of an augmentation, and checks of its arguments."""

from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

from fer_tf.errors import UserError

# op(images float32 (B,H,W,C) in 0..255, targets float32 (B,classes), rng) -> (images, targets), new arrays
Op = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def check_number(op: str, name: str, value: Real, low: float, high: float = np.inf, whole: bool = False) -> None:
    """Raise a ``UserError`` unless ``value`` is a (whole) number in [low, high]."""
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        noun = "a whole number" if whole else "a number"
        wanted = f"{noun} in [{low}, {high}]" if np.isfinite(high) else f"{noun} ≥ {low}"
        raise UserError(f"Augmentation {op!r}: {name}={value!r}. Expected {wanted}.")


def check_range(op: str, name: str, value: tuple[Real, Real], low: float) -> None:
    """Raise a ``UserError`` unless ``value`` is a pair (smallest, largest) of numbers ≥ low."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise UserError(f"Augmentation {op!r}: {name}={value!r}. Expected a pair (smallest, largest).")
    check_number(op, name, value[0], low)
    check_number(op, name, value[1], value[0])


def check_choice(op: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ``UserError`` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise UserError(f"Augmentation {op!r}: {name}={value!r}. Expected one of {', '.join(map(repr, choices))}.")


def chosen(n: int, p: float, rng: np.random.Generator) -> np.ndarray:
    """Draw booleans (n,), true with probability ``p``."""
    return rng.random(n) < p


def per_image(values: np.ndarray) -> np.ndarray:
    """Reshape values (n,) to float32 (n, 1, 1, 1), which broadcasts to a batch of images."""
    return np.asarray(values, dtype=np.float32).reshape(-1, 1, 1, 1)
