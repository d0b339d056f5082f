"""The views of a face that are averaged at test time: crops and their mirrors."""

from collections.abc import Iterator

import numpy as np

from fer_tf.errors import UserError

VIEWS = ("center", "flip", "ten_crop")


def crop_offsets(image: tuple[int, int], crop: tuple[int, int], view: str) -> list[tuple[int, int]]:
    """Return the (top, left) corners of a view's crops, in pixels.

    ``ten_crop`` has top-left, top-right, bottom-left, bottom-right, centre, as torchvision orders them; one corner
    only when the crop is the whole image. The other views have the centre.

    Args:
        image: (H, W).
        crop: (h, w), at most (H, W).
        view: one of ``VIEWS``.

    Raises:
        UserError: an unknown view, or a crop that is larger than the image.
    """
    if view not in VIEWS:
        raise UserError(f"Unknown view {view!r}. Available: {', '.join(VIEWS)}.")
    down, right = image[0] - crop[0], image[1] - crop[1]
    if down < 0 or right < 0:
        raise UserError(f"Images of {image[0]}×{image[1]} are smaller than the crop of {crop[0]}×{crop[1]}.")
    centre = (round(down / 2), round(right / 2))
    if view == "ten_crop" and (down or right):
        return [(0, 0), (0, right), (down, 0), (down, right), centre]
    return [centre]


def mirrored_pairs(images: np.ndarray, crop: tuple[int, int], view: str) -> Iterator[list[np.ndarray]]:
    """Yield, crop by crop, the batches to be averaged: the crop, and with mirrors the same crop of the mirrored face.

    Args:
        images: (N, H, W, C).
        crop: (h, w).
        view: ``"center"`` yields one batch; ``"flip"`` one pair; ``"ten_crop"`` five pairs, whose first members and
            then second members are torchvision's ten crops in order.

    Yields:
        A list of one or two float32 arrays (N, h, w, C).
    """
    sides = [images] if view == "center" else [images, images[:, :, ::-1]]
    for top, left in crop_offsets(images.shape[1:3], crop, view):
        yield [np.ascontiguousarray(s[:, top : top + crop[0], left : left + crop[1]], np.float32) for s in sides]
