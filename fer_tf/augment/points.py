"""Points of a face that move with its pixels, and which of them change places in the mirror."""

import numpy as np

from fer_tf.errors import UserError

# By the number of points. 68 points in iBUG order: jaw, brows, nose wings, eyes, outer and inner mouth. 5 points:
# right eye, left eye, nose, right and left corner of the mouth.
MIRRORED_PAIRS: dict[int, tuple[tuple[int, int], ...]] = {
    5: ((0, 1), (3, 4)),
    68: (
        *((i, 16 - i) for i in range(8)),
        *((i, 43 - i) for i in range(17, 22)),
        (31, 35), (32, 34),
        (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
        (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
    ),
}  # fmt: skip


def mirror_order(count: int) -> np.ndarray:
    """Return, for each of ``count`` points of a mirrored face, which point of the face it is, int (count,).

    Raises:
        UserError: a number of points whose pairs are not known.
    """
    if count not in MIRRORED_PAIRS:
        raise UserError(f"No left and right are known for {count} landmarks. Expected 5 or 68.")
    order = np.arange(count)
    for left, right in MIRRORED_PAIRS[count]:
        order[left], order[right] = right, left
    return order


def move_points(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Move points as ``warp`` moves pixels.

    Args:
        points: float (B, K, 2), x, y in pixels of the input, (0, 0) being the corner of the first pixel; NaN stays.
        matrices: float (B, 3, 3) from output to input pixels, whose centres are whole numbers.

    Returns:
        float32 (B, K, 2), in pixels of the output. Where a matrix mirrors, left and right points change places, so
        that point 36 remains the outer corner of the eye on the image's left.

    Raises:
        UserError: a mirrored face with a number of points whose pairs are not known.
    """
    inverse = np.linalg.inv(matrices)
    moved = np.einsum("nij,nkj->nki", inverse[:, :2, :2], points - 0.5) + inverse[:, None, :2, 2] + 0.5
    mirrored = np.linalg.det(matrices) < 0
    if mirrored.any():
        moved[mirrored] = moved[mirrored][:, mirror_order(points.shape[1])]
    return moved.astype(np.float32)
