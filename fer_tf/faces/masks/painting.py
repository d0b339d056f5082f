"""Draw masks on faces, or occlude the lower face.

A mask is painted finer than the picture, lit as the face is, averaged down, and laid over the face with its shadow.

References:
    MaskTheFace, arXiv 2008.11104, which pastes photographs of masks.
    M-LFW-FER, 10.1109/ICIP42928.2021.9506047, whose face-cut variant occludes the lower face.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fer_tf.augment.warp import warp
from fer_tf.errors import UserError
from fer_tf.faces.masks import kinds
from fer_tf.faces.masks.head_pose import HeadPose, fit_head
from fer_tf.faces.masks.kinds import MASKS, Mask, read_color

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


_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# A mask is painted about this many pixels wide or more, so that 48-pixel faces are antialiased too.
_FINE_WIDTH = 170
_MOST_FINE = 8
# Pixels are colored in pieces of this many: temporaries stay in the cache.
_PIECE = 30_000
# Luma of the brightest tenth of a well-lit face, and the saturation of one in full color.
_WELL_LIT, _COLORFUL = 190.0, 0.18


class MaskedFace(NamedTuple):
    """A picture with a mask on one face.

    Attributes:
        image: uint8, the shape of the picture that was given.
        alpha: float32 (H, W), the share of each pixel that mask and bands cover.

    Example:

    >>> image, alpha = MaskedFace(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2), np.float32))
    >>> alpha.shape
    (2, 2)
    """

    image: np.ndarray
    alpha: np.ndarray


class _Tone(NamedTuple):
    """The light on a face: brightness as a factor, more of it on the right (−1 to 1), color (0 to 1)."""

    gain: float
    side: float
    color: float


def put_mask(
    image: np.ndarray,
    landmarks: np.ndarray,
    kind: str = "surgical",
    seed: int | Sequence[int] = 0,
    color: str | tuple[int, int, int] | None = None,
    fine: int | None = None,
) -> MaskedFace:
    """Draw a mask on a face.

    The mask follows the head's tilt, turn and nod, is lit as bright as the face and from the same side, loses its
    color in a picture that has none, and casts a soft shadow. The same arguments give the same bytes.

    Args:
        image: uint8 (H, W, 3) RGB or (H, W, 1) gray; it is not changed. Call again for each face in it.
        landmarks: (5, 2) or (68, 2), x and y in pixels, (0, 0) the corner of the first pixel; may lie outside.
        kind: call string of a row of `MASKS`, such as `"surgical(pleats=4)"`.
        seed: one or more numbers ≥ 0; draws color, folds and bands.
        color: RGB 0 to 255 or a name or `#rrggbb`, in place of the drawn one.
        fine: how many times finer than the picture a mask is painted before it is averaged down, 1 to 8; `None`
            paints it about 170 pixels wide.

    Returns:
        The picture with the mask, and the share of each pixel that the mask covers.

    Raises:
        UserError: an image or landmarks of another shape or with NaN, an unknown kind or color, `fine` out of range.

    Example:

    >>> landmarks = np.array([(20, 20), (44, 20), (32, 34), (22, 45), (42, 45)])
    >>> masked = put_mask(np.full((64, 64, 3), 180, np.uint8), landmarks, "cloth")
    >>> masked.image.shape, float(masked.alpha[45, 32])
    ((64, 64, 3), 1.0)
    """
    check_image(image)
    if fine is not None and not 1 <= fine <= _MOST_FINE:
        raise UserError(f"fine={fine!r} is out of range. Expected 1 to {_MOST_FINE}.")
    head = fit_head(landmarks)
    rng = np.random.default_rng(np.random.SeedSequence(_entropy(seed)))
    mask = MASKS.make(kind, rng, None if color is None else read_color(color))
    out, alpha = image.copy(), np.zeros(image.shape[:2], np.float32)
    points = kinds.bend(mask)
    placed, bands = head.place(points), _bands(mask, head)
    (x0, y0), (x1, y1) = _window(image, head, [placed.reshape(-1, 2), *(line for line, _, _ in bands)])
    if x1 > x0 and y1 > y0:
        fine = _fineness(placed) if fine is None else fine
        size, under = ((y1 - y0) * fine, (x1 - x0) * fine), image[y0:y1, x0:x1]
        seen = kinds.look(points, head, (placed - (x0, y0)) * fine, size)
        if seen.inside.any():
            bands = [((line - (x0, y0)) * fine, thickness * fine, ink) for line, thickness, ink in bands]
            painted, share = _painted(under, head, mask, seen, bands, fine)
            out[y0:y1, x0:x1] = _laid_over(under, painted, share, _shadow(seen.inside, head, fine), rng)
            alpha[y0:y1, x0:x1] = share
    return MaskedFace(out, alpha)


def face_seed(seed: int, name: str, face: int = 0) -> tuple[int, int, int]:
    """Return the seed of one face of one picture, for `put_mask`, so that order and interruptions change nothing.

    Args:
        seed: of the job.
        name: of the picture, relative to its tree, with `/`, or of the sample.
        face: its number in the picture.

    Example:

    >>> face_seed(7, "a/b.jpg", face=1)
    (7, 7488755259790052526, 1)
    """
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return seed, int.from_bytes(digest, "big"), face


def check_image(image: np.ndarray) -> None:
    """Raise a `UserError` unless this is uint8 (H, W, 1 or 3)."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise UserError(f"image is {image.dtype} {image.shape}. Expected uint8 (H, W, 3) or (H, W, 1).")


