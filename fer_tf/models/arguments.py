"""Arguments that all model builders share, checked and put into one form."""

from collections.abc import Sequence
from typing import Any

import keras

from fer_tf import callstring
from fer_tf.errors import UserError


def scaled(units: Sequence[int], width: float) -> tuple[int, ...]:
    """Multiply layer sizes by ``width``, each at least 1."""
    if not width > 0:
        raise UserError(f"width must be above 0, got {width!r}.")
    return tuple(max(1, round(u * width)) for u in units)


def per_block(depth: int | Sequence[int], blocks: int) -> tuple[int, ...]:
    """Return how many convolutions each block has, from one number for all or one a block."""
    depths = (depth,) * blocks if isinstance(depth, int) else tuple(depth)
    if len(depths) != blocks or min(depths, default=0) < 1:
        raise UserError(f"depth must be a number above 0 or {blocks} of them, one a block; got {depth!r}.")
    return depths


def check_rate(name: str, rate: float) -> float:
    """Return a dropout rate; raise a ``UserError`` unless it is in [0, 1)."""
    if not 0 <= rate < 1:
        raise UserError(f"{name} must be at least 0 and below 1, got {rate!r}.")
    return rate


def check_image_shape(image_shape: Sequence[int], halvings: int) -> tuple[int, int, int]:
    """Return (H, W, channels); raise a ``UserError`` when ``halvings`` poolings leave nothing of H or W."""
    shape = tuple(image_shape)
    if len(shape) != 3:
        raise UserError(f"image_shape must be (height, width, channels), got {image_shape!r}.")
    if min(shape[:2]) < 2**halvings:
        raise UserError(f"image_shape {shape} is too small: {halvings} halvings need at least {2**halvings} pixels.")
    return shape


def regularizer(identifier: Any) -> keras.regularizers.Regularizer | None:
    """Return a Keras regulariser from itself, its name, its config, or a call string ``"l2(l2=0.0001)"``."""
    config = identifier
    if isinstance(identifier, str):
        name, keywords = callstring.parse(identifier)
        config = {"class_name": name, "config": keywords}
    try:
        return keras.regularizers.get(config)
    except (ValueError, TypeError):
        raise UserError(f"Unknown kernel_regularizer {identifier!r}. Expected such as 'l2(l2=0.0001)'.") from None
