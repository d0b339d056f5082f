"""Change brightness, contrast, gamma, noise and blur, drawn for each image."""

from collections.abc import Callable

import numpy as np

from fer_tf.augment.op import Op, check_number, chosen, per_image

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
