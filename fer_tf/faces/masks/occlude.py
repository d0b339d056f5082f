"""Occlude the lower face, as M-LFW-FER's face-cut variant does.

References:
    M-LFW-FER, 10.1109/ICIP42928.2021.9506047.
"""

import numpy as np

from fer_tf.augment.warp import warp
from fer_tf.errors import UserError
from fer_tf.faces.masks.head_pose import HeadPose, fit_head
from fer_tf.faces.masks.painting import check_image

# Where a mask begins: half way from the eyes to the nose tip, in eye distances below the eyes.
LEVEL = 0.3
# What is enlarged: so far to each side of the nose and above the eyes: temples and forehead are in it.
_ASIDE, _ABOVE = 1.0, 1.1
_FINEST_CUT = 8


def cut_face(
    image: np.ndarray, landmarks: np.ndarray, *, fill: int = 0, enlarge: bool = False, level: float = LEVEL
) -> np.ndarray:
    """Remove what a mask would hide: everything below a line across the nose's bridge, square to the face's axis.

    Args:
        image: uint8 (H, W, 3) or (H, W, 1).
        landmarks: (5, 2) or (68, 2), x and y in pixels, (0, 0) the corner of the first pixel.
        fill: level of the removed pixels, 0 to 255.
        enlarge: in place of filling, turn the upper face upright and stretch it over the whole picture: 2 eye
            distances across and 1.4 down, so that in a square picture faces look taller; edges are repeated outside.
        level: where the line is, in eye distances below the eyes.

    Returns:
        uint8, the shape of `image`.

    Raises:
        UserError: an image or landmarks of another shape, missing landmarks, a fill out of range.

    Example:

    >>> landmarks = np.array([(20, 20), (44, 20), (32, 34), (22, 45), (42, 45)])
    >>> upper = cut_face(np.full((64, 64, 1), 180, np.uint8), landmarks)
    >>> upper[[10, 50], 32, 0].tolist()
    [180, 0]
    """
    check_image(image)
    if not 0 <= fill <= 255:
        raise UserError(f"fill={fill!r} is no level. Expected 0 to 255.")
    head = fit_head(landmarks)
    if enlarge:
        return _enlarged(image, head, level)
    height, width = image.shape[:2]
    down = head.camera[:, 1] / head.scale
    start = head.camera @ (0, level, 0, 1)
    x, y = np.arange(width) + 0.5 - start[0], np.arange(height) + 0.5 - start[1]
    below = x * down[0] + y[:, None] * down[1] > 0
    return np.where(below[..., None], np.uint8(fill), image)


def _enlarged(image: np.ndarray, head: HeadPose, level: float) -> np.ndarray:
    height, width = image.shape[:2]
    down = head.camera[:, 1]
    right, below = 2 * _ASIDE * np.array([down[1], -down[0]]), (_ABOVE + level) * down
    corner = head.camera[:, 3] - right / 2 - _ABOVE * down
    # Finer than the picture where that has more pixels than the result, so that nothing is left out.
    larger = max(1.0, np.linalg.norm(right) / max(width, 1), np.linalg.norm(below) / max(height, 1))
    fine = int(np.ceil(min(larger, _FINEST_CUT)))
    size = height * fine, width * fine
    matrix = np.eye(3)
    matrix[:2, 0], matrix[:2, 1] = right / size[1], below / size[0]
    matrix[:2, 2] = corner + (matrix[:2, 0] + matrix[:2, 1] - 1) / 2
    seen = warp(image[None], matrix[None], size, "edge")[0]
    return np.rint(seen.reshape(height, fine, width, fine, -1).mean(axis=(1, 3))).astype(np.uint8)
