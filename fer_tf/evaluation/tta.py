"""Create the crops and mirror images of test-time augmentation."""

from collections.abc import Iterator

import numpy as np

from fer_tf.errors import UserError

VIEWS = ("center", "flip", "ten_crop")


def crop_offsets(image: tuple[int, int], crop: tuple[int, int], view: str) -> list[tuple[int, int]]:
    """Return the top left corners of the crops of a view.

    ``"ten_crop"`` has five crops: top left, top right, bottom left, bottom right and center, in torchvision's order;
    only one where the crop is the whole image. The other views have the center.

    Args:
        image: (H, W) in pixels.
        crop: (h, w) in pixels, at most (H, W).
        view: one of ``VIEWS``.

    Returns:
        A list of (top, left) in pixels.

    Raises:
        UserError: an unknown view, or a crop that is larger than the image.

    Example:
        >>> crop_offsets((48, 48), (40, 40), "ten_crop")
        [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
    """
    if view not in VIEWS:
        raise UserError(f"Unknown view {view!r}. Available: {', '.join(VIEWS)}.")
    down, right = image[0] - crop[0], image[1] - crop[1]
    if down < 0 or right < 0:
        raise UserError(f"Images of {image[0]}×{image[1]} are smaller than the crop of {crop[0]}×{crop[1]}.")
    center = (round(down / 2), round(right / 2))
    if view == "ten_crop" and (down or right):
        return [(0, 0), (0, right), (down, 0), (down, right), center]
    return [center]


def mirrored_pairs(images: np.ndarray, crop: tuple[int, int], view: str) -> Iterator[list[np.ndarray]]:
    """Yield the crops of a batch, each with the same crop of the mirrored images.

    Args:
        images: (N, H, W, C).
        crop: (h, w) in pixels.
        view: ``"center"`` yields one crop without a mirror image; ``"flip"`` one pair; ``"ten_crop"`` five pairs: the
            first members, then the second members, are torchvision's ten crops in order.

    Yields:
        A list of one or two float32 arrays (N, h, w, C).

    Example:
        >>> [len(pair) for pair in mirrored_pairs(np.zeros((2, 48, 48, 1)), (40, 40), "flip")]
        [2]
    """
    sides = [images] if view == "center" else [images, images[:, :, ::-1]]
    for top, left in crop_offsets(images.shape[1:3], crop, view):
        yield [np.ascontiguousarray(s[:, top : top + crop[0], left : left + crop[1]], np.float32) for s in sides]