def _entropy(seed: int | Sequence[int]) -> list[int]:
    numbers = [int(n) for n in np.atleast_1d(seed)]
    if min(numbers) < 0:
        raise UserError(f"seed={seed!r} is negative. Expected 0 or more.")
    return numbers


def _bands(mask: Mask, head: HeadPose) -> list[tuple[np.ndarray, float, np.ndarray]]:
    """Place loops or straps on the sides of the head that the camera sees: curves (P, 2), thickness, RGB."""
    return [
        (_smooth(head.place(points)), thickness * head.scale, ink)
        for line, thickness, ink in mask.bands
        for points in (line, line * (-1, 1, 1))
        if np.sign(points[:, 0].mean()) * head.towards[0] > -0.2
    ]


def _smooth(points: np.ndarray, steps: int = 10) -> np.ndarray:
    """Draw the parabola through three points (3, 2)."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) * (1 - 2 * t) * points[0] + 4 * t * (1 - t) * points[1] + t * (2 * t - 1) * points[2]


def _window(image: np.ndarray, head: HeadPose, reached: list[np.ndarray]) -> tuple[list[int], list[int]]:
    """Return the corners (x, y) of the part of the picture that mask, bands and shadow reach."""
    points, margin, limit = np.concatenate(reached), 0.3 * head.scale + 1, np.array(image.shape[1::-1])
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, limit).astype(int)
    return low.tolist(), np.clip(np.ceil(points.max(axis=0) + margin), 0, limit).astype(int).tolist()


def _fineness(placed: np.ndarray) -> int:
    """Choose how many times finer than the picture to paint, by the mask's width."""
    width = float(np.ptp(placed.reshape(-1, 2), axis=0).max())
    return int(np.clip(np.ceil(_FINE_WIDTH / max(width, 1.0)), 1 if width > 450 else 2, _MOST_FINE))


