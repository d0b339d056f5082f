"""Corruptions of light: more of it, less of it, less contrast. Whole-number arithmetic, halves rounded up."""

import numpy as np

from fer_tf.robustness.faces import Faces


def brighter(faces: Faces, levels: int) -> np.ndarray:
    """Add gray levels to every value; what exceeds 255 is lost."""
    return np.minimum(faces.images.astype(np.int16) + levels, 255).astype(np.uint8)


def darker(faces: Faces, share: float) -> np.ndarray:
    """Leave a share of the light, in 256ths, of every value: few levels remain, as of a camera in the dark."""
    return ((faces.images.astype(np.int32) * round(256 * share) + 128) >> 8).astype(np.uint8)


def contrast(faces: Faces, share: float) -> np.ndarray:
    """Leave a share, in 256ths, of each value's distance from the mean of its picture."""
    images, kept = faces.images.astype(np.int64), round(256 * share)
    count = int(np.prod(images.shape[1:]))
    total = images.sum(axis=(1, 2, 3), keepdims=True)
    # Over the common denominator 256 · count, so that nothing is rounded before the end.
    value = kept * count * images + (256 - kept) * total
    return ((2 * value + 256 * count) // (512 * count)).astype(np.uint8)
