"""Mix faces and their targets (MixUp, CutMix), or erase random rectangles."""

from numbers import Real

import numpy as np

from fer_tf.augment.warp import Op, check_choice, check_number, check_range, chosen, per_image


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


def erase(images: np.ndarray, boxes: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Paint one rectangle in each image.

    Args:
        images: float32 (B, H, W, C).
        boxes: int (B, 4): x0, y0, x1, y1 in pixels, ends excluded; an empty box paints nothing.
        paint: pixels that the rectangles show; broadcasts to ``images``.

    Returns:
        A new float32 (B, H, W, C).
    """
    images, paint = images.copy(), np.broadcast_to(paint, images.shape)
    # One slice for each image costs a third of masks over the whole batch.
    for i in np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])):
        x0, y0, x1, y1 = boxes[i].tolist()
        images[i, y0:y1, x0:x1] = paint[i, y0:y1, x0:x1]
    return images


def draw_rectangles(
    count: int,
    size: tuple[int, int],
    area: tuple[float, float],
    aspect: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw rectangles inside the image: ten tries of area and aspect, else an empty one.

    Returns:
        int (count, 4): x0, y0, x1, y1 in pixels, ends excluded.
    """
    tries = (count, 10)
    pixels = rng.uniform(*area, tries) * size[0] * size[1]
    ratio = np.exp(rng.uniform(*np.log(aspect), tries))
    width, height = np.rint(np.sqrt(pixels * ratio)).astype(int), np.rint(np.sqrt(pixels / ratio)).astype(int)
    fits = (width < size[1]) & (height < size[0])
    rows, first, some = np.arange(count), fits.argmax(axis=1), fits.any(axis=1)
    width, height = width[rows, first] * some, height[rows, first] * some
    x0, y0 = rng.integers(0, size[1] - width + 1), rng.integers(0, size[0] - height + 1)
    return np.stack([x0, y0, x0 + width, y0 + height], axis=1)


def draw_squares(count: int, size: tuple[int, int], side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw squares around random pixels, cropped at the border; int (count, 4) as ``draw_rectangles``."""
    center = rng.integers(0, (size[1], size[0]), (count, 2))
    low = center - side // 2
    limit = (size[1], size[0])
    return np.concatenate([np.clip(low, 0, limit), np.clip(low + side, 0, limit)], axis=1)


def erasing(
    p: float = 0.5,
    area: tuple[float, float] = (0.02, 0.33),
    aspect: tuple[float, float] = (0.3, 3.3),
    fill: Real | str = 0,
) -> Op:
    """Paint over a random rectangle, like torchvision's RandomErasing.

    Args:
        p: probability.
        area: smallest and largest area, as a fraction of the image.
        aspect: smallest and largest ratio of width to height, drawn log-uniformly.
        fill: gray level 0..255, ``"mean"`` (of each image) or ``"noise"`` (uniform for each pixel). Where a model
            subtracts a mean, torchvision's 0 is that mean.

    References:
        Zhong et al., Random Erasing Data Augmentation, arXiv 1708.04896.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.erasing(p=1.0)(faces, rows, rng)
        >>> bool((out == 0).any())
        True
    """
    check_number("erasing", "p", p, 0, 1)
    check_range("erasing", "area", area, 0)
    check_range("erasing", "aspect", aspect, 1e-4)
    _check_fill("erasing", fill)

    def op(images, targets, rng):
        boxes = draw_rectangles(len(images), images.shape[1:3], area, aspect, rng)
        boxes = boxes * chosen(len(images), p, rng)[:, None]
        return erase(images, boxes, _paint(images, fill, rng)), targets

    return op


def cutout(size: int = 16, p: float = 1.0, fill: Real | str = 0) -> Op:
    """Paint over a square around a random pixel, cropped at the border.

    Args:
        size: side of the square in pixels.
        p: probability.
        fill: gray level 0..255, ``"mean"`` (of each image) or ``"noise"`` (uniform for each pixel).

    References:
        DeVries and Taylor, Improved Regularization of CNNs with Cutout, arXiv 1708.04552.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.cutout(size=4)(faces, rows, rng)
        >>> bool((out == 0).any())
        True
    """
    check_number("cutout", "size", size, 0, whole=True)
    check_number("cutout", "p", p, 0, 1)
    _check_fill("cutout", fill)

    def op(images, targets, rng):
        boxes = draw_squares(len(images), images.shape[1:3], size, rng)
        boxes = boxes * chosen(len(images), p, rng)[:, None]
        return erase(images, boxes, _paint(images, fill, rng)), targets

    return op


def _check_fill(op: str, fill: Real | str) -> None:
    if isinstance(fill, str):
        check_choice(op, "fill", fill, ("mean", "noise"))
    else:
        check_number(op, "fill", fill, 0, 255)


def _paint(images: np.ndarray, fill: Real | str, rng: np.random.Generator) -> np.ndarray:
    if fill == "mean":
        return images.mean(axis=(1, 2), keepdims=True)
    if fill == "noise":
        return rng.random(images.shape, dtype=np.float32) * np.float32(255)
    return np.float32(fill)