def _painted(
    under: np.ndarray, head: HeadPose, mask: Mask, seen: kinds.Seen, bands: list, fine: int
) -> tuple[np.ndarray, np.ndarray]:
    """Paint bands and sheet: RGB, float32 (h, w, 3), and the share of each pixel that they cover (h, w)."""
    rows, columns = (n // fine for n in np.nonzero(seen.inside))
    tone = _tone(np.broadcast_to(under, (*under.shape[:2], 3))[rows, columns].astype(np.float32), seen.u)
    canvas = Image.new("RGBA", seen.inside.shape[::-1])
    for line, thickness, ink in bands:
        _draw_band(ImageDraw.Draw(canvas), line, thickness, _toned(ink, tone) * tone.gain, 0.3 * head.scale * fine)
    colors = [
        _lit(mask, *(values[i : i + _PIECE] for values in seen[1:]), tone, head) for i in range(0, len(seen.u), _PIECE)
    ]
    pixels = np.array(canvas)
    pixels[seen.inside, :3], pixels[seen.inside, 3] = np.concatenate(colors), 255
    canvas = Image.fromarray(pixels).convert("RGBa")
    canvas = canvas.reduce(fine) if fine > 1 else canvas.filter(ImageFilter.BoxBlur(0.5))
    painted = np.asarray(canvas.convert("RGBA"), np.float32)
    return painted[..., :3], painted[..., 3] * np.float32(1 / 255)


def _tone(pixels: np.ndarray, u: np.ndarray) -> _Tone:
    """Measure the light on the skin that a mask will cover: RGB (N, 3), and where it lies on the mask (N,)."""
    luma = pixels @ _LUMA
    # The brightest tenth says more of the light than the mean does, which skin and beard decide. Less than in
    # proportion, since a dark face is in part a dark skin.
    gain = float(np.clip((np.quantile(luma, 0.9) / _WELL_LIT) ** 0.85, 0.08, 1.05))
    left, right = (luma[part].mean() if part.any() else luma.mean() for part in (u < -0.2, u > 0.2))
    side = float(np.clip((right - left) / max(left + right, 1e-6), -0.3, 0.3))
    strongest = pixels.max(axis=1)
    saturation = float((strongest - pixels.min(axis=1)).mean() / max(float(strongest.mean()), 1e-6))
    return _Tone(gain, side, min(1.0, saturation / _COLORFUL))


def _toned(colors: np.ndarray, tone: _Tone) -> np.ndarray:
    """Take out of colors (..., 3) what the picture has none of."""
    gray = (colors @ _LUMA)[..., None]
    return gray + (colors - gray) * tone.color


def _lit(mask: Mask, u: np.ndarray, v: np.ndarray, light: np.ndarray, tone: _Tone, head: HeadPose) -> np.ndarray:
    """Color N pixels of the sheet and light them; bend the brightest levels below 255, as cameras do."""
    shade = light * (1 + tone.side * 1.4 * u) * tone.gain
    ink = _toned(mask.paint(u, v, 1 / max(head.scale, 1e-6)), tone) * shade[:, None]
    over = np.maximum(ink - 205, 0)
    return np.clip(np.minimum(ink, 205) + 50 * (1 - np.exp(over / -50)), 0, 255).astype(np.uint8)


def _draw_band(pen: ImageDraw.ImageDraw, line: np.ndarray, thickness: float, ink: np.ndarray, fade: float) -> None:
    """Draw a band that fades out over the last `fade` pixels, with a darker edge under a lighter core."""
    shares = np.minimum(np.linalg.norm(line[:-1] - line[-1], axis=1) / fade, 1)
    for width, light in ((thickness, 0.78), (0.6 * thickness, 0.95)):
        color = tuple(np.clip(ink * light, 0, 255).astype(int).tolist())
        for piece, share in zip(np.concatenate([line[:-1], line[1:]], axis=1).tolist(), shares.tolist(), strict=True):
            pen.line(piece, (*color, round(255 * share)), max(1, round(width)))


def _shadow(inside: np.ndarray, head: HeadPose, fine: int) -> np.ndarray:
    """Return the share of light that the mask keeps from what lies beside and below it, float32 (h, w)."""
    right, down = (0.05 * head.camera[:, 1]).tolist()
    picture = Image.fromarray(inside.astype(np.uint8) * 255).reduce(fine)
    moved = picture.transform(
        picture.size, Image.Transform.AFFINE, (1, 0, -right, 0, 1, -down), Image.Resampling.BILINEAR
    )
    return np.asarray(moved.filter(ImageFilter.GaussianBlur(0.055 * head.scale)), np.float32) * np.float32(0.42 / 255)


def _laid_over(
    under: np.ndarray, painted: np.ndarray, share: np.ndarray, shadow: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Lay a mask over a picture, uint8 of the picture's shape."""
    mixed = np.broadcast_to(under, painted.shape) * (1 - shadow)[..., None]
    grain = rng.standard_normal(share.shape, dtype=np.float32)[..., None] * 1.2
    mixed += (painted + grain - mixed) * share[..., None]
    mixed = mixed @ _LUMA[:, None] if under.shape[-1] == 1 else mixed
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
