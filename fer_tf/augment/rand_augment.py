"""RandAugment: each image draws its own operations, and equal ones run together."""

from collections.abc import Callable

import numpy as np

from fer_tf.augment.geometry import affine_matrices
from fer_tf.augment.op import Op, check_number, per_image
from fer_tf.augment.photometric import blend, scale_brightness, scale_color, scale_contrast
from fer_tf.augment.warp import warp

LEVELS = 30


def posterize(images: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Keep the upper ``bits`` (B,) of each pixel's eight."""
    step = per_image(2.0 ** (8 - bits))
    return np.floor(images / step) * step


def solarize(images: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Invert the pixels at or above the image's ``threshold`` (B,)."""
    return np.where(images >= per_image(threshold), np.float32(255) - images, images)


def autocontrast(images: np.ndarray) -> np.ndarray:
    """Stretch each channel of each image to 0..255; a constant one does not change."""
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    spread = high - low
    stretched = (images - low) * (np.float32(255) / np.where(spread > 0, spread, 1))
    return np.where(spread > 0, np.clip(stretched, 0, 255), images)


def equalize(images: np.ndarray) -> np.ndarray:
    """Equalize the histogram of each channel of each image by Pillow's rule, on pixels rounded to whole levels."""
    count, height, width, channels = images.shape
    planes = np.moveaxis(np.rint(images), -1, 1).reshape(count * channels, -1).astype(np.intp)
    planes += 256 * np.arange(len(planes))[:, None]
    histogram = np.bincount(planes.ravel(), minlength=256 * len(planes)).reshape(-1, 256)
    brightest = 255 - (histogram[:, ::-1] > 0).argmax(axis=1)
    step = (height * width - histogram[np.arange(len(planes)), brightest]) // 255
    below = np.cumsum(histogram, axis=1) - histogram
    safe = np.maximum(step, 1)[:, None]
    table = np.minimum((below + safe // 2) // safe, 255)
    table = np.where(step[:, None] > 0, table, np.arange(256)).astype(np.float32)
    return np.moveaxis(table.ravel()[planes].reshape(count, channels, height, width), 1, -1)


def sharpen(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Interpolate each image between its 3×3 smoothed copy (factor 0) and itself (1); borders do not change."""
    rows = images[:, :-2] + images[:, 1:-1] + images[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * images[:, 1:-1, 1:-1]
    smooth = images.copy()
    smooth[:, 1:-1, 1:-1] = total / np.float32(13)
    return blend(smooth, images, factor)


def transform(images: np.ndarray, name: str, level: np.ndarray) -> np.ndarray:
    """Apply one operation at a strength for each image.

    Args:
        images: float32 (B, H, W, C), 0..255.
        name: a row of ``OPERATIONS``.
        level: (B,) in [-1, 1]; the sign means left or right, darker or brighter, and is ignored by other operations.

    Returns:
        A new float32 (B, H, W, C).
    """
    return OPERATIONS[name](images, np.asarray(level, np.float64))


# Operations that move pixels → degrees, shift (x, y) as a share of the side, and slant (x, y) at full strength, as
# torchvision draws them.
MOVES: dict[str, tuple[float, float, float, float, float]] = {
    "shear_x": (0, 0, 0, 0.3, 0),
    "shear_y": (0, 0, 0, 0, 0.3),
    "translate_x": (0, 150 / 331, 0, 0, 0),
    "translate_y": (0, 0, 150 / 331, 0, 0),
    "rotate": (30, 0, 0, 0, 0),
}


def _move(images: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Move the pixels of each image by its row of ``strengths`` (B, 5), ordered as in ``MOVES``."""
    size = images.shape[1:3]
    shift = strengths[:, 1:3] * (size[1], size[0])
    return warp(images, affine_matrices(size, strengths[:, 0], shift, shear=strengths[:, 3:]), size, "constant")


# Ranges of torchvision's AutoAugment operations, at full strength.
OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "identity": lambda images, level: images.copy(),
    **{name: lambda images, level, at=at: _move(images, level[:, None] * at) for name, at in MOVES.items()},
    "brightness": lambda images, level: scale_brightness(images, 1 + 0.9 * level),
    "contrast": lambda images, level: scale_contrast(images, 1 + 0.9 * level),
    "sharpness": lambda images, level: sharpen(images, 1 + 0.9 * level),
    "posterize": lambda images, level: posterize(images, 8 - np.rint(4 * np.abs(level))),
    "solarize": lambda images, level: solarize(images, 255 * (1 - np.abs(level))),
    "autocontrast": lambda images, level: autocontrast(images),
    "equalize": lambda images, level: equalize(images),
    "color": lambda images, level: scale_color(images, 1 + 0.9 * level),
}


def randaugment(n: int = 2, m: float = 9) -> Op:
    """Apply random operations to each image, all at one strength and with random signs.

    Gray faces draw from the 13 operations other than color, which would not change them.

    Args:
        n: number of operations for each image.
        m: strength, 0 to 30.

    References:
        Cubuk et al., RandAugment, arXiv 1909.13719.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.randaugment(n=2, m=9)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    check_number("randaugment", "n", n, 0, whole=True)
    check_number("randaugment", "m", m, 0, LEVELS)

    def op(images, targets, rng):
        names = [name for name in OPERATIONS if name != "color" or images.shape[-1] == 3]
        moves = np.array([name in MOVES for name in names])
        strengths = np.array([MOVES.get(name, (0,) * 5) for name in names])
        picks = rng.integers(0, len(names), (n, len(images)))
        levels = rng.choice((-1.0, 1.0), picks.shape) * (m / LEVELS)
        images = images.copy()
        for pick, level in zip(picks, levels, strict=True):
            # All moves in one warp: a call an operation would take twice as long.
            rows = np.flatnonzero(moves[pick])
            images[rows] = _move(images[rows], level[rows, None] * strengths[pick[rows]])
            for which in np.unique(pick[~moves[pick]]):
                rows = np.flatnonzero(pick == which)
                images[rows] = transform(images[rows], names[which], level[rows])
        return images, targets

    return op
