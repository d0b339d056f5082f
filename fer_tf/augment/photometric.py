"""Change brightness, contrast, noise and blur; RandAugment."""

from collections.abc import Callable

import numpy as np

from fer_tf.augment.geometry import affine_matrices
from fer_tf.augment.warp import Op, check_number, chosen, per_image, warp

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_gray(images: np.ndarray) -> np.ndarray:
    """Return the luma (B, H, W, 1) of gray or RGB images."""
    return images if images.shape[-1] == 1 else (images @ LUMA)[..., None]


def blend(first: np.ndarray, second: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Interpolate from ``first`` (factor 0) to ``second`` (1), or extrapolate, clipped to 0..255; ``factor`` (B,)."""
    mixed = second - first
    mixed *= per_image(factor)
    mixed += first
    return np.clip(mixed, 0, 255, out=mixed)


def scale_brightness(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Multiply each image by its factor (B,), clipped to 0..255."""
    return np.clip(images * per_image(factor), 0, 255)


def scale_contrast(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Interpolate each image between its mean gray (factor 0) and itself (1), or extrapolate."""
    return blend(to_gray(images).mean(axis=(1, 2, 3), keepdims=True), images, factor)


def scale_color(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Interpolate each image between gray (factor 0) and itself (1), or extrapolate; gray images do not change."""
    return blend(to_gray(images), images, factor)


def apply_gamma(images: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """Raise each image, scaled to 0..1, to its exponent (B,); above 1 darkens."""
    return np.power(images / np.float32(255), per_image(exponent)) * np.float32(255)


def add_noise(images: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Add ``noise`` (B, H, W, C), clipped to 0..255."""
    return np.clip(images + noise, 0, 255)


def gaussian_blur(images: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Blur each image with its own standard deviation (B,) in pixels, edges repeated; 0 does not change it."""
    radius = int(np.ceil(3 * sigma.max(initial=0)))
    if not radius:
        return images.copy()
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / np.maximum(sigma, 1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    for axis in (1, 2):
        width = [(0, 0)] * 4
        width[axis] = (radius, radius)
        padded, length = np.pad(images, width, mode="edge"), images.shape[axis]
        images = np.zeros_like(images)
        for tap in range(2 * radius + 1):
            part = padded[:, tap : tap + length] if axis == 1 else padded[:, :, tap : tap + length]
            images += part * per_image(kernel[:, tap])
    return np.clip(images, 0, 255, out=images)


def brightness(delta: float = 0.2, p: float = 1.0) -> Op:
    """Multiply pixels by a factor from [1 - delta, 1 + delta].

    Args:
        delta: largest change of the factor.
        p: probability for each image.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.brightness(delta=0.3)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    return _factor_op("brightness", scale_brightness, delta, p)


def contrast(delta: float = 0.2, p: float = 1.0) -> Op:
    """Scale the contrast to the mean gray by a factor from [1 - delta, 1 + delta].

    Args:
        delta: largest change of the factor.
        p: probability for each image.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.contrast(delta=0.3)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    return _factor_op("contrast", scale_contrast, delta, p)


def _factor_op(name: str, apply: Callable[[np.ndarray, np.ndarray], np.ndarray], delta: float, p: float) -> Op:
    check_number(name, "delta", delta, 0, 1)
    check_number(name, "p", p, 0, 1)

    def op(images, targets, rng):
        factor = np.where(chosen(len(images), p, rng), rng.uniform(1 - delta, 1 + delta, len(images)), 1)
        return apply(images, factor), targets

    return op


def gamma(delta: float = 0.2, p: float = 1.0) -> Op:
    """Raise pixels to an exponent from [1 / (1 + delta), 1 + delta], log-uniform.

    Args:
        delta: largest exponent minus 1.
        p: probability for each image.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.gamma(delta=0.3)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    check_number("gamma", "delta", delta, 0)
    check_number("gamma", "p", p, 0, 1)
    limit = np.log1p(delta)

    def op(images, targets, rng):
        exponent = np.exp(rng.uniform(-limit, limit, len(images)) * chosen(len(images), p, rng))
        return apply_gamma(images, exponent), targets

    return op


def noise(std: float = 10.0, p: float = 0.5) -> Op:
    """Add Gaussian noise.

    Args:
        std: largest standard deviation in gray levels; each image draws from [0, std].
        p: probability for each image.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.noise(std=5)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    check_number("noise", "std", std, 0)
    check_number("noise", "p", p, 0, 1)

    def op(images, targets, rng):
        deviation = rng.uniform(0, std, len(images)) * chosen(len(images), p, rng)
        drawn = rng.standard_normal(images.shape, dtype=np.float32) * per_image(deviation)
        return add_noise(images, drawn), targets

    return op


def blur(sigma: float = 1.0, p: float = 0.5) -> Op:
    """Blur with a Gaussian.

    Args:
        sigma: largest standard deviation in pixels; each image draws from [0, sigma].
        p: probability for each image.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.blur(sigma=0.8)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    check_number("blur", "sigma", sigma, 0)
    check_number("blur", "p", p, 0, 1)

    def op(images, targets, rng):
        drawn = rng.uniform(0, sigma, len(images)) * chosen(len(images), p, rng)
        return gaussian_blur(images, drawn), targets

    return op


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
