"""Flip, transform and crop faces: drawn matrices, multiplied into one warp."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fer_tf.augment.warp import FILLS, Op, check_choice, check_number, check_range, chosen, warp
from fer_tf.errors import UserError

Size = tuple[int, int]
# draw(count, (height, width) of the input, rng) -> matrices (count, 3, 3) from output to input pixels, output size
Draw = Callable[[int, Size, np.random.Generator], tuple[np.ndarray, Size]]
# Left and right points, by the number of landmarks. 68 in iBUG order: jaw, brows, nose wings, eyes, outer and inner
# mouth. 5: right eye, left eye, nose, right and left corner of the mouth.
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


@dataclass(frozen=True)
class Geometry:
    """An augmentation that only moves pixels.

    Attributes:
        draw: function that draws the matrices of a batch and returns them with the output size.
        fill: what is outside the image, see ``warp``; ``None`` for moves that never leave it.
    """

    draw: Draw
    fill: str | None = None

    def __call__(
        self, images: np.ndarray, targets: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw matrices and warp the images, float32 or uint8; see ``Op``."""
        return self.move(images, None, rng)[0], targets

    def move(
        self, images: np.ndarray, points: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw matrices, then warp images and move points (B, K, 2) with them."""
        matrices, size = self.draw(len(images), images.shape[1:3], rng)
        moved = None if points is None else move_points(points, matrices)
        return warp(images, matrices, size, self.fill or "edge"), moved


def fuse(ops: Sequence[Op]) -> list[Op]:
    """Join adjacent geometric ops with compatible fills into one warp.

    One interpolation instead of several keeps faces sharp. A pixel that one op moves out of the frame and a later op
    moves back is the true pixel; separate warps would show the fill.
    """
    fused: list[Op] = []
    for op in ops:
        last = fused[-1] if fused else None
        if isinstance(op, Geometry) and isinstance(last, Geometry) and _agree(last.fill, op.fill):
            fused[-1] = Geometry(_after(last.draw, op.draw), last.fill or op.fill)
        else:
            fused.append(op)
    return fused


def _agree(first: str | None, second: str | None) -> bool:
    return first == second or first is None or second is None


def _after(first: Draw, second: Draw) -> Draw:
    def draw(count: int, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        outer, size = first(count, size, rng)
        inner, size = second(count, size, rng)
        return outer @ inner, size

    return draw


def scaling(x: np.ndarray, y: np.ndarray, dx: np.ndarray | float = 0.0, dy: np.ndarray | float = 0.0) -> np.ndarray:
    """Return matrices (n, 3, 3) of ``x → x·column + dx``, ``y → y·row + dy``."""
    matrices = np.zeros((len(x), 3, 3))
    matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, 0, 2], matrices[:, 1, 2] = x, y, dx, dy
    matrices[:, 2, 2] = 1
    return matrices


def affine_matrices(
    size: Size,
    angle: np.ndarray,
    shift: np.ndarray | None = None,
    zoom: np.ndarray | None = None,
    shear: np.ndarray | None = None,
) -> np.ndarray:
    """Return matrices of a rotation, zoom and shear about the center of the image, then a shift.

    Args:
        size: height and width in pixels.
        angle: degrees (n,), counter-clockwise.
        shift: pixels (n, 2), right and down.
        zoom: factors (n, 2) in x and y; above 1 enlarges.
        shear: slopes (n, 2): pixels in x for each pixel in y, and the reverse.

    Returns:
        float64 (n, 3, 3) for ``warp``.
    """
    matrices = np.zeros((len(angle), 3, 3))
    matrices[:, 2, 2] = 1
    linear = matrices[:, :2, :2]
    linear[:, 0, 0] = linear[:, 1, 1] = np.cos(np.radians(angle))
    linear[:, 1, 0] = np.sin(np.radians(angle))
    linear[:, 0, 1] = -linear[:, 1, 0]
    if shear is not None:
        slant = np.tile(np.eye(2), (len(angle), 1, 1))
        slant[:, 0, 1], slant[:, 1, 0] = shear.T
        linear[:] = slant @ linear
    if zoom is not None:
        linear /= zoom[:, :, None]
    center = (size[1] - 1) / 2, (size[0] - 1) / 2
    x, y = center if shift is None else (center + shift).T
    for row, middle in enumerate(center):
        matrices[:, row, 2] = middle - (linear[:, row, 0] * x + linear[:, row, 1] * y)
    return matrices


def flip_matrices(flipped: np.ndarray, size: Size) -> np.ndarray:
    """Return matrices that mirror left and right where ``flipped`` (n,) is true."""
    return scaling(np.where(flipped, -1.0, 1.0), 1.0, np.where(flipped, size[1] - 1, 0))


def window_matrices(windows: np.ndarray, size: Size) -> np.ndarray:
    """Return matrices that resize windows (n, 4) of x0, y0, width, height in pixels to ``size``."""
    x, y = windows[:, 2] / size[1], windows[:, 3] / size[0]
    # Pixel centers are whole numbers, so the area of a pixel starts half a pixel before it.
    return scaling(x, y, windows[:, 0] + 0.5 * x - 0.5, windows[:, 1] + 0.5 * y - 0.5)


def flip(p: float = 0.5) -> Geometry:
    """Mirror left and right with probability ``p``.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rows = np.arange(4, dtype="uint8").reshape(1, 1, 4, 1), np.ones((1, 7), "float32")
        >>> out, _ = fer_tf.augment.flip(p=1.0)(faces, rows, np.random.default_rng(0))
        >>> out.ravel()
        array([3., 2., 1., 0.], dtype=float32)
    """
    check_number("flip", "p", p, 0, 1)
    return Geometry(lambda count, size, rng: (flip_matrices(chosen(count, p, rng), size), size))


def affine(
    rotation: float = 0.0,
    shift: float = 0.0,
    zoom: float = 0.0,
    shear: float = 0.0,
    p: float = 1.0,
    fill: str = "constant",
) -> Geometry:
    """Rotate, shift, zoom and shear, each drawn independently.

    Args:
        rotation: largest angle in degrees, in both directions.
        shift: largest shift in x and in y, as a fraction of the side.
        zoom: each axis is enlarged or, with equal probability, shrunk by a factor from [1, 1 + zoom], as in FER+.
        shear: largest shear in x and in y, as a slope.
        p: probability of each of the four, drawn independently.
        fill: what is outside the image: ``"constant"`` (black), ``"edge"`` or ``"reflect"``.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.affine(rotation=10, shift=0.1)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    for name, value in (("rotation", rotation), ("shift", shift), ("zoom", zoom), ("shear", shear)):
        check_number("affine", name, value, 0)
    check_number("affine", "p", p, 0, 1)
    check_choice("affine", "fill", fill, FILLS)

    def draw(count: int, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        def uniform(limit: float) -> np.ndarray | None:
            if not limit:
                return None
            return rng.uniform(-limit, limit, (count, 2)) * chosen(count, p, rng)[:, None]

        turned, moved, enlarged, slanted = (uniform(limit) for limit in (rotation, shift, zoom, shear))
        angle = np.zeros(count) if turned is None else turned[:, 0]
        moved = None if moved is None else moved * (size[1], size[0])
        enlarged = None if enlarged is None else (1 + np.abs(enlarged)) ** np.sign(enlarged)
        return affine_matrices(size, angle, moved, enlarged, slanted), size

    return Geometry(draw, fill)


def draw_windows(
    count: int, size: Size, area: tuple[float, float], aspect: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Draw windows inside the image: ten tries of area and aspect, else the whole image.

    With ``area`` above 1 most tries do not fit, and about every tenth face stays whole, as in torchvision.

    Returns:
        float (count, 4): x0, y0, width, height in whole pixels.
    """
    tries = (count, 10)
    pixels = rng.uniform(*area, tries) * size[0] * size[1]
    ratio = np.exp(rng.uniform(*np.log(aspect), tries))
    width, height = np.rint(np.sqrt(pixels * ratio)), np.rint(np.sqrt(pixels / ratio))
    fits = (width >= 1) & (height >= 1) & (width <= size[1]) & (height <= size[0])
    first, rows = fits.argmax(axis=1), np.arange(count)
    some = fits.any(axis=1)
    width = np.where(some, width[rows, first], size[1])
    height = np.where(some, height[rows, first], size[0])
    x0, y0 = np.floor(rng.random(count) * (size[1] - width + 1)), np.floor(rng.random(count) * (size[0] - height + 1))
    return np.stack([x0, y0, width, height], axis=1)


def random_resized_crop(
    size: int | Size | None = None,
    area: tuple[float, float] = (0.8, 1.2),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Geometry:
    """Resize a random window of the image.

    Args:
        size: output side in pixels, or (height, width); ``None`` keeps that of the input.
        area: smallest and largest area of the window, as a fraction of the image.
        aspect: smallest and largest width-to-height ratio, drawn log-uniformly.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.random_resized_crop(size=6)(faces, rows, rng)
        >>> out.shape
        (2, 6, 6, 1)
    """
    wanted = None if size is None else as_size("random_resized_crop", size)
    check_range("random_resized_crop", "area", area, 1e-4)
    check_range("random_resized_crop", "aspect", aspect, 1e-4)

    def draw(count: int, given: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        target = wanted or tuple(given)
        return window_matrices(draw_windows(count, given, area, aspect, rng), target), target

    return Geometry(draw)


def random_crop(size: int | Size, padding: int = 0, fill: str = "constant") -> Geometry:
    """Crop a random window from the image, padded on all sides.

    Args:
        size: side of the window in pixels, or (height, width).
        padding: pixels added on each side.
        fill: what they show: ``"constant"`` (black), ``"edge"`` or ``"reflect"``.

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.random_crop(size=8, padding=1)(faces, rows, rng)
        >>> out.shape
        (2, 8, 8, 1)
    """
    wanted = as_size("random_crop", size)
    check_number("random_crop", "padding", padding, 0, whole=True)
    check_choice("random_crop", "fill", fill, FILLS)

    def draw(count: int, given: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        room = _room("random_crop", (given[0] + 2 * padding, given[1] + 2 * padding), wanted)
        x0, y0 = rng.integers(0, room[1] + 1, count) - padding, rng.integers(0, room[0] + 1, count) - padding
        return scaling(np.ones(count), 1.0, x0, y0), wanted

    return Geometry(draw, fill if padding else None)


def center_crop(size: int | Size) -> Geometry:
    """Crop the window in the middle.

    Args:
        size: side of the window in pixels, or (height, width).

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.center_crop(size=6)(faces, rows, rng)
        >>> out.shape
        (2, 6, 6, 1)
    """
    wanted = as_size("center_crop", size)

    def draw(count: int, given: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        room = _room("center_crop", given, wanted)
        return scaling(np.ones(count), 1.0, room[1] // 2, room[0] // 2), wanted

    return Geometry(draw)


def resize(size: int | Size) -> Geometry:
    """Resize by bilinear interpolation, without a filter: shrinking by more than half aliases.

    Args:
        size: side in pixels, or (height, width).

    Example:
        >>> import numpy as np, fer_tf
        >>> faces, rng = np.full((2, 8, 8, 1), 100, "float32"), np.random.default_rng(0)
        >>> rows = np.eye(2, dtype="float32")
        >>> out, targets = fer_tf.augment.resize(size=12)(faces, rows, rng)
        >>> out.shape
        (2, 12, 12, 1)
    """
    wanted = as_size("resize", size)

    def draw(count: int, given: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        return window_matrices(np.tile([0.0, 0.0, given[1], given[0]], (count, 1)), wanted), wanted

    return Geometry(draw)


def as_size(op: str, size: int | Size) -> Size:
    """Return (height, width) for a side or a pair, in whole pixels."""
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and side >= 1 for side in pair):
        raise UserError(f"Augmentation {op!r}: size={size!r}. Expected pixels ≥ 1, or (height, width).")
    return pair


def _room(op: str, given: Size, wanted: Size) -> Size:
    room = given[0] - wanted[0], given[1] - wanted[1]
    if min(room) < 0:
        raise UserError(f"{op} of {wanted[0]}×{wanted[1]} does not fit in {given[0]}×{given[1]} pixels.")
    return room


def mirror_order(count: int) -> np.ndarray:
    """Return the order of a mirrored face's landmarks, int (count,): entry i is the landmark that becomes number i.

    Raises:
        UserError: a number of landmarks whose left and right are not known.
    """
    if count not in MIRRORED_PAIRS:
        raise UserError(f"No left and right are known for {count} landmarks. Expected 5 or 68.")
    order = np.arange(count)
    for left, right in MIRRORED_PAIRS[count]:
        order[left], order[right] = right, left
    return order


def move_points(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Move landmarks as ``warp`` moves pixels.

    Args:
        points: float (B, K, 2), x, y in pixels of the input, (0, 0) being the corner of the first pixel; NaN stays.
        matrices: float (B, 3, 3) from output to input pixels, whose centers are whole numbers.

    Returns:
        float32 (B, K, 2), in pixels of the output. Where a matrix mirrors, left and right points are exchanged, so
        that point 36 remains the outer corner of the eye on the left of the image.

    Raises:
        UserError: a mirrored face with a number of landmarks whose left and right are not known.
    """
    inverse = np.linalg.inv(matrices)
    moved = np.einsum("nij,nkj->nki", inverse[:, :2, :2], points - 0.5) + inverse[:, None, :2, 2] + 0.5
    mirrored = np.linalg.det(matrices) < 0
    if mirrored.any():
        moved[mirrored] = moved[mirrored][:, mirror_order(points.shape[1])]
    return moved.astype(np.float32)
