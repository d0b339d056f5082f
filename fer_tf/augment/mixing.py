"""Mix faces and their targets: MixUp, CutMix; draw one label from a distribution."""

import numpy as np

from fer_tf.augment.op import Op, check_number, per_image


def mix(
    images: np.ndarray, targets: np.ndarray, partner: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each face with its partner.

    Args:
        images: float32 (B, H, W, C).
        targets: float32 (B, classes).
        partner: int (B,), rows of the batch.
        share: (B,) in [0, 1], the weight of the face itself.
    """
    weight = per_image(share)
    mixed = images * weight
    mixed += images[partner] * (1 - weight)
    return mixed, _mix_targets(targets, partner, share)


def paste(
    images: np.ndarray, targets: np.ndarray, partner: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paste each face's partner in a box (B, 4) of x0, y0, x1, y1; targets are mixed by the area of the box."""
    pasted = images.copy()
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        pasted[i, y0:y1, x0:x1] = images[partner[i], y0:y1, x0:x1]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return pasted, _mix_targets(targets, partner, 1 - area / (images.shape[1] * images.shape[2]))


def _mix_targets(targets: np.ndarray, partner: np.ndarray, share: np.ndarray) -> np.ndarray:
    weight = np.asarray(share, np.float32)[:, None]
    return targets * weight + targets[partner] * (1 - weight)


def draw_boxes(share: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw boxes of area ``1 - share`` and the aspect of the image around random pixels, cropped at the border."""
    limit = np.array([size[1], size[0]])
    side = np.sqrt(1 - share)[:, None] * limit
    center = rng.integers(0, limit, (len(share), 2))
    low, high = np.rint(center - side / 2), np.rint(center + side / 2)
    return np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1).astype(int)


def pick(targets: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return one-hot rows of the classes where the cumulative sum of a row exceeds ``uniform`` (B,) in [0, 1)."""
    running = np.cumsum(targets, axis=1, dtype=np.float64)
    column = (running > (uniform * running[:, -1])[:, None]).argmax(axis=1)
    return np.eye(targets.shape[1], dtype=np.float32)[column]


def mixup(alpha: float = 0.2) -> Op:
    """Blend each face and its target with another one of the batch.

    Args:
        alpha: the weight of a face is drawn from Beta(alpha, alpha).

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, arXiv 1710.09412.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.mixup(alpha=0.4)(faces, rows, rng)
        >>> targets.sum(axis=1)
        array([1., 1.], dtype=float32)
    """
    check_number("mixup", "alpha", alpha, 1e-6)

    def op(images, targets, rng):
        n = len(images)
        return mix(images, targets, rng.permutation(n), rng.beta(alpha, alpha, n))

    return op


def cutmix(alpha: float = 1.0) -> Op:
    """Paste a box of another face of the batch; targets are mixed by its area.

    Args:
        alpha: the area outside the box is drawn from Beta(alpha, alpha).

    References:
        Yun et al., CutMix, arXiv 1905.04899.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.cutmix(alpha=1.0)(faces, rows, rng)
        >>> targets.sum(axis=1)
        array([1., 1.], dtype=float32)
    """
    check_number("cutmix", "alpha", alpha, 1e-6)

    def op(images, targets, rng):
        n = len(images)
        partner, share = rng.permutation(n), rng.beta(alpha, alpha, n)
        return paste(images, targets, partner, draw_boxes(share, images.shape[1:3], rng))

    return op


def sample_target() -> Op:
    """Replace each target by a one-hot row drawn from it, FER+'s probability mode.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rows = np.zeros((2, 8, 8, 1), "float32"), np.array([[0.5, 0.5], [0, 1]], "float32")
        >>> _, targets = fer_tf.augment.sample_target()(faces, rows, np.random.default_rng(0))
        >>> targets[1]
        array([0., 1.], dtype=float32)

    References:
        arXiv 1608.01041
    """

    def op(images, targets, rng):
        # In float32 the largest draw is 1 - 2⁻²⁴: its product with the sum of a row stays below that sum.
        return images, pick(targets, rng.random(len(targets), dtype=np.float32).astype(np.float64))

    return op
